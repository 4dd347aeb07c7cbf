"""How far each pixel is from the beam, in pixels, and which radial bin that makes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.kernels.frame_check import checked_mask, checked_number, checked_shape
from glimt.model.errors import UsageError

MAX_RADIUS_PX = (1 << 16) - 3
"""Bins are 16-bit numbers, and one of them means none."""


def flat_radius_map(
    shape: tuple[int, int], center_px: tuple[float, float], *, truncated: bool = False
) -> npt.NDArray[np.float32]:
    """Return the distance of every pixel from the beam center on a detector of one flat panel.

    Parameters
    ----------
    shape : (int, int)
        (slow, fast).
    center_px : (float, float)
        Where the beam hits, (slow, fast) [px], counted from the corner of the first pixel.
    truncated : bool
        True measures as CrystFEL's peakfinder8 does: from the pixel's corner, both distances cut to whole pixels.
        False measures from the middle of the pixel.

    Returns
    -------
    ndarray
        (slow, fast) float32 [px].

    Raises
    ------
    UsageError
        The shape is no shape or the center no place.
    """
    n_slow, n_fast = checked_shape(shape)
    center = [checked_number(value, "the beam center [px]", -1e6, 1e6) for value in center_px]
    slow = np.arange(n_slow, dtype=np.float64) - center[0]
    fast = np.arange(n_fast, dtype=np.float64) - center[1]
    if truncated:
        slow, fast = np.trunc(slow), np.trunc(fast)
    else:
        slow, fast = slow + 0.5, fast + 0.5
    radius: npt.NDArray[np.float32] = np.sqrt(slow[:, None] ** 2 + fast[None, :] ** 2).astype(np.float32)
    return radius


class RadialBins:
    """Which radial bin, one pixel wide, every pixel belongs to.

    Parameters
    ----------
    radius_px : array_like
        (slow, fast) distance from the beam [px], from `flat_radius_map` or from a geometry. Bins are whole pixels:
        the nearest whole number, to the even one from the middle. Pixels that are NaN belong nowhere.
    mask : array_like, optional
        (slow, fast), True excludes a pixel.
    min_radius_px, max_radius_px : float
        Pixels belong to a bin if ``min_radius_px < radius`` and, unless ``max_radius_px`` is 0,
        ``radius < max_radius_px``.

    Attributes
    ----------
    shape : (int, int)
        Of the frames.
    n_bins : int
        Number of bins; bin ``n_bins`` is that of excluded pixels.
    bins : ndarray
        (slow * fast,) uint16 bin of each pixel.
    all_bins : ndarray
        (slow * fast,) uint16, the same if nothing were excluded.
    n_pixels : ndarray
        (n_bins,) int64 pixels of each bin.
    order, starts : ndarray
        (n_used,) uint32 flat numbers of the pixels that are not excluded, bin after bin; those of bin ``b`` are
        ``order[starts[b]:starts[b + 1]]``.

    Raises
    ------
    UsageError
        Another shape of mask, a radius that is negative or beyond 65533 px.
    """

    def __init__(
        self,
        radius_px: npt.ArrayLike,
        *,
        mask: npt.ArrayLike | None = None,
        min_radius_px: float = 0.0,
        max_radius_px: float = 0.0,
    ) -> None:
        given: npt.NDArray[Any] = np.asarray(radius_px)
        if given.ndim != 2 or given.dtype.kind not in "iuf":
            raise UsageError(f"the radius map is {given.ndim}-dimensional {given.dtype}; give (slow, fast) numbers")
        self.shape = checked_shape(given.shape)
        excluded = checked_mask(mask, self.shape)
        with np.errstate(over="ignore", invalid="ignore"):
            radius = given.astype(np.float32)
        known = ~np.isnan(radius)
        low, high = radius.min(where=known, initial=0.0), radius.max(where=known, initial=0.0)
        if low < 0 or high > MAX_RADIUS_PX:
            raise UsageError(f"the radius map goes from {low:g} to {high:g} px; 0 to {MAX_RADIUS_PX} px is possible")
        least = checked_number(min_radius_px, "min_radius_px", 0.0, 1e9)
        most = checked_number(max_radius_px, "max_radius_px", 0.0, 1e9)
        excluded |= ~(known & (radius > least if least > 0 else known))
        if most > 0:
            excluded |= ~(radius < most)
        self.n_bins = int(np.rint(high)) + 1
        self.all_bins = np.where(known, np.rint(radius), self.n_bins).astype(np.uint16).ravel()
        self.bins = np.where(excluded.ravel(), np.uint16(self.n_bins), self.all_bins)
        self.n_pixels = np.bincount(self.bins, minlength=self.n_bins + 1)[: self.n_bins].astype(np.int64)
        self.starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(self.n_pixels)])
        self.order = np.argsort(self.bins, kind="stable")[: self.starts[-1]].astype(np.uint32)
