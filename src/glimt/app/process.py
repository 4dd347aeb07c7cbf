"""What every process that runs user code needs first: log output and import names."""

from __future__ import annotations

import logging
import os
import sys

from glimt.compat.aliases import install_aliases
from glimt.model.errors import UsageError

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class _CurrentStderr(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to what `sys.stderr` is at that moment, which a progress display may replace for a while."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def log_level() -> str:
    """Return the level in the environment variable ``LOG_LEVEL``, ``INFO`` without one.

    Raises
    ------
    UsageError
        Not a level.
    """
    level = os.environ.get("LOG_LEVEL", "INFO").strip().strip('"').upper()
    if level not in LEVELS:
        raise UsageError(f"LOG_LEVEL is {level!r}; it can be {', '.join(LEVELS)}")
    return level


def prepare_process() -> None:
    """Set up logging as ``LEVEL:module:text`` on stderr, and other people's import names.

    Raises
    ------
    UsageError
        ``LOG_LEVEL`` is not a level.
    """
    level = log_level()
    handler = _CurrentStderr()
    handler.setFormatter(logging.Formatter(logging.BASIC_FORMAT))
    root = logging.getLogger()
    if not any(isinstance(known, _CurrentStderr) for known in root.handlers):
        root.addHandler(handler)
    root.setLevel(level)
    for noisy in ("numba", "matplotlib", "h5py", "asyncio"):  # DEBUG is for the user's analysis, not for these
        logging.getLogger(noisy).setLevel(max(logging.getLevelName(level), logging.WARNING))
    install_aliases({"dranspose.replay": "glimt.app.dranspose_replay"})
