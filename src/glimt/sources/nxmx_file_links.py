"""Open the files of an HDF5 series, and follow links between them so that an error names the file that is missing.

HDF5 follows external links by itself, but says of a missing file only that an object does not exist, and fills what a
virtual dataset should take from it with zeros.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py

from glimt.model.errors import DecodeError

MAX_OPEN_FILES = 32
MAX_LINKS = 32
"""Longest chain of links that is followed: links can go in circles."""

HDF5_ERRORS = (
    OSError,
    KeyError,
    ValueError,
    TypeError,
    RuntimeError,
    AttributeError,
    OverflowError,
    NotImplementedError,
)
"""What h5py raises, without system, for files that are damaged."""


class OpenFiles:
    """The files of a series, opened when needed and at most `MAX_OPEN_FILES` at a time.

    Parameters
    ----------
    check : callable, optional
        Called with each path before it is opened; raises if it must not be
        (`glimt.sources.nxmx_file_confinement.LinkConfinement.check`).
    """

    def __init__(self, check: Callable[[str], None] | None = None) -> None:
        self._files: OrderedDict[str, Any] = OrderedDict()
        self._check = check

    def open(self, path: str, *, where: str) -> Any:
        """Return an open `h5py.File`; one that is being written is opened for reading beside its writer (SWMR).

        Raises
        ------
        DecodeError
            There is no such file, or it cannot be read as HDF5. What ``check`` raises, too.
        """
        file = self._files.get(path)
        if file:
            self._files.move_to_end(path)
            return file
        if not os.path.isfile(path):  # neither a device nor a pipe, which would block
            raise DecodeError(f"{path} is missing", where=where)
        if self._check is not None:
            self._check(path)
        while len(self._files) >= MAX_OPEN_FILES:
            self._close(next(iter(self._files)))
        self._files[path] = file = _open(path, where=where)
        return file

    def has(self, path: str) -> bool:
        """Return whether a file is open already."""
        return bool(self._files.get(path))

    def close(self) -> None:
        """Close all files."""
        for path in list(self._files):
            self._close(path)

    def _close(self, path: str) -> None:
        with suppress(*HDF5_ERRORS):
            self._files.pop(path).close()


def _open(path: str, *, where: str) -> Any:
    try:
        return open_hdf5(path)
    except HDF5_ERRORS as error:
        raise DecodeError(f"{path} cannot be read: {str(error)[:200]}", where=where) from None


def open_hdf5(path: str, *, locking: bool | None = None) -> Any:
    """Return an open `h5py.File`; raises any of `HDF5_ERRORS`.

    ``locking``: whether to keep writers out, ``None`` for HDF5's own choice.
    """
    # Beside a writer only if the file says there is one: HDF5 tries a damaged file for minutes in that mode.
    options: dict[str, Any] = {"libver": "latest", "swmr": True} if _has_swmr_writer(path) else {}
    return h5py.File(path, "r", locking=locking, **options)


def _has_swmr_writer(path: str) -> bool:
    """Return what the superblock says (HDF5 File Format Specification, II.A, version 3): bit 2 of the flags."""
    try:
        with open(path, "rb") as file:
            head = file.read(12)
    except OSError:
        return False
    return len(head) == 12 and head[8] == 3 and bool(head[11] & 4)


def is_being_written(dataset: Any) -> bool:
    """Return whether the file of a dataset was opened beside its writer, or is written by this very process."""
    intent: int = h5py.h5i.get_file_id(dataset.id).get_intent()
    return bool(intent & (h5py.h5f.ACC_SWMR_READ | h5py.h5f.ACC_SWMR_WRITE))


def linked_path(file_name: str, beside: str) -> str:
    """Return where the file of a link is: as written, from the folder of the file ``beside``, or in that folder.

    The last is where data files are whose master was moved together with them.
    """
    if file_name == ".":
        return beside
    folder = Path(beside).parent
    written = os.path.normpath(folder / file_name)  # joins nothing to an absolute path
    moved = str(folder / Path(file_name).name)
    return moved if not os.path.isfile(written) and os.path.isfile(moved) else written


def find_object(files: OpenFiles, path: str, name: str, *, where: str) -> tuple[str, Any]:
    """Return the file in which an object really is, and the object.

    Parameters
    ----------
    files : OpenFiles
        Open files.
    path, name : str
        File and object to begin with.
    where : str
        For the error text.

    Raises
    ------
    DecodeError
        A file on the way is missing or damaged, there is no such object, or links go in circles.
    """
    for _ in range(MAX_LINKS):
        file = files.open(path, where=where)
        try:
            link = _first_link(file, name)
            if link is None:
                return path, file[name]
        except HDF5_ERRORS as error:
            raise DecodeError(f"{path} has no readable {name} ({str(error)[:100]})", where=where) from None
        target_file, target = link
        if target_file is not None:
            path = linked_path(target_file, path)
        name = target
    raise DecodeError(f"{path}: links go round in circles at {name[:100]}", where=where)


def _first_link(file: Any, name: str) -> tuple[str | None, str] | None:
    """Return file (``None``: the same) and object that the first link on the way to ``name`` leads to."""
    parts = [part for part in name.split("/") if part]
    group = file
    for k, part in enumerate(parts):
        link = group.get(part, getlink=True)
        rest = "/".join(parts[k + 1 :])
        if isinstance(link, h5py.ExternalLink):
            return os.fsdecode(link.filename), f"{link.path}/{rest}".rstrip("/")
        if isinstance(link, h5py.SoftLink):
            target = link.path if link.path.startswith("/") else f"{group.name}/{link.path}"
            return None, f"{target}/{rest}".rstrip("/")
        group = group[part]
    return None


def child_names(group: Any) -> list[str]:
    """Return the names in a group, of links that lead nowhere too."""
    try:
        return list(group.keys())
    except HDF5_ERRORS:
        return []
