"""How often each pixel value occurs in a region of interest, between limits that are found in the frames themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.kernels.frame_check import checked_frame, checked_mask, checked_shape
from glimt.kernels.histogram import ValueHistogram
from glimt.kernels.roi_shapes import AnyRoi

Array = npt.NDArray[Any]

N_BINS = 64
_SAMPLES = 1 << 12


@dataclass(frozen=True, slots=True)
class RangedHistogram:
    """Occurrences of pixel values; the caller's own.

    Parameters
    ----------
    counts : list of int
        In `N_BINS` bins of equal width; what is beyond them is in the outer ones.
    low, high : float
        First and last edge [counts].
    """

    counts: list[int]
    low: float
    high: float


_MOST_POWER = 59  # histograms go to 1e18; what is beyond counts in the outermost bin


class RoiHistogram:
    """Count pixel values within a region; made once, called for each frame, from one thread at a time.

    The limits are powers of two that hold 99 % of a sample of the pixels, so that frame after frame has the same bins
    and only the smallest rectangle around the region is read.

    Parameters
    ----------
    shape : (int, int)
        (slow, fast).
    roi : Roi, PolygonRoi or RingRoi
        What lies off the frame is left out.
    mask : array_like, optional
        (slow, fast), True excludes a pixel.

    Raises
    ------
    UsageError
        No shape, or another shape of mask.
    """

    def __init__(self, shape: tuple[int, int], roi: AnyRoi, *, mask: npt.ArrayLike | None = None) -> None:
        self.shape = checked_shape(shape)
        covers = roi.covers(self.shape) & ~checked_mask(mask, self.shape)
        rows, columns = np.flatnonzero(covers.any(axis=1)), np.flatnonzero(covers.any(axis=0))
        self._box = (slice(0, 0), slice(0, 0))
        if rows.size:
            self._box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        self._outside = ~covers[self._box]
        flat = np.flatnonzero(covers[self._box])
        self._some = flat[:: max(flat.size // _SAMPLES, 1)]
        self._range = (0.0, 0.0)
        self._counter: ValueHistogram | None = None

    def measure(self, frame: npt.ArrayLike) -> RangedHistogram:
        """Return the histogram of a frame; all 0 between 0 and 1 where no pixel is left.

        Parameters
        ----------
        frame : array_like
            (slow, fast), any integer or floating type; NaN pixels are left out.

        Raises
        ------
        UsageError
            Another shape, or no numbers.
        """
        if not self._some.size:
            return RangedHistogram([0] * N_BINS, 0.0, 1.0)
        part = np.ascontiguousarray(checked_frame(frame, self.shape)[self._box])
        low, high = _range_of(part.ravel()[self._some])
        if self._counter is None or (low, high) != self._range:
            shape = (part.shape[0], part.shape[1])
            self._counter = ValueHistogram(shape, low=low, high=high, n_bins=N_BINS, mask=self._outside)
            self._range = (low, high)
        found = self._counter.measure(part)
        counts = found.counts.tolist()
        counts[0] += found.n_below
        counts[-1] += found.n_above
        return RangedHistogram(counts, low, high)


def _range_of(some: Array) -> tuple[float, float]:
    known = some[np.isfinite(some)]
    if not known.size:
        return 0.0, 1.0
    low, high = (float(x) for x in np.percentile(known, [0.5, 99.5]))
    low, high = (0.0 if low >= 0 else -_power(-low)), _power(high)
    return (low, high) if low < high else (low - 1.0, low + 1.0)


def _power(value: float) -> float:
    """Return the next power of two above, so that the bins seldom change; `N_BINS` at least of counts."""
    if value <= 0:
        return 0.0
    power = 2.0 ** min(max(math.ceil(math.log2(value * 1.05)), -40), _MOST_POWER)
    return max(power, float(N_BINS)) if value > 1 else power
