"""Diffraction images as grey pictures for people: dark spots on white."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.kernels.preview import Preview
from glimt.model.errors import UsageError
from glimt.pipeline.workers.image_analysis import trusted_range
from glimt.services.image_files import FileImage, Mask

GREY_AT_PERCENTILE = 0.4
"""How dark the 90th percentile of an image is at brightness 100; cctbx's image display has it so."""

PERCENTILE = 90.0
GAP_GREY = 232


def diffraction_picture(image: FileImage, *, binning: int = 4, brightness: float = 60.0) -> npt.NDArray[np.uint8]:
    """Return a picture of an image, (rows, columns) uint8, 255 is white.

    Counts are averaged over squares of ``binning`` pixels; grey falls linearly from white at no counts to black at
    ``p90 / (0.4 brightness / 100)``, where p90 is the 90th percentile of the averages, 1 at least. That is the scale of
    ``dials.export_bitmaps``, which however takes the percentile of single pixels, and bins pictures instead of counts,
    so that small strong spots are paler there. Squares without a valid pixel (gaps, masked and untrusted pixels) are
    light grey.

    Raises
    ------
    UsageError
        The image has modules, or an option is out of range.
    """
    shape = image.pixels.shape
    if len(shape) != 2:
        raise UsageError(f"images of shape {shape} have modules; only flat images (slow, fast) can be drawn")
    if not 1.0 <= brightness <= 10_000.0:
        raise UsageError(f"brightness is {brightness}; 1 to 10000 is possible")
    mask = _mask(image.pixels, image.mask)
    preview = Preview((shape[0], shape[1]), factor=binning, scale="linear", mask=mask)
    darkness = GREY_AT_PERCENTILE * brightness / 100.0
    level = max(preview.contrast(image.pixels, low=0.0, high=PERCENTILE)[1], 1.0)
    return _greys()[preview.levels(image.pixels, (0.0, level / darkness))]


def _greys() -> npt.NDArray[np.uint8]:
    """Return the grey of each level: 0 stands for no valid pixel, 1 to 255 for white to black."""
    greys = np.rint((255 - np.arange(256)) * 255 / 254).clip(0, 255).astype(np.uint8)
    greys[0] = GAP_GREY
    return greys


def _mask(pixels: npt.NDArray[Any], mask: Mask | None) -> Mask | None:
    """Return pixels not to draw: those that the file excludes, and values that mark gaps. Saturated ones are drawn."""
    limits = trusted_range(pixels.dtype, None)
    if limits is None:
        return mask
    marked = np.asarray((pixels < limits[0]) | (pixels > limits[1]))
    return marked if mask is None else marked | mask
