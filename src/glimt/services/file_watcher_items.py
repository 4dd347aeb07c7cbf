"""What is watched for, by mode: files of a pattern, files of a list, images of an HDF5 file. Payloads are Zocalo's."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from glimt.model.errors import RejectedMessageError
from glimt.services.file_watcher_request import MAX_ITEMS, check_pattern, read_whole

MAX_LISTED = 100_000
_MAX_PATH = 4096


class Items(Protocol):
    """A row of items, counted from 0.

    Attributes
    ----------
    word : str
        ``files`` or ``images``, as in ``files-seen``.
    name : str
        For the log.
    hdf5 : str or None
        The file, where the items are its images.
    """

    word: str
    name: str
    hdf5: str | None

    @property
    def n_items(self) -> int | None:
        """How many there are; ``None`` where that is in a file."""

    def path(self, number: int) -> str | None:
        """Return the file of an item, ``None`` if there is none."""

    def samples(self) -> list[str]:
        """Return paths that are to be confined, so that all are."""

    def found(self, number: int, seen_at: float) -> dict[str, Any]:
        """Return what is sent for an item that is there."""

    def missing(self, number: int) -> dict[str, Any]:
        """Return what is sent for an item that did not come, or that there cannot be."""


class PatternItems:
    """Files such as ``x_00001.cbf`` to ``x_00100.cbf``."""

    word = "files"
    hdf5: str | None = None

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        self._pattern = check_pattern(parameters["pattern"])
        self._start = read_whole(parameters, "pattern-start")
        end = read_whole(parameters, "pattern-end")
        if end < self._start:
            raise RejectedMessageError(f"pattern-end {end} is before pattern-start {self._start}")
        self.n_items: int | None = end - self._start + 1
        self.name = self._pattern

    def path(self, number: int) -> str | None:
        """See `Items`."""
        return str(self._pattern % (self._start + number))

    def samples(self) -> list[str]:
        """See `Items`."""
        # Only digits differ, which lead nowhere else.
        return [str(self._pattern % self._start)]

    def _about(self, number: int) -> dict[str, Any]:
        return {
            "file": self.path(number),
            "file-number": number + 1,
            "file-pattern-index": self._start + number,
        }

    def found(self, number: int, seen_at: float) -> dict[str, Any]:
        """See `Items`."""
        return self._about(number) | {"file-seen-at": seen_at}

    def missing(self, number: int) -> dict[str, Any]:
        """See `Items`."""
        return self._about(number) | {"success": False}


class ListItems:
    """Files by name; where there is no name, there will be no file."""

    word = "files"
    hdf5: str | None = None

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        paths = parameters["list"]
        if not isinstance(paths, list) or len(paths) > MAX_LISTED:
            raise RejectedMessageError(f"list {str(paths)[:60]!r}: a list of up to {MAX_LISTED:,} paths is needed")
        for path in paths:
            if path is not None and not (isinstance(path, str) and len(path) <= _MAX_PATH and "\0" not in path):
                raise RejectedMessageError(f"list has {str(path)[:60]!r}, which is no path")
        self._paths: list[str | None] = paths
        self.n_items: int | None = len(paths)
        self.name = f"{len(paths)} files, {paths[0]} first" if paths else "no files"

    def path(self, number: int) -> str | None:
        """See `Items`."""
        return self._paths[number] or None

    def samples(self) -> list[str]:
        """See `Items`."""
        # One of each folder: links in it are followed when a file is found.
        return list({os.path.dirname(path): path for path in self._paths if path}.values())

    def found(self, number: int, seen_at: float) -> dict[str, Any]:
        """See `Items`."""
        return {"file": self._paths[number], "file-list-index": number + 1, "file-seen-at": seen_at}

    def missing(self, number: int) -> dict[str, Any]:
        """See `Items`."""
        return {"file": self._paths[number], "file-list-index": number + 1, "success": False}

    @property
    def is_nothing(self) -> bool:
        """Whether there is nothing to watch for: an empty list, or one entry without a name."""
        return not self._paths or self._paths == [None]


class ImageItems:
    """Images of an HDF5 file."""

    word = "images"
    n_items: int | None = None

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        path = parameters["hdf5"]
        if not isinstance(path, str) or not path or len(path) > _MAX_PATH or "\0" in path:
            raise RejectedMessageError(f"hdf5 {str(path)[:60]!r}: the path of a file is needed")
        self.hdf5: str | None = path
        self.name = path

    def path(self, number: int) -> str | None:
        """See `Items`."""
        del number
        return self.hdf5

    def samples(self) -> list[str]:
        """See `Items`."""
        return [self.name]

    def found(self, number: int, seen_at: float) -> dict[str, Any]:
        """See `Items`."""
        return {
            "hdf5": self.hdf5,
            "hdf5-index": number,
            "file": self.hdf5,
            "file-number": number + 1,
            "file-seen-at": seen_at,
            "parameters": {"scan_range": f"{number + 1},{number + 1}"},
        }

    def missing(self, number: int) -> dict[str, Any]:
        """See `Items`."""
        return {"file": self.hdf5, "hdf5-index": number, "success": False}


def read_items(parameters: Mapping[str, Any], confine: Callable[[str], object]) -> Items:
    """Return what the parameters of a step want to be watched.

    Parameters
    ----------
    parameters : mapping
        With ``pattern``, ``list`` or ``hdf5``; of several, the first of these counts.
    confine : callable
        Raises what is to be raised for a path that is not open to messages.

    Raises
    ------
    RejectedMessageError
        There is none of these, or it makes no sense.
    """
    items: Items
    if parameters.get("pattern"):
        items = PatternItems(parameters)
    elif parameters.get("list") is not None:
        items = ListItems(parameters)
    elif parameters.get("hdf5") is not None:
        items = ImageItems(parameters)
    else:
        raise RejectedMessageError("there is nothing to watch for: the parameters name no pattern, list or hdf5")
    if items.n_items is not None and items.n_items > MAX_ITEMS:
        raise RejectedMessageError(f"{items.n_items:,} files: no more than {MAX_ITEMS:,} can be watched for")
    for path in items.samples():
        confine(path)
    return items
