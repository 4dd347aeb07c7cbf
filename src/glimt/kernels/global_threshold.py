"""The global threshold that DIALS chooses with ``global_threshold=Auto``: where the number of brighter pixels bends.

Source: DIALS 3.12, ``estimate_global_threshold``; the elbow is found as in method 1 of DISTL (Zhang et al. 2006).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

LEVELS = tuple(int(1.5**i) for i in range(1, 20))
"""Counts at which pixels are counted: 1, 2, 3, 5, 7, ... 2216."""


def estimate_global_threshold(frame: npt.ArrayLike, *, compiled: bool = True) -> int:
    """Return the global threshold that suits a frame.

    The numbers of pixels above `LEVELS` make a curve that falls steeply and then runs flat; the threshold is two levels
    before its elbow. All pixels count, masked ones as well: the same number of them at every level moves nothing.

    Parameters
    ----------
    frame : array_like
        Any shape, integers or floating numbers [counts]; NaN is above nothing. Of several panels DIALS takes the first.
    compiled : bool
        False counts with NumPy, for comparison.

    Returns
    -------
    int
        One of `LEVELS`. For an elbow at the first or second level, as for a frame of zeros, the last but one or the
        last, above which next to nothing is found: so does DIALS.
    """
    return threshold_of_counts(count_above_levels(np.asarray(frame), compiled=compiled))


def count_above_levels(frame: Array, *, compiled: bool = True) -> Array:
    """Return how many pixels are above each of `LEVELS`, (level,) int64."""
    if compiled:
        from glimt.kernels.global_threshold_compiled import count_values, count_whole_values  # imports Numba

        table = np.zeros((4, LEVELS[-1] + 2), np.int64)
        values = np.ascontiguousarray(frame).reshape(-1)
        if values.dtype.kind in "iu":
            count_whole_values(values, table)
        else:
            count_values(values, table[0])
        at_least = table.sum(axis=0)[::-1].cumsum()[::-1]
        above: Array = at_least[np.array(LEVELS) + 1]
        return above
    return np.array([np.count_nonzero(frame > level) for level in LEVELS], np.int64)


def threshold_of_counts(n_above: Array) -> int:
    """Return the threshold for numbers of pixels above each of `LEVELS`."""
    x, y = np.array(LEVELS, np.float64), np.asarray(n_above, np.float64)
    steepest = int(np.argmin((y[-1] - y[:-1]) / (x[-1] - x[:-1])))
    normal = np.array([y[-1] - y[steepest], x[steepest] - x[-1]])
    normal /= np.hypot(normal[0], normal[1])
    gaps = np.abs(normal[0] * (x[steepest] - x[steepest:]) + normal[1] * (y[steepest] - y[steepest:]))
    return LEVELS[steepest + int(np.argmax(gaps)) - 2]  # below the first level DIALS goes on from the last, as here
