"""Images of CBF files, one a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from glimt.codecs.cbf import cbf_mask, decode_cbf
from glimt.codecs.cbf_header import CbfHeader
from glimt.model.errors import DecodeError
from glimt.sources.image_file_bytes import read_image_file
from glimt.sources.image_file_metadata import ImageMetadata
from glimt.sources.image_file_numbering import NumberedFiles
from glimt.sources.image_file_series import check_number, image_buffer


class CbfSeries:
    """Images of CBF files; an `glimt.sources.image_file_series.ImageSeries`.

    The first image is read at once: shape, type, header and mask are those of all. Its pixels are kept until they are
    asked for, for the first time.

    Parameters
    ----------
    path : str, Path or sequence of them
        One file, several, or a template such as ``thau_2_####.cbf``; see `NumberedFiles`.

    Raises
    ------
    DecodeError
        The first file is missing or no CBF.
    UsageError
        No file fits the template.
    """

    def __init__(self, path: str | Path | Sequence[str | Path]) -> None:
        self._files = NumberedFiles(path)
        self.path = self._files.path
        first = self._files.path_of(0)
        pixels, header = decode_cbf(read_image_file(first), where=first)
        self.metadata = cbf_metadata(header, pixels)
        self.mask: npt.NDArray[np.bool_] | None = cbf_mask(pixels)
        self._is_open = True
        self._unread: npt.NDArray[Any] | None = pixels  # of the first image, which to decode twice would take long

    def __len__(self) -> int:
        return len(self._files)

    @property
    def n_images_ready(self) -> int:
        """How many files from the first one on are there."""
        return self._files.n_ready

    def read(self, number: int, out: npt.NDArray[Any] | None = None, *, narrow: bool = False) -> npt.NDArray[Any]:
        """Return an image, see `glimt.sources.image_file_series.ImageSeries.read`; it is never narrowed."""
        del narrow
        check_number(number, len(self), self.path)
        if not self._is_open:
            raise DecodeError("the series is closed", where=f"{self.path}, image {number}")
        unread, self._unread = (self._unread, None) if number == 0 else (None, self._unread)
        if unread is not None and out is None:
            return unread
        buffer = image_buffer(out, self.metadata, self.path)
        if unread is not None:
            buffer[...] = unread
            return buffer
        path = self._files.path_of(number)  # which says which image it is
        return decode_cbf(read_image_file(path), where=path, out=buffer).pixels

    def close(self) -> None:
        """Make the series unreadable; no file is open between two images."""
        self._is_open, self._unread = False, None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def cbf_metadata(header: CbfHeader, pixels: npt.NDArray[Any]) -> ImageMetadata:
    """Return what the header of a CBF says, by the names that all formats share."""
    return ImageMetadata(
        shape=pixels.shape,
        dtype=pixels.dtype.name,
        detector_name=header.detector,
        serial_number=header.serial_number,
        pixel_size_m=header.pixel_size_m,
        beam_center_px=header.beam_center_px,
        distance_m=header.distance_m,
        wavelength_angstrom=header.wavelength_angstrom,
        exposure_s=header.exposure_s,
        period_s=header.period_s,
        sensor_thickness_m=header.sensor_thickness_m,
        sensor_material=header.sensor_material,
        threshold_ev=header.threshold_ev,
        saturation_value=header.count_cutoff,
    )
