"""Images in an HDF5 dataset: read as stored and decoded here, or taken together from other datasets."""

from __future__ import annotations

from typing import Any, Protocol

import h5py
import hdf5plugin  # noqa: F401  # so that HDF5 can read what we do not decode
import numpy as np
import numpy.typing as npt

from glimt.codecs.pixels import decode_pixels
from glimt.codecs.pixels.narrow import decode_narrowed
from glimt.model.errors import DecodeError
from glimt.model.frame import check_array
from glimt.sources.nxmx_file_links import HDF5_ERRORS, OpenFiles, find_object, is_being_written

Pixels = npt.NDArray[Any]

BITSHUFFLE, LZ4 = 32008, 32004
BITSHUFFLE_LZ4 = 2
"""The compression that the bitshuffle filter is told to use, its fifth number."""


class ImageStack(Protocol):
    """Images of one shape and type, read by number, 0-based."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def n_images(self) -> int:
        """How many there are, or will be."""

    @property
    def n_ready(self) -> int:
        """How many from the first on can be read now."""

    def read(self, number: int, out: Pixels, *, narrow: bool, where: str) -> Pixels:
        """Read an image into ``out``; return it, or its first half if narrowed. `DecodeError` if that cannot be."""


def check_dataset(dataset: Any, *, where: str) -> None:
    """Raise `DecodeError` if this is no dataset of images."""
    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None or not 2 <= dataset.ndim <= 4:
        raise DecodeError("is no dataset of images with 2 to 4 dimensions", where=where)
    check_array(image_shape(dataset), dataset.dtype.name, where=where)


def image_shape(dataset: Any) -> tuple[int, ...]:
    """Return the shape of an image: without the first axis, except for a single image."""
    shape: tuple[int, ...] = dataset.shape if dataset.ndim == 2 else dataset.shape[1:]
    return shape


def stored_compression(dataset: Any) -> str | None:
    """Return how chunks that hold an image each are compressed, ``None`` if we cannot decode them."""
    whole_images = dataset.chunks == (1,) * (dataset.ndim - len(image_shape(dataset))) + image_shape(dataset)
    if not whole_images or not dataset.dtype.isnative:
        return None
    properties = dataset.id.get_create_plist()
    filters = [properties.get_filter(k) for k in range(properties.get_nfilters())]
    if not filters:
        return "none"
    number, _, values, _ = filters[0]
    if len(filters) > 1:
        return None
    if number == BITSHUFFLE:
        return "bslz4" if len(values) > 4 and values[4] == BITSHUFFLE_LZ4 else None
    return "lz4" if number == LZ4 else None


class StoredStack:
    """Images of one dataset that holds its own pixels.

    Parameters
    ----------
    files : OpenFiles
        Open files.
    path, name : str
        File and dataset.
    where : str
        For the error text.

    Raises
    ------
    DecodeError
        It is no such dataset.
    """

    def __init__(self, files: OpenFiles, path: str, name: str, *, where: str) -> None:
        self._files, self._path, self._name = files, path, name
        self._dataset: Any = None
        dataset = self._open(where)
        try:
            self.shape = image_shape(dataset)
            self.dtype: np.dtype[Any] = dataset.dtype.newbyteorder("=")
            self._single = dataset.ndim == 2
            self._compression = stored_compression(dataset)
            self._n_images = 1 if self._single else int(dataset.shape[0])
            self._growing = not self._single and is_being_written(dataset)
        except HDF5_ERRORS as error:
            raise DecodeError(f"{path} is damaged ({str(error)[:100]})", where=where) from None
        nbytes = int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize
        self._room = nbytes + nbytes // 8 + 4096  # what LZ4 and the lengths of blocks can add, and more
        self._chunk = np.empty(0, np.uint8)

    def _open(self, where: str) -> Any:
        if not self._dataset:  # also when its file was closed meanwhile
            self._path, self._dataset = find_object(self._files, self._path, self._name, where=where)
            check_dataset(self._dataset, where=f"{where}: {self._path}:{self._name}" if where else self._name)
        return self._dataset

    @property
    def n_images(self) -> int:
        """How many images the dataset has; one that is being written is looked at again."""
        return self._count(at_least=-1)

    def _count(self, *, at_least: int) -> int:
        """Return the number of images known, looked at again if there are not more than ``at_least``."""
        if not self._growing or 0 <= at_least < self._n_images:
            return self._n_images
        dataset = self._open("")
        try:
            dataset.refresh()
            self._n_images = int(dataset.shape[0])
            return self._n_images
        except HDF5_ERRORS as error:
            raise DecodeError(f"cannot be read any more ({str(error)[:100]})", where=self._path) from None

    @property
    def n_ready(self) -> int:
        """How many images are written: writers often make the dataset as long as it will be before the first image."""
        n_images = self.n_images
        dataset = self._open("")
        if not n_images or dataset.chunks is None or self._single or dataset.chunks[0] != 1:
            return n_images
        try:
            last = dataset.id.get_chunk_info_by_coord((n_images - 1, *[0] * (dataset.ndim - 1)))
            if last.byte_offset is not None:
                return n_images
            per_image = np.prod([-(-n // c) for n, c in zip(self.shape, dataset.chunks[1:], strict=True)])
            return min(n_images, int(dataset.id.get_num_chunks() // max(int(per_image), 1)))
        except HDF5_ERRORS as error:
            raise DecodeError(f"cannot be read any more ({str(error)[:100]})", where=self._path) from None

    def read(self, number: int, out: Pixels, *, narrow: bool, where: str) -> Pixels:
        """Read an image into ``out``; return it, or its first half if narrowed.

        Raises
        ------
        DecodeError
            The image is not written yet, or damaged.
        """
        dataset = self._open(where)
        where = f"{where}: {self._path}"
        if number >= self._count(at_least=number):
            raise DecodeError(f"has {self._n_images} images, its image {number} is wanted", where=where)
        try:
            if self._compression is None:
                return self._read_through_hdf5(dataset, number, out)
            chunk, is_filtered = self._read_chunk(dataset, number)
        except HDF5_ERRORS as error:
            raise DecodeError(
                f"its image {number} is not written or damaged ({str(error)[:120]})", where=where
            ) from None
        decode = decode_narrowed if narrow else decode_pixels
        return decode(
            chunk,
            compression=self._compression if is_filtered else "none",
            shape=self.shape,
            dtype=self.dtype.name,
            where=f"{where}, its image {number}",
            out=out,
            framing="hdf5" if is_filtered else "auto",
        )

    def _read_chunk(self, dataset: Any, number: int) -> tuple[Any, bool]:
        if not self._chunk.size:
            self._chunk = np.empty(self._room, np.uint8)
        offsets = (0, 0) if self._single else (number, *[0] * len(self.shape))
        skipped, chunk = dataset.id.read_direct_chunk(offsets, out=self._chunk)
        return chunk, not skipped

    def _read_through_hdf5(self, dataset: Any, number: int, out: Pixels) -> Pixels:
        if self._growing and number >= self.n_ready:
            raise ValueError("its writer has not come so far")
        dataset.read_direct(out, None if self._single else np.s_[number])
        return out


class MissingStack:
    """Images whose file is not there yet, or not any more.

    Parameters
    ----------
    error : DecodeError
        What was found when it was looked for.
    n_images : int
        How many it should have.
    """

    def __init__(self, error: DecodeError, n_images: int) -> None:
        self.error = error
        self.n_images = n_images
        self.n_ready = 0
        self.shape: tuple[int, ...] = ()
        self.dtype: np.dtype[Any] = np.dtype(np.uint8)

    def read(self, number: int, out: Pixels, *, narrow: bool, where: str) -> Pixels:
        """Raise `DecodeError`."""
        del number, out, narrow
        raise DecodeError(self.error.what, where=where)
