"""Images of a file or of a numbered series of files, whatever the format: what every reader offers."""

from __future__ import annotations

from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from glimt.model.errors import UsageError
from glimt.sources.image_file_metadata import ImageMetadata


class ImageSeries(Protocol):
    """Images that are read by number, 0-based. One thread at a time.

    Attributes
    ----------
    path : str
        What was opened.
    """

    path: str

    def __len__(self) -> int:
        """Return how many images there are, also those whose file is missing or not written yet."""

    @property
    def n_images_ready(self) -> int:
        """How many images from the first one on can be read now; grows while a series is being written."""

    @property
    def metadata(self) -> ImageMetadata:
        """What holds for all images."""

    @property
    def mask(self) -> npt.NDArray[np.bool_] | None:
        """Pixels of the image's shape, True = excluded, as the detector says; ``None`` if it says nothing."""

    def read(self, number: int, out: npt.NDArray[Any] | None = None, *, narrow: bool = False) -> npt.NDArray[Any]:
        """Return an image.

        Parameters
        ----------
        number : int
            0-based.
        out : ndarray, optional
            Of ``metadata.shape`` and ``metadata.dtype``, C-contiguous and writable, to read into. After an error its
            content is undefined.
        narrow : bool
            Return 32-bit pixels as 16-bit ones where that loses nothing and costs no time, see
            `glimt.codecs.pixels.narrow`.

        Raises
        ------
        DecodeError
            The image or its file is missing, cut or damaged; the text names the file, and the image in it.
        UsageError
            There is no such image, or ``out`` is made for another.
        """

    def close(self) -> None:
        """Close all files; nothing can be read afterwards."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def check_number(number: int, n_images: int, path: str) -> None:
    """Raise `UsageError` for an image that a series does not have."""
    if isinstance(number, bool) or not isinstance(number, (int, np.integer)):
        raise UsageError(f"{path}: an image number is a whole number, not {str(number)[:40]!r}")
    if not 0 <= number < n_images:
        raise UsageError(f"{path}: there is no image {number}; this series has 0 to {n_images - 1}")


def image_buffer(out: npt.NDArray[Any] | None, metadata: ImageMetadata, path: str) -> npt.NDArray[Any]:
    """Return ``out``, checked, or a new array for an image.

    Raises
    ------
    UsageError
        ``out`` has another shape or type, or cannot be written to.
    """
    if out is None:
        return np.empty(metadata.shape, metadata.dtype)
    fits = out.shape == metadata.shape and out.dtype == np.dtype(metadata.dtype)
    if not (fits and out.flags.c_contiguous and out.flags.writeable):
        raise UsageError(
            f"{path}: out is {list(out.shape)} of {out.dtype}; pass a C-contiguous, writable array of "
            f"{list(metadata.shape)} {metadata.dtype}"
        )
    return out
