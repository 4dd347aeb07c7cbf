"""Numbered image files: ``thau_2_####.cbf`` and the like."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from glimt.model.errors import UsageError

_PLACE = re.compile(r"#+|%(?:0?(\d))?d")
_DIGITS = 9
_PACKED = (".gz", ".bz2")


def is_template(path: str | Path) -> bool:
    """Return whether a file name has a place for a number: ``####``, ``%04d`` or ``%d``, unless a file is called so."""
    return bool(_PLACE.search(Path(path).name)) and not Path(path).exists()


class _Template(NamedTuple):
    """A folder, the pattern of its files' names, and what stands before and after a number of that many digits."""

    folder: Path
    pattern: re.Pattern[str]
    before: str
    after: str
    width: int

    def path_of(self, number: int) -> str:
        """Return the file that should have a number."""
        return str(self.folder / f"{self.before}{number:0{self.width}d}{self.after}")


class NumberedFiles:
    """Image files with one image each.

    Parameters
    ----------
    path : str, Path or sequence of them
        A file, files in order, or a template. Of a template, the files from the lowest to the highest number that are
        there; numbers between them whose file is missing count. Names may end in ``.gz`` or ``.bz2`` besides.

    Raises
    ------
    UsageError
        There is no such file, or no file fits the template.
    """

    def __init__(self, path: str | Path | Sequence[str | Path]) -> None:
        self._template: _Template | None = None
        self._paths: dict[int, str] = {}
        self._first = 0
        self._n_files = 0
        if not isinstance(path, (str, Path)):
            self.path = os.fspath(path[0]) if path else ""
            self._paths = {k: os.fspath(one) for k, one in enumerate(path)}
            self._n_files = len(self._paths)
        elif is_template(path):
            self.path = os.fspath(path)
            self._template = _read_template(Path(path))
            self.look_again()
        else:
            self.path = os.fspath(path)
            self._paths, self._n_files = {0: self.path}, 1
        if not self._n_files:
            raise UsageError(f"{self.path or 'an empty list'}: no such image files; check the name and the number of #")

    def look_again(self) -> None:
        """Look for files that have come since."""
        if self._template is None:
            return
        folder, pattern = self._template.folder, self._template.pattern
        try:
            names = [entry.name for entry in os.scandir(folder)]
        except OSError as error:
            raise UsageError(f"{folder} cannot be read ({error.strerror})") from None
        self._paths = {int(found[1]): str(folder / name) for name in names if (found := pattern.fullmatch(name))}
        if self._paths:
            self._first = min(self._paths)
            self._n_files = max(self._paths) - self._first + 1

    def __len__(self) -> int:
        return self._n_files

    def path_of(self, number: int) -> str:
        """Return the file of image ``number``, 0-based; a missing one by the name it should have."""
        found = self._paths.get(self._first + number)
        if found is None and self._template is not None:
            return self._template.path_of(self._first + number)
        return found or self.path

    @property
    def n_ready(self) -> int:
        """How many files from the first on are there and not empty."""
        self.look_again()
        n = 0
        while n < self._n_files and (path := self._paths.get(self._first + n)) and _has_bytes(path):
            n += 1
        return n


def _has_bytes(path: str) -> bool:
    try:
        return os.path.getsize(path) > 0
    except OSError:
        return False


def _read_template(path: Path) -> _Template:
    places = list(_PLACE.finditer(path.name))
    last = places[-1]
    width = len(last[0]) if last[0].startswith("#") else int(last[1] or 1)
    if width > _DIGITS:
        raise UsageError(f"{path.name}: {width} digits; at most {_DIGITS} can be counted")
    before, after = path.name[: last.start()], path.name[last.end() :]
    ends = "|".join(re.escape(end) for end in _PACKED)
    pattern = re.compile(rf"{re.escape(before)}(\d{{{width},{_DIGITS}}}){re.escape(after)}(?:{ends})?")
    return _Template(path.parent, pattern, before, after, width)
