"""Mean and spread of the pixels at each distance from the beam, with and without peaks clipped off."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.kernels.frame_check import checked_count, checked_frame, checked_number
from glimt.kernels.radius_map import RadialBins

Array = npt.NDArray[Any]

SUM_BITS = 28
SQUARE_BITS = 64 - SUM_BITS

MOST_LISTED = 4
MOST_GATHERED = 8
BRIGHT_FRAMES = 64
"""Gathering single bins costs several times as much as sorting all: with a fourth of the pixels listed, or after a
frame of which an eighth was gathered, this many frames are sorted. The numbers are the same."""


@dataclass(frozen=True, slots=True)
class RadialBackground:
    """Statistics of each radial bin; arrays are (n_bins,) and the caller's own.

    Parameters
    ----------
    mean, sigma : ndarray
        float64; 0 where no pixel is left.
    threshold : ndarray
        float64 ``mean + minimum_snr * sigma``, or the least threshold if that is higher; the largest float32 where no
        pixel is left.
    n_pixels : ndarray
        int64, pixels that were within the limits.
    """

    mean: Array
    sigma: Array
    threshold: Array
    n_pixels: Array


class RadialStatistics:
    """Measure frames in radial bins; made once, called for each frame, from one thread at a time.

    The algorithm is the one of Cheetah's peakfinder8 (Barty et al., J. Appl. Cryst. 47 (2014) 1118): mean and standard
    deviation of each bin are found again and again from the pixels within ``minimum_snr`` standard deviations of the
    mean (pixels below ``threshold`` are not cut off from above). Sums of whole numbers are exact.

    Parameters
    ----------
    bins : RadialBins
        Which pixel belongs where.
    compiled : bool
        False runs the plain NumPy version, for comparison.
    """

    def __init__(self, bins: RadialBins, *, compiled: bool = True) -> None:
        self.bins, self._compiled = bins, compiled
        n_pixels, n_bins = bins.bins.size, bins.n_bins
        most = int(bins.n_pixels.max(initial=1)) or 1
        # Sums of the values and of their squares share a word.
        self._most_low = max(min((1 << SUM_BITS) // most, math.isqrt((1 << SQUARE_BITS) // most)) - 1, 0)
        self._sums = np.zeros((4, n_bins + 1), np.uint64)
        self._ends = np.zeros(n_bins + 1, np.int64)
        self._scratch = np.zeros(most, np.float64)
        # Memory that is not written to costs nothing: only a bright frame needs all of these.
        self.listed = np.empty(n_pixels, np.uint32)
        self._grouped = np.empty(n_pixels, np.float64)
        self.n_listed = 0
        self._bright = 0

    def background(
        self, frame: npt.ArrayLike, *, minimum_snr: float, threshold: float, n_iterations: int = 5
    ) -> RadialBackground:
        """Return mean, spread and threshold of each bin with peaks clipped off.

        Parameters
        ----------
        frame : array_like
            (slow, fast), any integer or floating type. NaN, infinite and pixels beyond ±10⁹ are left out.
        minimum_snr : float
            Standard deviations that a pixel may lie off the mean.
        threshold : float
            Least threshold, not negative; pixels below are never cut off from above.
        n_iterations : int
            Of the clipping; Cheetah, OM and CrystFEL do 5.

        Raises
        ------
        UsageError
            Another shape, no numbers, or a parameter out of range.
        """
        values = checked_frame(frame, self.bins.shape).ravel()
        rule = (
            checked_number(minimum_snr, "minimum_snr", 0.0, 1e9),
            checked_number(threshold, "threshold", 0.0, 3e38),
            checked_count(n_iterations, "n_iterations", 1, 1000),
        )
        return self.measure(values, rule)

    def measure(self, values: Array, rule: tuple[float, float, int]) -> RadialBackground:
        """Return the background of a checked, flat frame, and leave the pixels above the threshold in ``listed``.

        The list holds every used pixel that is above the least threshold of ``rule``, and may hold others.
        """
        bins = self.bins
        if not self._compiled:
            from glimt.kernels.radial_statistics_plain import clip_bins

            self.n_listed = bins.bins.size
            self.listed[:] = np.arange(self.n_listed)
            return RadialBackground(*clip_bins(values, bins.bins, bins.n_bins, rule))
        from glimt.kernels import radial_statistics_compiled as loops  # imports Numba

        none = np.uint16(bins.n_bins)
        kind = values.dtype.type
        low_max = 0
        self._sums[:] = 0
        if values.dtype.kind == "f":
            limit = kind(rule[1])
            limit = limit if limit <= rule[1] else np.nextafter(limit, kind(-1))
            self.n_listed = loops.list_above(values, bins.bins, none, limit, self.listed)
        else:
            largest = int(np.iinfo(values.dtype).max)
            low_max = min(max(math.ceil(rule[1]) - 1, 0), self._most_low, largest)
            negative = values.dtype.kind == "i"
            self.n_listed = loops.sum_and_list(
                values, bins.bins, none, kind(low_max), negative, self._sums, self.listed
            )
        if values.dtype.kind == "f" or self._bright or self.n_listed > values.size // MOST_LISTED:
            self._sums[:] = 0
            self._ends[:] = bins.starts
            loops.group_all(values, bins.bins, self._ends, self._grouped)
        else:
            loops.group_by_bin(values, bins.bins, self.listed, self.n_listed, self._ends, self._grouped)
        n = bins.n_bins
        out = np.empty(n), np.empty(n), np.empty(n), np.empty(n, np.int64)
        gathered = loops.clip_bins(
            values, (bins.order, bins.starts, bins.n_pixels), (self._sums, float(low_max)),
            (self._ends, self._grouped), rule, self._scratch, out,
        )  # fmt: skip
        self._bright = BRIGHT_FRAMES if gathered > values.size // MOST_GATHERED else max(self._bright - 1, 0)
        return RadialBackground(*out)

    def profile(self, frame: npt.ArrayLike) -> RadialBackground:
        """Return mean, standard deviation and number of all pixels of each bin, nothing clipped.

        The mean of a bin without pixels is 0, like its number. Pixels beyond ±10⁹, NaN and infinite ones are left out.

        Raises
        ------
        UsageError
            Another shape, or no numbers.
        """
        # Pixels up to 1e9 take part whatever the threshold; a high one makes whole numbers go the fast way.
        return self.background(frame, minimum_snr=0.0, threshold=float(self._most_low + 1), n_iterations=1)
