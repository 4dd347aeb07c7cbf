"""Which images, and which of their pixels, a mapping of a virtual dataset takes from where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import h5py


@dataclass(frozen=True, slots=True)
class AxisSelection:
    """A regular choice along one axis: ``count`` blocks of ``block``, ``stride`` apart, from ``start`` on."""

    start: int
    stride: int
    count: int
    block: int

    @property
    def size(self) -> int:
        """How many are chosen."""
        return self.count * self.block

    def position_of(self, index: int) -> int | None:
        """Return the how-manieth chosen one ``index`` is, ``None`` if it is not chosen."""
        n_blocks, rest = divmod(index - self.start, self.stride)
        return n_blocks * self.block + rest if 0 <= n_blocks < self.count and rest < self.block else None

    def index_of(self, position: int) -> int:
        """Return the index of a chosen one."""
        n_blocks, rest = divmod(position, self.block)
        return self.start + n_blocks * self.stride + rest

    def n_below(self, limit: int) -> int:
        """Return how many of the chosen ones are below ``limit``."""
        n_blocks, rest = divmod(limit - self.start, self.stride)
        if n_blocks < 0:
            return 0
        return self.size if n_blocks >= self.count else n_blocks * self.block + min(rest, self.block)

    def as_slice(self) -> slice | None:
        """Return the same as a slice without gaps, ``None`` if there are gaps."""
        if self.count > 1 and self.stride != self.block:
            return None
        return slice(self.start, self.start + self.size)


def read_selection(space: Any) -> tuple[AxisSelection, ...] | None:
    """Return what an HDF5 dataspace chooses along each axis, ``None`` if that is irregular or unlimited."""
    if space.get_select_type() != h5py.h5s.SEL_HYPERSLABS or not space.is_regular_hyperslab():
        return None
    axes = []
    for start, stride, count, block in zip(*space.get_regular_hyperslab(), strict=True):
        axis = AxisSelection(int(start), int(max(stride, block) if count == 1 else stride), int(count), int(block))
        if not (0 < axis.block <= axis.stride and 0 < axis.count < 1 << 40 and axis.block < 1 << 40):
            return None
        axes.append(axis)
    return tuple(axes)


@dataclass(frozen=True, slots=True)
class Mapping:
    """Images of a virtual dataset that come from one source dataset.

    Parameters
    ----------
    file_name, dataset_name : str
        The source, as the file says.
    images, source_images : AxisSelection or None
        Along the first axis of both; ``None`` where there is a single image without such an axis.
    box : tuple of slice
        The pixels in an image of the virtual dataset.
    source_box : tuple of slice or None
        The pixels in an image of the source, ``None`` for all.
    """

    file_name: str
    dataset_name: str
    images: AxisSelection | None
    source_images: AxisSelection | None
    box: tuple[slice, ...]
    source_box: tuple[slice, ...] | None

    def source_number(self, number: int) -> int | None:
        """Return which image of the source is image ``number``, ``None`` if it is not from there."""
        position = self.images.position_of(number) if self.images else 0
        if position is None:
            return None
        return self.source_images.index_of(position) if self.source_images else 0

    def first_missing(self, n_ready: int) -> int | None:
        """Return the first image that is not there if the source has ``n_ready``, ``None`` if all are."""
        wanted = self.images.size if self.images else 1
        ready = self.source_images.n_below(n_ready) if self.source_images else n_ready
        if ready >= wanted:
            return None
        return self.images.index_of(ready) if self.images else 0


def _boxes(axes: tuple[AxisSelection, ...]) -> tuple[slice, ...] | None:
    slices = tuple(axis.as_slice() for axis in axes)
    return None if None in slices else tuple(s for s in slices if s is not None)


def read_mappings(dataset: Any) -> list[Mapping] | None:
    """Return the mappings of a virtual dataset, ``None`` if one is of a kind that only HDF5 itself can follow."""
    mappings = []
    for file_name, dataset_name, space, source_space in (
        (m.file_name, m.dset_name, m.vspace, m.src_space) for m in dataset.virtual_sources()
    ):
        axes = _whole(dataset.shape) if space.get_select_type() == h5py.h5s.SEL_ALL else read_selection(space)
        if axes is None or not 2 <= len(axes) <= 4 or "%b" in file_name + dataset_name:
            return None
        images, axes = (axes[0], axes[1:]) if len(axes) > 2 else (None, axes)
        box, n_images = _boxes(axes), images.size if images else 1
        source = _read_source(source_space, n_images)
        if box is None or source is None:
            return None
        mappings.append(Mapping(file_name, dataset_name, images, source[0], box, source[1]))
    return mappings


def _whole(shape: tuple[int, ...]) -> tuple[AxisSelection, ...] | None:
    return tuple(AxisSelection(0, n, 1, n) for n in shape) if all(shape) else None


def _read_source(space: Any, n_images: int) -> tuple[AxisSelection | None, tuple[slice, ...] | None] | None:
    """Return the images and the pixels that come from a source, ``None`` if HDF5 itself has to follow."""
    if space.get_select_type() == h5py.h5s.SEL_ALL:  # its extent is not in the file
        return AxisSelection(0, n_images, 1, n_images), None
    axes = read_selection(space)
    if axes is None or not 2 <= len(axes) <= 4:
        return None
    images, axes = (axes[0], axes[1:]) if len(axes) > 2 else (None, axes)
    box = _boxes(axes)
    same_number = (images.size if images else 1) == n_images
    return (images, box) if box is not None and same_number else None
