"""Images of any format that FabIO reads (TIFF, EDF, MarCCD, ADSC, ...): where speed does not matter."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from glimt.model.errors import DecodeError, UsageError
from glimt.model.frame import check_array
from glimt.sources.image_file_metadata import ImageMetadata
from glimt.sources.image_file_numbering import NumberedFiles
from glimt.sources.image_file_series import check_number, image_buffer


class FabioSeries:
    """Images read by FabIO; an `glimt.sources.image_file_series.ImageSeries`.

    Of the metadata only shape and type are known: FabIO's headers have other names in every format.

    Parameters
    ----------
    path : str, Path or sequence of them
        One file, which may hold several images, or several files or a template with one image each.

    Raises
    ------
    DecodeError
        The first file is missing, or FabIO cannot read it.
    UsageError
        FabIO is not installed, or no file fits the template.
    """

    mask: npt.NDArray[np.bool_] | None = None

    def __init__(self, path: str | Path | Sequence[str | Path]) -> None:
        self._fabio = _import_fabio()
        self._files = NumberedFiles(path)
        self.path = self._files.path
        self._image: Any = None
        self._image = self._open(0)
        self._n_frames = max(1, int(getattr(self._image, "nframes", 1))) if len(self._files) == 1 else 1
        pixels = self._pixels(0)
        self.metadata = ImageMetadata(shape=pixels.shape, dtype=pixels.dtype.name)

    def _open(self, number: int) -> Any:
        path = self._files.path_of(number)
        if not os.path.isfile(path):
            raise DecodeError(f"{path} is missing")
        try:
            return self._fabio.open(path)
        except Exception as error:  # every format has its own, and some raise what they like
            raise DecodeError(f"FabIO cannot read {path} ({str(error)[:200]})") from error

    def _pixels(self, number: int) -> npt.NDArray[Any]:
        where = self._where(number)
        image = self._image if len(self._files) == 1 else self._open(number)
        try:
            if self._n_frames > 1:
                image = image.getframe(number)
            pixels = np.asarray(image.data)
        except Exception as error:
            raise DecodeError(f"FabIO cannot read it ({str(error)[:200]})", where=where) from error
        if pixels.ndim not in {2, 3}:
            raise DecodeError(f"has {pixels.ndim} dimensions, an image has 2", where=where)
        check_array(pixels.shape, pixels.dtype.name, where=where)
        return pixels

    def _where(self, number: int) -> str:
        """Name an image: a file of its own says which it is."""
        return self._files.path_of(number) if len(self._files) > 1 else f"{self.path}, image {number}"

    def __len__(self) -> int:
        return len(self._files) * self._n_frames

    @property
    def n_images_ready(self) -> int:
        """How many images from the first one on can be read."""
        return self._n_frames if self._n_frames > 1 else self._files.n_ready

    def read(self, number: int, out: npt.NDArray[Any] | None = None, *, narrow: bool = False) -> npt.NDArray[Any]:
        """Return an image, see `glimt.sources.image_file_series.ImageSeries.read`; it is never narrowed."""
        del narrow
        check_number(number, len(self), self.path)
        if self._image is None:
            raise DecodeError("the series is closed", where=f"{self.path}, image {number}")
        buffer = image_buffer(out, self.metadata, self.path)
        pixels = self._pixels(number)
        if pixels.shape != self.metadata.shape or pixels.dtype.name != self.metadata.dtype:
            raise DecodeError(
                f"is {pixels.shape} {pixels.dtype}, the first image {self.metadata.shape} {self.metadata.dtype}",
                where=self._where(number),
            )
        buffer[...] = pixels
        return buffer

    def close(self) -> None:
        """Close the file."""
        image, self._image = self._image, None
        if hasattr(image, "close"):
            image.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _import_fabio() -> Any:
    try:
        return importlib.import_module("fabio")
    except ImportError:
        raise UsageError("this format is read by FabIO, which is not installed; pip install 'glimt[images]'") from None
