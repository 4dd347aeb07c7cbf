"""Pixels of single frames that a geometry file says not to trust: flagged by their value, or saturated."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.codecs.crystfel_geometry_mask import flagged_pixels
from glimt.codecs.crystfel_geometry_record import CrystfelGeometry
from glimt.model.detector_geometry import DetectorGeometry

Mask = npt.NDArray[np.bool_]


class UntrustedPixels:
    """Finds the pixels of each frame that are bad by their value, besides those that are masked anyway.

    Parameters
    ----------
    geometry : CrystfelGeometry
        With ``flag_lessthan``, ``flag_morethan``, ``flag_equal``.
    detector : DetectorGeometry
        Made of it.
    saturation : ndarray, optional
        (slow, fast) largest count of each pixel that is not saturated, of
        `glimt.codecs.crystfel_geometry_planes.saturation_values`.
    mask : ndarray, optional
        (slow, fast) bool, True = excluded from all frames.
    """

    def __init__(
        self,
        geometry: CrystfelGeometry,
        detector: DetectorGeometry,
        *,
        saturation: npt.NDArray[np.float64] | None = None,
        mask: Mask | None = None,
    ) -> None:
        self._geometry, self._detector, self._saturation = geometry, detector, saturation
        self._valid = None if mask is None else ~mask
        self._has_flags = any(panel.flags for panel in geometry.panels)

    def find(self, frame: npt.NDArray[Any]) -> Mask | None:
        """Return these pixels (slow, fast), True = not to be trusted; ``None`` if there are none.

        Raises
        ------
        UsageError
            The frame has another shape than the detector.
        """
        bad = flagged_pixels(self._geometry, self._detector, frame) if self._has_flags else None
        if self._saturation is not None:
            saturated = frame > self._saturation
            bad = saturated if bad is None else bad | saturated
        if bad is None:
            return None
        if self._valid is not None:
            bad &= self._valid
        return bad if bad.any() else None


def mark_untrusted(frame: npt.NDArray[Any], bad: Mask) -> npt.NDArray[Any]:
    """Return a frame of the same type in which pixels have a value that spot finding never trusts.

    The greatest one of unsigned types, -1 of signed ones, NaN of floating ones; see
    `glimt.pipeline.workers.image_analysis.trusted_range`. Frames of uint64 become float64, which is how kernels take
    them: their greatest values cannot be told apart there.
    """
    kind = frame.dtype.kind
    if kind == "u" and frame.dtype.itemsize == 8:
        return without_untrusted(frame, bad)
    marked = frame.copy()
    if kind == "f":
        marked[bad] = np.nan
    elif kind == "i":
        marked[bad] = -1
    else:
        marked[bad] = np.iinfo(frame.dtype).max if kind == "u" else 0
    return marked


def without_untrusted(frame: npt.NDArray[Any], bad: Mask) -> npt.NDArray[Any]:
    """Return a frame of floating type in which pixels are NaN; other values are kept exactly up to 2⁵³."""
    marked = frame.astype(np.float32 if frame.dtype.itemsize <= 2 else np.float64)
    marked[bad] = np.nan
    return marked
