"""Which recipe a line of the log is about: every line that is written while a message is handled says it."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_recipe_id: ContextVar[str] = ContextVar("glimt_recipe_id", default="")

RECIPE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{2,199}", re.ASCII)
"""What identities of runs look like: they name folders, and are searched for in messages as they are."""

LOG_FORMAT = "%(asctime)s %(levelname)s {name}%(recipe_mark)s: %(message)s"
"""Format of a service's lines; ``{name}`` is to be filled in with the name of the service."""


@contextmanager
def about_recipe(recipe_id: str) -> Iterator[None]:
    """Let all lines that this thread logs meanwhile carry the identity of a recipe."""
    token = _recipe_id.set(recipe_id)
    try:
        yield
    finally:
        _recipe_id.reset(token)


def current_recipe_id() -> str:
    """Return the identity of the recipe whose message is being handled; empty if none is."""
    return _recipe_id.get()


class RecipeLogFilter(logging.Filter):
    """Gives every record ``recipe_ID`` (Zocalo's name for it) and ``recipe_mark``, its form in a line."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the two."""
        known = getattr(record, "recipe_ID", "") or _recipe_id.get()
        record.recipe_ID = known
        record.recipe_mark = f" [recipe {known}]" if known else ""
        return True


class LineFormatter(logging.Formatter):
    r"""Formats a record as one line, whatever is in it: messages of others cannot write lines or move the cursor.

    What is not printable (line ends, terminal escapes, marks that turn the direction of writing) is escaped as in
    Python, ``\n`` and ``\x1b``. Only a traceback has lines of its own: all of them are indented.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  its name in logging
        """Return the line without the traceback."""
        return printable(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802  its name in logging
        """Return the traceback, each line indented."""
        return _indented(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802  its name in logging
        """Return the stack, each line indented."""
        return _indented(super().formatStack(stack_info))


def printable(text: str) -> str:
    """Return a text with everything that is not printable escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _indented(text: str) -> str:
    """Return lines with spaces before each, so that none looks like a line of the log."""
    return "\n".join("  " + printable(line) for line in text.split("\n"))


def log_handler(name: str) -> logging.Handler:
    """Return a handler that writes lines as ``12:03:04 INFO NAME [recipe ID]: text`` on standard error."""
    handler = logging.StreamHandler()
    handler.addFilter(RecipeLogFilter())
    handler.setFormatter(LineFormatter(LOG_FORMAT.replace("{name}", name.replace("%", "%%")), datefmt="%H:%M:%S"))
    return handler
