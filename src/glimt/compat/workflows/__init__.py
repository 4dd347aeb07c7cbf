"""The names of python-workflows 3 that plug-in services import, for where it is not installed."""

from __future__ import annotations

__version__ = "3.7"
"""The version whose names these are."""


def version() -> str:
    """Return the version whose names these are."""
    return __version__


class Error(Exception):
    """What workflows raises on purpose."""


class Disconnected(Error):  # noqa: N818 - its name in workflows
    """The connection is lost."""
