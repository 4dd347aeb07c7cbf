"""Reads a TOML file that a person wrote: its text, its document, and paths and secrets in it."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any

from glimt.app.byte_size import size_text
from glimt.app.written import Secret
from glimt.model.errors import UsageError

_MAX_FILE_BYTES = 1 << 18
_AT = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)\Z")


def read_text(path: Path | str, *, kind: str, hint: str = "") -> str:
    """Return the text of a file.

    Parameters
    ----------
    path : Path or str
    kind : str
        What it is called, such as ``"site file"``.
    hint : str
        What to do if it is not there.

    Raises
    ------
    UsageError
        It cannot be read, is too large or is not UTF-8.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(_MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise UsageError(f"there is no {kind} {path}{f'; {hint}' if hint else ''}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot read {kind} {path}: {reason}") from None
    if len(content) > _MAX_FILE_BYTES:
        raise UsageError(f"{path} is larger than {size_text(_MAX_FILE_BYTES)}: that is no {kind}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path}:{line}: this is not text in UTF-8; save it with that encoding") from None


def parse_document(text: str, name: str) -> dict[str, Any]:
    """Return the document that ``text`` is.

    Raises
    ------
    UsageError
        It is not TOML; the text says where.
    """
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise UsageError(f"{name}: brackets are nested too deeply") from None
    except ValueError as error:  # TOMLDecodeError, and what Python says to numbers of thousands of digits
        what = str(error)
        line, at = text.rstrip().count("\n") + 1, ""
        if (match := _AT.search(what)) is not None:
            what = what[: match.start()]
            if match[1]:
                line, at = int(match[1]), f", column {match[2]}"
        hint = '; text needs quotes, as in name = "i03"' if what == "Invalid value" else ""
        raise UsageError(f"{name}:{line}{at}: this is not TOML: {what}{hint}") from None


def written_path(value: Any, *, folder: Path) -> Path:
    """Return a path relative to ``folder`` as an absolute one.

    Raises
    ------
    ValueError
        It is none.
    """
    if not isinstance(value, str) or not value or not value.isprintable() or len(value) > 4000:
        raise ValueError("it must be a path, such as data/images")
    return Path(os.path.normpath(os.path.join(folder, os.path.expanduser(value))))


def written_secret(value: Any) -> Secret:
    """Return text that is not shown.

    Raises
    ------
    ValueError
        It is no text.
    """
    if not isinstance(value, str):
        raise ValueError("it must be text")
    return Secret(value)
