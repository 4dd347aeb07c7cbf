"""Collects what is wrong in a TOML file, so that one reading tells all of it, each with its line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from glimt.model.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from glimt.app.toml_lines import Key, TomlLines

_MAX_SHOWN = 20
_MAX_VALUE = 60
_MAX_PATH = 200
_PASSWORD = re.compile(r"//[^/@\s]*:[^/@\s]*@")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


class Problems:
    """What is wrong in one file.

    Parameters
    ----------
    file : str
        How the user calls the file.
    lines : TomlLines
        Where its keys stand.
    """

    def __init__(self, file: str, lines: TomlLines) -> None:
        self._file = file
        self._lines = lines
        self._found: dict[str, int] = {}

    def add(self, key: Key, text: str) -> None:
        """Remember that something is wrong with ``key``; ``text`` says what comes after the key's name."""
        line = self._lines.line(key)
        where = self._file if line is None else f"{self._file}:{line}"
        self._found.setdefault(f"{where}: {f'{key_text(key)} ' if key else ''}{text}", line or 0)

    def __len__(self) -> int:
        return len(self._found)

    def raise_if_any(self) -> None:
        """Raise `UsageError` with all problems in the order of their lines, one a line, if there are any."""
        if not self._found:
            return
        texts = sorted(self._found, key=lambda text: self._found[text])
        if len(texts) > _MAX_SHOWN:
            texts[_MAX_SHOWN:] = [f"{self._file}: {len(texts) - _MAX_SHOWN} more problems"]
        raise UsageError("\n".join(texts))


def key_text(key: Key) -> str:
    """Return a key as one would write it: ``streams.eiger.queue``, ``engine.slots[0].tags``."""
    text = ""
    for name in key:
        if isinstance(name, int):
            text += f"[{name}]"
        else:
            bare = name if _BARE_KEY.fullmatch(name) else f'"{_printable(name, _MAX_VALUE)}"'
            text += f".{bare}" if text else bare
    return text


def value_text(value: Any) -> str:
    """Return a value from a TOML document as one would write it, shortened."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{_printable(_PASSWORD.sub(r"//***@", value), _MAX_VALUE)}"'
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    try:
        return _printable(str(value), _MAX_VALUE)
    except ValueError:  # Python does not write whole numbers of thousands of digits
        return "a huge number"


def path_text(path: object) -> str:
    """Return a path in quotes; of a long one the end, which says more."""
    text = str(path)
    return f'"{_printable(text if len(text) <= _MAX_PATH else f"…{text[1 - _MAX_PATH :]}", _MAX_PATH)}"'


def either(values: Iterable[Any]) -> str:
    """Return ``a, b or c``."""
    texts = [str(value) for value in values]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} or {texts[-1]}"


def _printable(text: str, limit: int) -> str:
    shown = text if len(text) <= limit else f"{text[: limit - 1]}…"
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in shown)
