"""Sums and histograms of the regions of one image, of all its pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.kernels.histogram import ValueHistogram
from glimt.kernels.roi import RoiIntegrator
from glimt.kernels.roi_region import roi_of
from glimt.model.region import Region
from glimt.web.page_message import sendable

Array = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]

N_BINS = 64
_SAMPLES = 1 << 12


@dataclass(frozen=True, slots=True)
class RegionSums:
    """What one region of one image holds."""

    total: float
    mean: float
    n_pixels: int


class RegionPixels:
    """The regions of images of one shape and mask; made once, used for each image.

    Parameters
    ----------
    shape : (int, int)
        (slow, fast).
    regions : sequence of Region
        In the order of the answers.
    excluded : ndarray or None
        (slow, fast) bool, True excludes a pixel.
    """

    def __init__(self, shape: tuple[int, int], regions: Sequence[Region], excluded: Bools | None) -> None:
        self._rois = [roi_of(region) for region in regions]
        self._integrator = RoiIntegrator(shape, self._rois, mask=excluded)
        self._excluded = excluded
        self._shape = shape
        self._histograms: dict[int, _RegionHistogram] = {}

    def sums(self, image: Array) -> list[RegionSums]:
        """Return what each region holds; NaN pixels are left out."""
        found = self._integrator.integrate(sendable(image))
        rows = zip(found.total, found.mean, found.n_pixels, strict=True)
        return [RegionSums(float(total), float(mean), int(n)) for total, mean, n in rows]

    def histogram(self, index: int, image: Array) -> dict[str, Any]:
        """Return ``counts`` of `N_BINS` bins between ``low`` and ``high``; what is beyond is in the outer bins."""
        if index not in self._histograms:
            covers = self._rois[index].covers(self._shape)
            if self._excluded is not None:
                covers &= ~self._excluded
            self._histograms[index] = _RegionHistogram(covers)
        return self._histograms[index].measure(image)


class _RegionHistogram:
    """Counts pixel values within the smallest rectangle around a region; the range stays while it fits."""

    def __init__(self, covers: Bools) -> None:
        rows, columns = np.flatnonzero(covers.any(axis=1)), np.flatnonzero(covers.any(axis=0))
        self._box = (slice(0, 0), slice(0, 0))
        if rows.size:
            self._box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        self._outside = ~covers[self._box]
        flat = np.flatnonzero(covers[self._box])
        self._some = flat[:: max(flat.size // _SAMPLES, 1)]
        self._range = (0.0, 0.0)
        self._counter: ValueHistogram | None = None

    def measure(self, image: Array) -> dict[str, Any]:
        part = np.ascontiguousarray(sendable(image)[self._box])
        low, high = self._range_of(part.ravel()[self._some])
        if not self._some.size:
            return {"counts": [0] * N_BINS, "low": 0.0, "high": 1.0}
        if self._counter is None or (low, high) != self._range:
            shape = (part.shape[0], part.shape[1])
            self._counter = ValueHistogram(shape, low=low, high=high, n_bins=N_BINS, mask=self._outside)
            self._range = (low, high)
        found = self._counter.measure(part)
        counts = found.counts.tolist()
        counts[0] += found.n_below
        counts[-1] += found.n_above
        return {"counts": counts, "low": low, "high": high}

    def _range_of(self, some: Array) -> tuple[float, float]:
        known = some[np.isfinite(some)]
        if not known.size:
            return 0.0, 1.0
        low, high = (float(x) for x in np.percentile(known, [0.5, 99.5]))
        low, high = (0.0 if low >= 0 else -_power(-low)), _power(high)
        return (low, high) if low < high else (low - 1.0, low + 1.0)


def _power(value: float) -> float:
    """Return the next power of two above, so that the bins seldom change; 64 at least of counts."""
    if value <= 0:
        return 0.0
    power = 2.0 ** min(max(math.ceil(math.log2(value * 1.05)), -40), 60)
    return max(power, float(N_BINS)) if value > 1 else power
