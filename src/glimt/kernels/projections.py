"""Projections: of a frame onto its axes, and of many frames onto one (the virtual powder pattern)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.kernels.frame_check import checked_frame, checked_mask, checked_shape
from glimt.model.errors import UsageError

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Projection:
    """Sums along both axes; the caller's own.

    Parameters
    ----------
    over_slow, over_fast : ndarray
        (fast,) and (slow,) float64 sums [counts], exact below 2⁵³ for whole numbers.
    n_over_slow, n_over_fast : ndarray
        (fast,) and (slow,) int64, pixels in each sum.
    """

    over_slow: Array
    over_fast: Array
    n_over_slow: Array
    n_over_fast: Array


class AxisProjector:
    """Project frames onto their axes; made once, called for each frame, from one thread at a time.

    Parameters
    ----------
    shape : (int, int)
        (slow, fast).
    mask : array_like, optional
        (slow, fast), True excludes a pixel.
    compiled : bool
        False runs the plain NumPy version, for comparison.

    Raises
    ------
    UsageError
        The shape is none, or the mask has another.
    """

    def __init__(self, shape: tuple[int, int], *, mask: npt.ArrayLike | None = None, compiled: bool = True) -> None:
        self.shape, self._compiled = checked_shape(shape), compiled
        self._keep = ~checked_mask(mask, self.shape)
        self._n_over_slow = self._keep.sum(axis=0).astype(np.int64)
        self._n_over_fast = self._keep.sum(axis=1).astype(np.int64)

    def project(self, frame: npt.ArrayLike) -> Projection:
        """Return the sums along both axes.

        Parameters
        ----------
        frame : array_like
            (slow, fast), any integer or floating type; NaN pixels are left out.

        Raises
        ------
        UsageError
            Another shape, or no numbers.
        """
        values = checked_frame(frame, self.shape)
        if not self._compiled:
            keep = self._keep & ~np.isnan(values)
            kept = np.where(keep, values, 0).astype(np.float64)
            numbers = keep.sum(axis=0), keep.sum(axis=1)
            return Projection(kept.sum(axis=0), kept.sum(axis=1), *(n.astype(np.int64) for n in numbers))
        from glimt.kernels import projections_compiled as loops  # imports Numba

        over_slow, over_fast = np.zeros(self.shape[1]), np.zeros(self.shape[0])
        n_over_slow, n_over_fast = self._n_over_slow.copy(), self._n_over_fast.copy()
        if values.dtype.kind == "f":
            n_over_slow[:] = 0
            loops.project_floating(values, self._keep, (over_slow, over_fast, n_over_slow, n_over_fast))
        else:
            # Narrow sums fit more into a vector; they suffice for up to 2¹⁶ rows and columns of 16 bits.
            narrow = values.dtype.kind == "u" and values.itemsize <= 2 and max(self.shape) <= 1 << 16
            column = np.empty(self.shape[1], np.uint32 if narrow else np.int64)
            loops.project(values, self._keep, column, (over_slow, over_fast))
        return Projection(over_slow, over_fast, n_over_slow, n_over_fast)


class FrameSum:
    """Add frames up, and keep the largest value of each pixel: the virtual powder pattern. One thread at a time.

    Sums of two halves of a series can be merged.

    Parameters
    ----------
    shape : (int, int)
        (slow, fast).
    dtype
        Of the frames that will come; others are refused, because sums would lose digits or signs.
    compiled : bool
        False runs the plain NumPy version, for comparison.

    Attributes
    ----------
    n_frames : int
        Frames so far.
    total : ndarray
        (slow, fast) int64 or, for floating frames, float64 sum of each pixel without NaN.
    largest : ndarray
        (slow, fast), of the type of the frames; its least value, or -infinity, where there was none.
    n_missing : ndarray or None
        (slow, fast) int64, frames in which a pixel was NaN; ``None`` for whole numbers.

    Raises
    ------
    UsageError
        The shape is none, or the type no number.
    """

    def __init__(self, shape: tuple[int, int], dtype: npt.DTypeLike, *, compiled: bool = True) -> None:
        self.shape, self._compiled, self.n_frames = checked_shape(shape), compiled, 0
        self.dtype = checked_frame(np.zeros((1, 1), dtype), (1, 1)).dtype
        floating = self.dtype.kind == "f"
        least = -np.inf if floating else np.iinfo(self.dtype).min
        self.total: Array = np.zeros(self.shape, np.float64 if floating else np.int64)
        self.largest = np.full(self.shape, least, self.dtype)
        self.n_missing = np.zeros(self.shape, np.int64) if floating else None

    def add(self, frame: npt.ArrayLike) -> None:
        """Add a frame.

        Raises
        ------
        UsageError
            Another shape or type.
        """
        values = checked_frame(frame, self.shape)
        if values.dtype != self.dtype:
            raise UsageError(f"the frame has type {np.asarray(frame).dtype}; the sum was made for {self.dtype}")
        self.n_frames += 1
        if self.n_missing is None:
            if not self._compiled:
                self.total += values
                np.maximum(self.largest, values, out=self.largest)
                return
            from glimt.kernels.projections_compiled import add_frame  # imports Numba

            add_frame(values.ravel(), self.total.ravel(), self.largest.ravel())
        elif not self._compiled:
            known = ~np.isnan(values)
            self.n_missing += ~known
            self.total[known] += values[known]
            np.fmax(self.largest, values, out=self.largest)
        else:
            from glimt.kernels.projections_compiled import add_floating_frame  # imports Numba

            add_floating_frame(values.ravel(), self.total.ravel(), self.largest.ravel(), self.n_missing.ravel())

    def merge(self, other: FrameSum) -> None:
        """Add what another sum of the same shape and type has seen.

        Raises
        ------
        UsageError
            Another shape or type.
        """
        if other.shape != self.shape or other.dtype != self.dtype:
            raise UsageError(f"a sum of {other.shape} {other.dtype} cannot join one of {self.shape} {self.dtype}")
        self.n_frames += other.n_frames
        self.total += other.total
        np.maximum(self.largest, other.largest, out=self.largest)
        if self.n_missing is not None and other.n_missing is not None:
            self.n_missing += other.n_missing
