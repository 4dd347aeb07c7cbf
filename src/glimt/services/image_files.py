"""Image files of messages: those with many images stay open from message to message."""

from __future__ import annotations

import itertools
import os
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.model.errors import DecodeError, GlimtError, RejectedMessageError, RetryMessageError, UsageError
from glimt.services.confined_path import confine_to
from glimt.sources.image_file import HDF5_MAGIC, open_images
from glimt.sources.image_file_metadata import ImageMetadata
from glimt.sources.image_file_series import ImageSeries

Mask = npt.NDArray[np.bool_]

N_ATTEMPTS = 6
"""How often a message is tried whose image cannot be read, because it may still be written; see `unreadable`."""

FRESH_S = 1.0
"""A file that changed on disk is opened again after this time, not for each of the images that are appended to it."""


@dataclass(frozen=True, slots=True)
class FileImage:
    """An image of a file.

    Attributes
    ----------
    pixels : ndarray
        (slow, fast) or (module, slow, fast); good until the next image is read.
    metadata : ImageMetadata
    mask : ndarray or None
        Bool of the same shape, True = excluded, as the file says, or in CBF files the pixels by their value.
    path : str
        The file.
    opening : int
        Which opening of files this is of; another one if the file was changed or replaced since, even in its place.
    """

    pixels: npt.NDArray[Any]
    metadata: ImageMetadata
    mask: Mask | None
    path: str
    opening: int


@dataclass(slots=True)
class _Held:
    """An open file, its identity on disk, and when it was opened [s, monotonic]."""

    series: ImageSeries
    identity: tuple[int, int]
    state: tuple[int, int]
    opened_s: float
    number: int


class ImageFiles:
    """Reads images by file and number; one thread at a time.

    Parameters
    ----------
    largest : int
        Files kept open. HDF5 files are, those with one image are read and closed.
    roots : sequence of Path
        Folders that links in HDF5 files must not lead out of; see `glimt.services.confined_path`.
    """

    def __init__(self, largest: int = 16, *, roots: Sequence[Path]) -> None:
        self._largest = largest
        self._confine = confine_to(roots)
        self._held: OrderedDict[Path, _Held] = OrderedDict()
        self._openings = itertools.count()
        self._buffer: npt.NDArray[Any] = np.empty((0, 0), np.uint8)

    def holds_many(self, path: Path) -> bool:
        """Return whether a file is HDF5, in which images are found by number.

        Raises
        ------
        DecodeError
            It is missing or cannot be read.
        """
        if path in self._held:
            return True
        if not path.is_file():  # neither a device nor a pipe, which would block
            raise DecodeError("there is no such file", where=str(path))
        try:
            with open(path, "rb") as file:
                return file.read(len(HDF5_MAGIC)) == HDF5_MAGIC
        except OSError as error:
            raise DecodeError(f"cannot be read ({error.strerror})", where=str(path)) from None

    def n_images(self, path: Path) -> int:
        """Return how many images an HDF5 file has, as far as it is written; errors as `read`."""
        return len(self._open(path).series)

    def read(self, path: Path, number: int = 0) -> FileImage:
        """Return an image.

        Parameters
        ----------
        path : Path
            As `glimt.services.confined_path.confined_path` returns it.
        number : int
            Of an HDF5 file, 0-based.

        Raises
        ------
        DecodeError
            The file or the image is missing, cut or damaged, or not written yet.
        UsageError
            The format cannot be read here.
        RejectedMessageError
            The file leads to another one outside the roots.
        """
        if not self.holds_many(path):
            with open_images(path, self._confine) as series:
                return FileImage(series.read(0), series.metadata, series.mask, str(path), next(self._openings))
        was_open = path in self._held
        try:
            return self._read(self._open(path), number)
        except DecodeError:
            self._drop(path)
            if not was_open:
                raise
        try:
            return self._read(self._open(path), number)  # what was open may be an older file of that name
        except DecodeError:
            self._drop(path)
            raise

    def _read(self, held: _Held, number: int) -> FileImage:
        series = held.series
        n_images = len(series)
        if number >= n_images:
            raise DecodeError(f"there is no image {number + 1} of {n_images} yet", where=series.path)
        known = series.metadata
        if self._buffer.shape != known.shape or self._buffer.dtype != known.dtype:
            self._buffer = np.empty(known.shape, known.dtype)
        pixels = series.read(number, self._buffer, narrow=True)
        return FileImage(pixels, known, series.mask, series.path, held.number)

    def _open(self, path: Path) -> _Held:
        try:
            status = os.stat(path)
        except OSError as error:
            self._drop(path)
            raise DecodeError(f"there is no such file ({error.strerror})", where=str(path)) from None
        identity, state = (status.st_dev, status.st_ino), (status.st_mtime_ns, status.st_size)
        held = self._held.get(path)
        if held is not None:
            is_old = state != held.state and time.monotonic() - held.opened_s > FRESH_S
            if held.identity == identity and not is_old:
                self._held.move_to_end(path)
                return held
            self._drop(path)
        while len(self._held) >= self._largest:
            self._drop(next(iter(self._held)))
        opened = open_images(path, self._confine)
        self._held[path] = held = _Held(opened, identity, state, time.monotonic(), next(self._openings))
        return held

    def _drop(self, path: Path) -> None:
        held = self._held.pop(path, None)
        if held is not None:
            held.series.close()

    def close(self) -> None:
        """Close all files."""
        for path in list(self._held):
            self._drop(path)


def unreadable(error: GlimtError, n_deliveries: int, *, retry_s: float) -> RejectedMessageError | RetryMessageError:
    """Return what to raise for a message whose image could not be read.

    A file that is missing or damaged may still be written: the message comes again after ``retry_s``, then twice, four
    times that and so on, and is rejected at its sixth delivery. Other errors are for good.
    """
    if isinstance(error, RejectedMessageError):
        return error
    if isinstance(error, UsageError):
        return RejectedMessageError(str(error))
    if n_deliveries < N_ATTEMPTS:
        return RetryMessageError(f"{error}; it may still be written", after_s=retry_s * 2 ** (n_deliveries - 1))
    return RejectedMessageError(f"{error}; tried {n_deliveries} times")
