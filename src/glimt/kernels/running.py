"""Running mean and variance of every pixel over frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.kernels.frame_check import checked_frame, checked_shape
from glimt.model.errors import UsageError

Array = npt.NDArray[Any]


class RunningMoments:
    """Mean and variance of each pixel over the frames seen so far; one thread at a time.

    Welford's recurrence (Technometrics 4 (1962) 419), merged by Chan, Golub and LeVeque's formula (1979): neither
    loses digits as a difference of large sums would.

    Parameters
    ----------
    shape : (int, int)
        (slow, fast).
    compiled : bool
        False runs the plain NumPy version, for comparison.

    Attributes
    ----------
    n_frames : int
        Frames so far.
    count : ndarray
        (slow, fast) int64, frames in which each pixel was not NaN.

    Raises
    ------
    UsageError
        The shape is none.
    """

    def __init__(self, shape: tuple[int, int], *, compiled: bool = True) -> None:
        self.shape, self._compiled, self.n_frames = checked_shape(shape), compiled, 0
        self._mean, self._squares = np.zeros(self.shape), np.zeros(self.shape)
        # Counted by pixel only once a floating frame has come; until then all have the same count.
        self._count: npt.NDArray[np.int64] | None = None

    @property
    def count(self) -> npt.NDArray[np.int64]:
        """Frames in which each pixel was not NaN, a new array."""
        return np.full(self.shape, self.n_frames, np.int64) if self._count is None else self._count.copy()

    def mean(self) -> Array:
        """Return the mean of each pixel [counts], (slow, fast) float64, a new array; NaN where there was no value."""
        return np.where(self.count > 0, self._mean, np.nan)

    def variance(self) -> Array:
        """Return the unbiased variance [counts²], (slow, fast) float64; NaN for fewer than two values."""
        count = self.count
        variance = np.full(self.shape, np.nan)
        np.divide(self._squares, count - 1, out=variance, where=count > 1)
        return variance

    def add(self, frame: npt.ArrayLike) -> None:
        """Add a frame.

        Parameters
        ----------
        frame : array_like
            (slow, fast), any integer or floating type; a pixel that is NaN is not counted, an infinite one is and
            makes its mean infinite or NaN.

        Raises
        ------
        UsageError
            Another shape, or no numbers.
        """
        values = checked_frame(frame, self.shape)
        if values.dtype.kind == "f" and self._count is None:
            self._count = self.count
        self.n_frames += 1
        if not self._compiled:
            self._add_plain(values.astype(np.float64))
            return
        from glimt.kernels import running_compiled as loops  # imports Numba

        mean, squares = self._mean.ravel(), self._squares.ravel()
        if self._count is None:
            loops.add_whole(values.ravel(), self.n_frames, mean, squares)
        else:
            loops.add_known(values.ravel(), self._count.ravel(), mean, squares)

    def _add_plain(self, values: Array) -> None:
        known = ~np.isnan(values)
        count = np.full(self.shape, self.n_frames, np.int64)
        if self._count is not None:
            self._count += known
            count = self._count
        with np.errstate(invalid="ignore"):  # infinite pixels
            difference = np.where(known, values - self._mean, 0.0)
            self._mean += difference / np.maximum(count, 1)
            self._squares += np.where(known, difference * (values - self._mean), 0.0)

    def merge(self, other: RunningMoments) -> None:
        """Add what another one has seen, as if its frames had come here.

        Raises
        ------
        UsageError
            Another shape.
        """
        if other.shape != self.shape:
            raise UsageError(f"moments of frames of {other.shape} cannot join those of {self.shape}")
        mine, theirs = self.count, other.count
        both = np.maximum(mine + theirs, 1)
        with np.errstate(invalid="ignore"):  # infinite pixels
            difference = np.where(theirs > 0, other._mean - self._mean, 0.0)
            self._mean += difference * (theirs / both)
            self._squares += other._squares + difference**2 * (mine / both * theirs)
        if self._count is not None or other._count is not None:
            self._count = mine + theirs
        self.n_frames += other.n_frames
