"""Which images of an HDF5 file are written: a virtual dataset or links, their data files growing meanwhile (SWMR)."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import h5py

from glimt.model.errors import DecodeError, RejectedMessageError
from glimt.sources.nxmx_file_confinement import LinkConfinement
from glimt.sources.nxmx_file_links import (
    HDF5_ERRORS,
    OpenFiles,
    child_names,
    find_object,
    is_being_written,
    linked_path,
)
from glimt.sources.nxmx_file_metadata import expected_images, find_entry
from glimt.sources.nxmx_file_selection import Mapping, read_mappings
from glimt.sources.nxmx_file_stack import check_dataset, image_shape
from glimt.sources.nxmx_file_virtual import MAX_DEPTH

DATASET = "/entry/data/data"
_READ_AGAIN_S = 1.0
_NUMBERED = re.compile(r"data_(\d{1,9})")

Check = Callable[[str], None] | None
"""Raises for a file that must not be opened; see `OpenFiles`."""


class _Images(Protocol):
    """Images that are written one by one."""

    def folders(self) -> set[str]:
        """Return the folders of all files that they come from."""

    def has(self, number: int) -> bool:
        """Return whether an image is written. `DecodeError` or one of `HDF5_ERRORS`: that cannot be seen now."""

    def look_again(self) -> None:
        """Let `has` look at the files once more."""

    def release(self) -> None:
        """Close the files that nobody writes: an open one keeps writers out."""

    def close(self) -> None:
        """Close all files."""


class _StoredImages:
    """Images of a dataset that holds its own pixels."""

    def __init__(self, path: str, name: str, check: Check) -> None:
        self._path, self._name = path, name
        self._files = OpenFiles(check)
        self._dataset: Any = None
        self._is_fresh = False
        self.length = 0
        """How many images the dataset has room for at present."""
        self.is_growing = True

    def folders(self) -> set[str]:
        return {os.path.dirname(self._path)}

    def look_again(self) -> None:
        self._is_fresh = False

    def look(self) -> Any:
        """Return the dataset as its writer left it last."""
        if self._is_fresh and self._dataset:
            return self._dataset
        if not self._dataset:
            _, self._dataset = find_object(self._files, self._path, self._name, where="")
            check_dataset(self._dataset, where=f"{self._path}:{self._name}")
        self.is_growing = is_being_written(self._dataset)
        if self.is_growing:
            self._dataset.refresh()
        self.length = 1 if self._dataset.ndim == 2 else int(self._dataset.shape[0])
        self._is_fresh = True
        return self._dataset

    def has(self, number: int) -> bool:
        dataset = self.look()
        if number >= self.length:
            return False
        if dataset.chunks is None:
            return bool(dataset.id.get_storage_size())
        place = [0] * dataset.ndim
        if dataset.ndim > 2:
            place[0] = number - number % dataset.chunks[0]
        return bool(dataset.id.get_chunk_info_by_coord(tuple(place)).size)

    def release(self) -> None:
        if not (self._dataset and self.is_growing):
            self.close()

    def close(self) -> None:
        self._files.close()
        self._dataset, self._is_fresh = None, False


class _VirtualImages:
    """Images of a virtual dataset."""

    def __init__(self, path: str, shape: tuple[int, ...], mappings: list[Mapping], depth: int, check: Check) -> None:
        self._path, self._mappings, self._depth, self._check = path, mappings, depth, check
        self._whole = tuple(slice(0, n) for n in shape)
        self._sources: dict[tuple[str, str], _Images] = {}
        self._latest = 0

    def folders(self) -> set[str]:
        return {os.path.dirname(linked_path(mapping.file_name, self._path)) for mapping in self._mappings}

    def look_again(self) -> None:
        for source in self._sources.values():
            source.look_again()

    def has(self, number: int) -> bool:
        wanted = self._wanted(number)
        return bool(wanted) and all(self._source(mapping).has(place) for mapping, place in wanted)

    def _wanted(self, number: int) -> list[tuple[Mapping, int]]:
        latest = self._mappings[self._latest]  # images mostly come in order, many from one file
        place = latest.source_number(number)
        if place is not None and latest.box == self._whole:
            return [(latest, place)]
        found = [(k, place) for k, m in enumerate(self._mappings) if (place := m.source_number(number)) is not None]
        self._latest = found[0][0] if found else 0
        return [(self._mappings[k], place) for k, place in found]

    def _source(self, mapping: Mapping) -> _Images:
        key = linked_path(mapping.file_name, self._path), mapping.dataset_name
        if key not in self._sources:
            self._sources[key] = _find_images(*key, self._check, depth=self._depth + 1)
        return self._sources[key]

    def release(self) -> None:
        for source in self._sources.values():
            source.release()

    def close(self) -> None:
        for source in self._sources.values():
            source.close()


class _LinkedImages:
    """Images of ``data_000001`` and so on, one after the other."""

    def __init__(self, path: str, targets: list[tuple[str, str]], check: Check) -> None:
        self._path = path
        self._stacks = [_StoredImages(*target, check) for target in targets]
        self._n_before = [0]
        """Number of images before each data file, as far as that is certain."""

    def folders(self) -> set[str]:
        return {folder for stack in self._stacks for folder in stack.folders()}

    def look_again(self) -> None:
        for stack in self._stacks:
            stack.look_again()

    def has(self, number: int) -> bool:
        while number >= (first := self._n_before[-1]):
            k = len(self._n_before) - 1
            if k == len(self._stacks):
                return False
            stack = self._stacks[k]
            stack.look()
            if number < first + stack.length:
                return stack.has(number - first)
            if stack.is_growing and not self._is_next_there(k):
                return False
            self._n_before.append(first + stack.length)
        k = max(k for k, first in enumerate(self._n_before) if first <= number)
        return self._stacks[k].has(number - self._n_before[k])

    def _is_next_there(self, k: int) -> bool:
        """Return whether the next file has begun, after which this one grows no more."""
        if k + 1 == len(self._stacks):
            return False
        try:
            self._stacks[k + 1].look()
        except RejectedMessageError:
            raise
        except HDF5_ERRORS:  # DecodeError is one of them
            return False
        return True

    def n_images(self) -> int | None:
        """Return how many images all files have together, ``None`` while one is missing or grows."""
        n_images = 0
        for stack in self._stacks:
            try:
                stack.look()
            except RejectedMessageError:
                raise
            except HDF5_ERRORS:
                return None
            if stack.is_growing:
                return None
            n_images += stack.length
        return n_images

    def release(self) -> None:
        for stack in self._stacks:
            stack.release()

    def close(self) -> None:
        for stack in self._stacks:
            stack.close()


def _find_images(path: str, name: str, check: Check, *, depth: int) -> _Images:
    """Return the images of a dataset, of whatever kind it is."""
    if depth > MAX_DEPTH:
        raise DecodeError(f"virtual datasets more than {MAX_DEPTH} deep", where=path)
    files = OpenFiles(check)
    try:
        path, dataset = find_object(files, path, name, where="")
        check_dataset(dataset, where=f"{path}:{name}")
        if not dataset.is_virtual:
            return _StoredImages(path, str(dataset.name), check)
        mappings = read_mappings(dataset)
        if not mappings:
            raise DecodeError("takes images from other files in an irregular way", where=f"{path}:{name}")
        return _VirtualImages(path, image_shape(dataset), mappings, depth, check)
    finally:
        files.close()


class ArrivingImages:
    """Which images of a file are there. What cannot be seen yet is not there: a file that is missing or half written.

    Parameters
    ----------
    path : str
        The file: a master with a virtual dataset or with links to data files, or a data file.
    dataset : str
        Its dataset of images; if that is not there, ``data_000001`` and so on in the same group.
    confine : callable, optional
        Raises `RejectedMessageError` for a path that links must not lead to; `look_again` and `has` raise that.
    """

    def __init__(self, path: str, dataset: str = DATASET, confine: Callable[[str], None] | None = None) -> None:
        self._path, self._dataset = path, dataset
        self._check = None if confine is None else LinkConfinement(confine).check
        self._images: _Images | None = None
        self._read_from: tuple[int, ...] | None = None
        self._read_at = 0.0
        self.n_images: int | None = None
        """How many there will be; ``None`` while the file does not say."""
        self.reason = ""
        """Why the image that was asked for last is not there, if it is not simply unwritten."""

    def folders(self) -> set[str]:
        """Return the folders in which something happens when an image is written."""
        own = {os.path.dirname(self._path)}
        return own | self._images.folders() if self._images is not None else own

    def look_again(self) -> None:
        """Look at the files once more, and at what the file says if it changed."""
        try:
            status = os.stat(self._path)
        except OSError as error:
            self.reason = f"{self._path}: {error.strerror}"
            return
        signature = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
        if self._is_new(signature):
            self._read(signature)
        if self._images is not None:
            self._images.look_again()

    def _is_new(self, signature: tuple[int, ...]) -> bool:
        """Return whether the layout is to be read: not before, from another file, or long ago and changed since."""
        if self._images is None or self._read_from is None or self.n_images is None:
            return True
        if signature[:2] != self._read_from[:2]:
            return True
        return signature != self._read_from and time.monotonic() - self._read_at > _READ_AGAIN_S

    def _read(self, signature: tuple[int, ...]) -> None:
        files = OpenFiles(self._check)
        try:
            file = files.open(self._path, where="")
            images, n_images = self._read_layout(file)
        except RejectedMessageError:
            raise
        except HDF5_ERRORS as error:
            self.reason = str(error)[:200]
            return
        finally:
            files.close()
        self.close()
        self._images, self.n_images, self._read_from = images, n_images, signature
        self._read_at = time.monotonic()

    def _read_layout(self, file: Any) -> tuple[_Images, int | None]:
        group_name, _, name = self._dataset.rpartition("/")
        group = file[group_name or "/"]
        names = child_names(group)
        if name in names:
            images = _find_images(self._path, self._dataset, self._check, depth=0)
            return images, _length(file, self._dataset)
        linked = sorted((int(found[1]), each) for each in names if (found := _NUMBERED.fullmatch(each)))
        if not linked:
            raise DecodeError(f"has neither {name} nor data_000001 in {group_name}", where=self._path)
        images = _LinkedImages(self._path, [_target(group, each, self._path) for _, each in linked], self._check)
        expected = expected_images(find_entry(file))
        return images, expected if expected is not None else images.n_images()

    def has(self, number: int) -> bool:
        """Return whether an image is written, counted from 0."""
        if self._images is None:
            return False
        try:
            there = self._images.has(number)
        except RejectedMessageError:
            raise
        except HDF5_ERRORS as error:
            self.reason = str(error)[:200]
            if not isinstance(error, DecodeError):  # its writer was just changing it: begin anew next time
                self._images.close()
            return False
        if there:
            self.reason = ""
        return there

    def release(self) -> None:
        """Close the files that nobody writes; those that grow stay open."""
        if self._images is not None:
            with suppress(*HDF5_ERRORS):
                self._images.release()

    def close(self) -> None:
        """Close all files."""
        if self._images is not None:
            self._images.close()
        self._images, self._read_from = None, None


def _length(file: Any, name: str) -> int | None:
    """Return how many images a dataset will have: its length, unless it grows with them."""
    dataset = file[name]
    if dataset.ndim == 2:
        return 1
    if not dataset.is_virtual and is_being_written(dataset) and dataset.maxshape[0] is None:
        return None
    return int(dataset.shape[0]) or None


def _target(group: Any, name: str, path: str) -> tuple[str, str]:
    link = group.get(name, getlink=True)
    if isinstance(link, h5py.ExternalLink):
        return linked_path(os.fsdecode(link.filename), path), str(link.path)
    return path, f"{group.name}/{name}"


def is_hdf5_name(path: str) -> bool:
    """Return whether a file is called as HDF5 files are, which are open for as long as images come."""
    return Path(path).suffix.lower() in {".h5", ".hdf5", ".hdf", ".nxs", ".cxi"}
