"""How often each pixel value occurs in a frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.kernels.frame_check import checked_count, checked_frame, checked_mask, checked_number, checked_shape
from glimt.model.errors import UsageError

Array = npt.NDArray[Any]

MAX_BINS = 1 << 20


@dataclass(frozen=True, slots=True)
class Histogram:
    """Occurrences of pixel values; the caller's own.

    Parameters
    ----------
    counts : ndarray
        (n_bins,) int64.
    n_below, n_above : int
        Pixels below the first and from the last edge on.
    n_nan : int
        Pixels that are no number.
    """

    counts: Array
    n_below: int
    n_above: int
    n_nan: int


class ValueHistogram:
    """Count pixel values of frames; made once, called for each frame, from one thread at a time.

    Parameters
    ----------
    shape : (int, int)
        (slow, fast).
    low, high : float
        First and last edge [counts]; a value belongs to bin ``i`` if ``edges[i] <= value < edges[i + 1]``.
    n_bins : int
        Bins of equal width between them; integers are counted at full speed with a width of 1.
    mask : array_like, optional
        (slow, fast), True excludes a pixel.
    compiled : bool
        False runs the plain NumPy version, for comparison.

    Attributes
    ----------
    edges : ndarray
        (n_bins + 1,) float64.

    Raises
    ------
    UsageError
        Edges that do not grow, no bins, another shape of mask.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        *,
        low: float,
        high: float,
        n_bins: int,
        mask: npt.ArrayLike | None = None,
        compiled: bool = True,
    ) -> None:
        self.shape, self._compiled = checked_shape(shape), compiled
        n = checked_count(n_bins, "n_bins", 1, MAX_BINS)
        first, last = checked_number(low, "low", -1e18, 1e18), checked_number(high, "high", -1e18, 1e18)
        self.edges = np.linspace(first, last, n + 1)
        if not (np.diff(self.edges) > 0).all():
            raise UsageError(f"{n} bins do not fit between {first:g} and {last:g}; the edges have to grow")
        self._keep = ~checked_mask(mask, self.shape)
        # Two sets of bins: neighboring pixels are often equal, and adding to one address twice waits for the store.
        self._counts = np.zeros((2, n + 3), np.int64)

    def measure(self, frame: npt.ArrayLike) -> Histogram:
        """Return the histogram of a frame.

        Parameters
        ----------
        frame : array_like
            (slow, fast), any integer or floating type.

        Raises
        ------
        UsageError
            Another shape, or no numbers.
        """
        values = checked_frame(frame, self.shape)
        if not self._compiled:
            return self._plain(values[self._keep].astype(np.float64))
        from glimt.kernels import histogram_compiled as loops  # imports Numba

        self._counts[:] = 0
        width_one = bool((self.edges == self.edges[0] + np.arange(self.edges.size)).all())
        if values.dtype.kind in "ui" and width_one and self.edges[0] == int(self.edges[0]):
            loops.count_whole(values.ravel(), self._keep.ravel(), int(self.edges[0]), self._counts)
        else:
            loops.count(values.ravel(), self._keep.ravel(), self.edges, self._counts)
        total = self._counts.sum(axis=0)
        return Histogram(total[1:-2].copy(), int(total[0]), int(total[-2]), int(total[-1]))

    def _plain(self, kept: Array) -> Histogram:
        known = kept[~np.isnan(kept)]
        where = np.searchsorted(self.edges, known, side="right")
        counts = np.bincount(where, minlength=self.edges.size + 1)
        return Histogram(counts[1:-1].astype(np.int64), int(counts[0]), int(counts[-1]), int(kept.size - known.size))
