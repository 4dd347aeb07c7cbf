"""Center of mass of a frame."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.kernels.frame_check import checked_frame, checked_mask, checked_number, checked_shape
from glimt.kernels.projections import AxisProjector

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Centroid:
    """Where the counts of a frame are.

    Parameters
    ----------
    slow, fast : float
        Center of mass [px], 0 the middle of the first pixel; NaN if the weights do not add up to more than 0.
    sigma_slow, sigma_fast : float
        Standard deviation of the distribution [px]; NaN likewise, or if negative weights make the variance negative.
    total : float
        Sum of the weights [counts].
    n_pixels : int
        Pixels that took part.
    """

    slow: float
    fast: float
    sigma_slow: float
    sigma_fast: float
    total: float
    n_pixels: int


class CentroidFinder:
    """Find the center of mass of frames; made once, called for each frame, from one thread at a time.

    Parameters
    ----------
    shape : (int, int)
        (slow, fast).
    mask : array_like, optional
        (slow, fast), True excludes a pixel.
    threshold : float, optional
        Pixels above, not equal, take part; all without.
    offset : float
        Subtracted from each pixel to make its weight [counts].
    compiled : bool
        False runs the plain NumPy version, for comparison.

    Raises
    ------
    UsageError
        The shape is none, the mask has another, a number is none.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        *,
        mask: npt.ArrayLike | None = None,
        threshold: float | None = None,
        offset: float = 0.0,
        compiled: bool = True,
    ) -> None:
        self.shape, self._compiled = checked_shape(shape), compiled
        self._keep = ~checked_mask(mask, self.shape)
        self._threshold = -math.inf if threshold is None else checked_number(threshold, "threshold", -1e18, 1e18)
        self._offset = checked_number(offset, "offset", -1e18, 1e18)
        # Sums of whole numbers along the axes are all it takes, and fourteen times faster than weights.
        self._projector = AxisProjector(self.shape, mask=mask) if compiled and threshold is None else None
        self._columns = np.zeros((2, self.shape[1]))
        self._rows = np.zeros((2, self.shape[0]))

    def find(self, frame: npt.ArrayLike) -> Centroid:
        """Return the center of mass.

        Parameters
        ----------
        frame : array_like
            (slow, fast), any integer or floating type; NaN and infinite pixels are left out.

        Raises
        ------
        UsageError
            Another shape, or no numbers.
        """
        values = checked_frame(frame, self.shape)
        self._columns[:] = 0
        if self._projector is not None and values.dtype.kind in "ui":
            sums = self._projector.project(values)
            self._columns[1], self._rows[1] = sums.n_over_slow, sums.n_over_fast
            self._columns[0] = sums.over_slow - self._offset * sums.n_over_slow
            self._rows[0] = sums.over_fast - self._offset * sums.n_over_fast
        elif self._compiled:
            from glimt.kernels.centroid_compiled import project_weights  # imports Numba

            project_weights(values, self._keep, (self._threshold, self._offset), (self._columns, self._rows))
        else:
            taken = self._keep & np.isfinite(values) & (values.astype(np.float64) > self._threshold)
            weights = np.where(taken, values.astype(np.float64) - self._offset, 0.0)
            self._columns[:] = weights.sum(axis=0), taken.sum(axis=0)
            self._rows[:] = weights.sum(axis=1), taken.sum(axis=1)
        total, n_pixels = float(self._rows[0].sum()), int(self._rows[1].sum())
        slow, sigma_slow = _moments(self._rows[0], total)
        fast, sigma_fast = _moments(self._columns[0], total)
        return Centroid(slow, fast, sigma_slow, sigma_fast, total, n_pixels)


def _moments(weights: Array, total: float) -> tuple[float, float]:
    """Return mean position and standard deviation of weights along an axis."""
    if not 0.0 < total < math.inf:
        return math.nan, math.nan
    place = np.arange(weights.size)
    mean = float((weights * place).sum() / total)
    variance = float((weights * (place - mean) ** 2).sum() / total)
    return mean, math.sqrt(variance) if variance >= 0.0 else math.nan
