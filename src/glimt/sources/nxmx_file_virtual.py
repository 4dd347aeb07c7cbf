"""Images that a virtual dataset, or a row of links to data files, takes together from other datasets."""

from __future__ import annotations

from typing import Any

import numpy as np

from glimt.model.errors import DecodeError
from glimt.sources.nxmx_file_links import HDF5_ERRORS, OpenFiles, find_object, is_being_written, linked_path
from glimt.sources.nxmx_file_selection import Mapping, read_mappings
from glimt.sources.nxmx_file_stack import (
    ImageStack,
    MissingStack,
    Pixels,
    StoredStack,
    check_dataset,
    image_shape,
)

MAX_DEPTH = 8
"""Virtual datasets of virtual datasets: deeper is a circle."""


def open_stack(files: OpenFiles, path: str, name: str, *, where: str, depth: int = 0) -> ImageStack:
    """Return the images of a dataset, whatever kind it is.

    Raises
    ------
    DecodeError
        There is no such dataset of images, or its file is missing or damaged.
    """
    if depth > MAX_DEPTH:
        raise DecodeError(f"{path}: virtual datasets more than {MAX_DEPTH} deep", where=where)
    path, dataset = find_object(files, path, name, where=where)
    check_dataset(dataset, where=f"{where}: {path}:{name}" if where else f"{path}:{name}")
    try:
        name = dataset.name
        sources = dataset.virtual_sources() if dataset.is_virtual else None
        mappings = read_mappings(dataset) if sources is not None else None
        if mappings is not None:
            return VirtualStack(files, path, dataset, mappings, depth)
    except HDF5_ERRORS as error:
        raise DecodeError(f"{path}:{name} cannot be read ({str(error)[:100]})", where=where) from None
    for source in sources or ():
        _check_source(files, source, path, where=where)
    return StoredStack(files, path, name, where=where)


def _check_source(files: OpenFiles, source: Any, path: str, *, where: str) -> None:
    """Refuse what HDF5 would read wrongly by itself: it makes up the pixels of a missing file, and dies of a circle."""
    if "%b" in source.file_name + source.dset_name:
        raise DecodeError(f"{path} takes images from files named {source.file_name[:80]!r}; open these", where=where)
    source_path, dataset = find_object(files, linked_path(source.file_name, path), source.dset_name, where=where)
    check_dataset(dataset, where=f"{where}: {source_path}:{source.dset_name}")
    if dataset.is_virtual:
        raise DecodeError(f"{path} takes pixels irregularly from {source_path}, a virtual dataset too", where=where)


class VirtualStack:
    """Images of a virtual dataset with regular mappings.

    Parameters
    ----------
    files : OpenFiles
        Open files.
    path : str
        File of the virtual dataset.
    dataset : h5py.Dataset
        It.
    mappings : list of Mapping
        Of it.
    depth : int
        How many virtual datasets lead here.
    """

    def __init__(self, files: OpenFiles, path: str, dataset: Any, mappings: list[Mapping], depth: int) -> None:
        self._files, self._path, self._name, self._depth = files, path, str(dataset.name), depth
        self.shape = image_shape(dataset)
        self.dtype: np.dtype[Any] = dataset.dtype.newbyteorder("=")
        self._single = dataset.ndim == 2
        self._dataset = dataset
        self._mappings = mappings
        self._fill = dataset.fillvalue
        self._sources: dict[tuple[str, str], ImageStack] = {}
        self._latest = 0
        self._scratch = np.empty(0, self.dtype)

    @property
    def n_images(self) -> int:
        """How many images the virtual dataset has."""
        if self._single:
            return 1
        if not self._dataset:
            _, self._dataset = find_object(self._files, self._path, self._name, where="")
        try:
            if is_being_written(self._dataset):
                self._dataset.refresh()
            return int(self._dataset.shape[0])
        except HDF5_ERRORS as error:
            raise DecodeError(f"cannot be read any more ({str(error)[:100]})", where=self._path) from None

    @property
    def n_ready(self) -> int:
        """How many images from the first on have all their sources."""
        ready = self.n_images
        for mapping in self._mappings:
            if mapping.images and mapping.images.start >= ready:
                continue
            try:
                missing = mapping.first_missing(self._source(mapping, "").n_ready)
            except DecodeError:
                missing = mapping.first_missing(0)
            ready = min(ready, missing) if missing is not None else ready
        return ready

    def read(self, number: int, out: Pixels, *, narrow: bool, where: str) -> Pixels:
        """Read an image into ``out``; return it, or its first half if narrowed.

        Raises
        ------
        DecodeError
            A file that it comes from is missing or damaged, or no file is mapped to it.
        """
        found = self._mappings_of(number)
        if not found:
            raise DecodeError(f"{self._path}:{self._name} takes it from no file", where=where)
        first, source_number = found[0]
        source = self._source(first, where)
        if self._is_whole(first, source):
            shaped = out.reshape(source.shape)
            return source.read(source_number, shaped, narrow=narrow, where=where).reshape(self.shape)
        out[...] = self._fill
        for mapping, source_number in found:
            source = self._source(mapping, where)
            n_pixels = int(np.prod(source.shape, dtype=np.int64))
            if self._scratch.size < n_pixels:
                self._scratch = np.empty(n_pixels, self.dtype)
            image = source.read(
                source_number, self._scratch[:n_pixels].reshape(source.shape), narrow=False, where=where
            )
            part = image if mapping.source_box is None else image[mapping.source_box]
            target = out[mapping.box]
            if part.size != target.size:
                raise DecodeError(f"{part.shape} pixels are mapped to {target.shape}", where=where)
            target[...] = part.reshape(target.shape)
        return out

    def _mappings_of(self, number: int) -> list[tuple[Mapping, int]]:
        """Return the mappings that an image comes from; images are mostly read in order, from one mapping each."""
        latest = self._mappings[self._latest : self._latest + 1]
        for mapping in latest:
            source_number = mapping.source_number(number)
            if source_number is not None and mapping.box == tuple(slice(0, n) for n in self.shape):
                return [(mapping, source_number)]
        found = [(k, m.source_number(number)) for k, m in enumerate(self._mappings)]
        numbered = [(k, n) for k, n in found if n is not None]
        self._latest = numbered[0][0] if numbered else 0
        return [(self._mappings[k], n) for k, n in numbered]

    def _is_whole(self, mapping: Mapping, source: ImageStack) -> bool:
        return (
            mapping.box == tuple(slice(0, n) for n in self.shape)
            and mapping.source_box in (None, tuple(slice(0, n) for n in source.shape))
            and int(np.prod(source.shape)) == int(np.prod(self.shape))
        )

    def _source(self, mapping: Mapping, where: str) -> ImageStack:
        path = linked_path(mapping.file_name, self._path)
        key = path, mapping.dataset_name
        if key not in self._sources:
            source = open_stack(self._files, path, mapping.dataset_name, where=where, depth=self._depth + 1)
            if source.dtype != self.dtype:
                raise DecodeError(f"{path} has pixels of {source.dtype}, {self.dtype} are wanted", where=where)
            self._sources[key] = source
        return self._sources[key]


class LinkedStack:
    """Images of several datasets one after the other: ``data_000001`` and so on of an EIGER master file.

    Parameters
    ----------
    files : OpenFiles
        Open files.
    path : str
        The master file.
    names : list of str
        The datasets, in order; links to files that are not there are allowed.
    n_expected : int or None
        How many images there should be in all, if the file says it.

    Raises
    ------
    DecodeError
        Not one of the data files is there.
    """

    def __init__(self, files: OpenFiles, path: str, names: list[str], n_expected: int | None) -> None:
        self._files, self._path, self._names, self._n_expected = files, path, names, n_expected
        self._stacks: list[ImageStack] = []
        self._look_again()
        there = [stack for stack in self._stacks if not isinstance(stack, MissingStack)]
        if not there:
            error = self._stacks[0]
            what = error.error.what if isinstance(error, MissingStack) else "no data"
            raise DecodeError(f"none of its {len(names)} data files is there: {what}", where=f"{path}, image 0")
        self.shape, self.dtype = there[0].shape, there[0].dtype
        for stack in there:
            self._check(stack)

    def _check(self, stack: ImageStack) -> None:
        if (stack.shape, stack.dtype) != (self.shape, self.dtype):
            raise DecodeError(
                f"images of {stack.shape} {stack.dtype} follow those of {self.shape} {self.dtype}", where=self._path
            )

    def _open(self, name: str) -> ImageStack:
        try:
            stack = open_stack(self._files, self._path, name, where="")
        except DecodeError as error:
            return MissingStack(error, 0)
        if self._stacks and hasattr(self, "shape"):
            self._check(stack)
        return stack

    def _look_again(self) -> None:
        """Open what was missing, and work out how many images what is still missing should have."""
        known = self._stacks or [MissingStack(DecodeError("never looked for"), 0) for _ in self._names]
        self._stacks = [
            self._open(name) if isinstance(stack, MissingStack) else stack
            for name, stack in zip(self._names, known, strict=True)
        ]
        in_each = max(stack.n_images for stack in self._stacks)
        n_before = 0
        for stack in self._stacks:
            if isinstance(stack, MissingStack):
                left = in_each if self._n_expected is None else self._n_expected - n_before
                stack.n_images = max(0, min(in_each, left))
            n_before += stack.n_images

    @property
    def n_images(self) -> int:
        """How many images there are, with those of missing files as far as that can be told."""
        self._look_again()
        return sum(stack.n_images for stack in self._stacks)

    @property
    def n_ready(self) -> int:
        """How many images from the first on can be read."""
        self._look_again()
        ready = 0
        for stack in self._stacks:
            n = stack.n_ready
            ready += n
            if n < stack.n_images or isinstance(stack, MissingStack):
                break
        return ready

    def read(self, number: int, out: Pixels, *, narrow: bool, where: str) -> Pixels:
        """Read an image into ``out``; return it, or its first half if narrowed.

        Raises
        ------
        DecodeError
            Its file is missing or damaged.
        """
        left = number
        for k, stack in enumerate(self._stacks):
            n_images = stack.n_images
            if left < n_images:
                if isinstance(stack, MissingStack):
                    stack = self._stacks[k] = self._open(self._names[k])
                return stack.read(left, out, narrow=narrow, where=where)
            left -= n_images
        raise DecodeError(f"{self._path} has no such image", where=where)
