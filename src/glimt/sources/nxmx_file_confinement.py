"""Hold what an HDF5 file leads to within bounds: its external links, virtual sources and raw data in other files.

HDF5 follows all of these by itself wherever something is read, a mask or a name as well as images. So whoever gives a
confinement has each file looked through, and those it leads to, before anything is read from it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py

from glimt.model.errors import DecodeError, RejectedMessageError
from glimt.sources.nxmx_file_links import HDF5_ERRORS, linked_path, open_hdf5

MAX_ENTRIES = 100_000
"""Groups, datasets and links in one file, and files that one virtual dataset names; masters in use have thousands."""
MAX_FILES = 10_000
"""Files that lead to each other."""

_LONGEST_PLACE = 200

Confine = Callable[[str], None]
"""Raises `RejectedMessageError` for a path that must not be opened."""


class LinkConfinement:
    """Refuses files that lead where they must not; remembers those that do not.

    Parameters
    ----------
    confine : callable
        Raises for a path that is out of bounds; called for every path that a link may lead to.
    """

    def __init__(self, confine: Confine) -> None:
        self._confine = confine
        self._checked: dict[str, tuple[int, ...]] = {}

    def check(self, path: str) -> None:
        """Look through a file and all files that it leads to, as far as they are there.

        Raises
        ------
        RejectedMessageError
            A file leads out of bounds; the text names the link and its target. Other errors of ``confine`` as they are.
        DecodeError
            There are too many links to look at, or one whose files cannot be known beforehand.
        """
        self._confine(path)
        waiting = [path]
        n_files = 0
        while waiting:
            path = waiting.pop()
            signature = _signature(path)
            if signature is None or self._checked.get(path) == signature:
                continue
            n_files += 1
            if n_files > MAX_FILES:
                raise DecodeError(f"leads to more than {MAX_FILES:,} files", where=path)
            waiting += self._check_file(path)
            self._checked[path] = signature
            while len(self._checked) > 2 * MAX_FILES:
                del self._checked[next(iter(self._checked))]

    def _check_file(self, path: str) -> set[str]:
        """Return the files that this one leads to."""
        targets: set[str] = set()
        seen: set[tuple[str, bool]] = set()
        file = None
        try:
            file = _open_beside(path)
            for place, name, is_raw in _leads(file, path):
                if (name, is_raw) in seen or name == ".":
                    continue
                seen.add((name, is_raw))
                targets |= self._check_target(path, place, name, is_raw=is_raw)
        except (RejectedMessageError, DecodeError):
            raise
        except HDF5_ERRORS as error:
            if file is not None:  # what HDF5 cannot look through, it might still read in parts
                raise DecodeError(f"its links cannot be read ({str(error)[:100]})", where=path) from None
        finally:
            if file is not None:
                with suppress(*HDF5_ERRORS):
                    file.close()
        return targets

    def _check_target(self, path: str, place: str, name: str, *, is_raw: bool) -> set[str]:
        if "%b" in name and not is_raw:
            raise DecodeError(f"{place} takes data from files named {name[:80]!r}, which cannot be known", where=path)
        targets = set()
        for target in _places(path, name, is_raw=is_raw):
            try:
                self._confine(target)
            except RejectedMessageError as error:
                raise RejectedMessageError(f"{path}: {place} leads to {name[:200]!r}: {error}") from None
            targets.add(target)
        return set() if is_raw else targets


def _places(path: str, name: str, *, is_raw: bool) -> list[str]:
    """Return where HDF5 may look for a file: the likeliest in any case, elsewhere if there is something.

    Source: HDF5 reference manual, H5Lcreate_external, H5Pset_virtual and H5Pset_external, without prefixes.
    """
    if is_raw:
        return [os.path.abspath(name)]
    folders = {os.path.dirname(path), os.path.dirname(os.path.realpath(path)), os.getcwd()}
    found = {os.path.join(folder, each) for folder in folders for each in (name, Path(name).name)}
    return [linked_path(name, path), *sorted(each for each in found if os.path.lexists(each))]


def _leads(file: Any, path: str) -> Iterator[tuple[str, str, bool]]:
    """Yield where in a file something leads to another one, the name of that, and whether it is raw data.

    Groups are gone through without recursion, neither here nor in HDF5: a file can have them as deep as it likes.
    """
    waiting: list[tuple[str, Any]] = [("", file.id)]
    seen: set[int] = set()
    n_entries = 0
    while waiting:
        place, group = waiting.pop()
        entries: list[tuple[bytes, int, int]] = []

        def note(name: bytes, info: Any, entries: list[tuple[bytes, int, int]] = entries) -> bool | None:
            entries.append((name, info.type, info.u))
            return True if len(entries) > MAX_ENTRIES else None

        group.links.iterate(note, info=True)
        n_entries += len(entries)
        if n_entries > MAX_ENTRIES:
            raise DecodeError(f"has more than {MAX_ENTRIES:,} objects", where=path)
        for name, kind, address in entries:
            where = _shortened(f"{place}/{os.fsdecode(name)}")
            if kind == h5py.h5l.TYPE_EXTERNAL:
                yield where, os.fsdecode(group.links.get_val(name)[0]), False
            elif kind == h5py.h5l.TYPE_HARD and address not in seen:
                seen.add(address)
                found = h5py.h5o.open(group, name)
                if isinstance(found, h5py.h5g.GroupID):
                    waiting.append((where, found))
                elif isinstance(found, h5py.h5d.DatasetID):
                    yield from ((where, *lead) for lead in _dataset_leads(found, path))


def _shortened(place: str) -> str:
    return place if len(place) <= _LONGEST_PLACE else "…" + place[1 - _LONGEST_PLACE :]


def _dataset_leads(dataset: Any, path: str) -> Iterator[tuple[str, bool]]:
    properties = dataset.get_create_plist()
    n_raw = properties.get_external_count()
    is_virtual = properties.get_layout() == h5py.h5d.VIRTUAL
    n_sources = properties.get_virtual_count() if is_virtual else 0
    if n_raw > MAX_ENTRIES or n_sources > 10 * MAX_ENTRIES:
        raise DecodeError(f"a dataset takes data from {max(n_raw, n_sources):,} places", where=path)
    for k in range(n_raw):
        yield os.fsdecode(properties.get_external(k)[0]), True
    for k in range(n_sources):
        yield properties.get_virtual_filename(k), False


def _open_beside(path: str) -> Any:
    """Open a file without keeping its writer out."""
    try:
        return open_hdf5(path, locking=False)
    except HDF5_ERRORS:
        return open_hdf5(path)  # this process has it open already, with a lock


def _signature(path: str) -> tuple[int, ...] | None:
    """Return what changes with a file, ``None`` if there is no regular file: a pipe would block."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    if not os.path.isfile(path):
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size
