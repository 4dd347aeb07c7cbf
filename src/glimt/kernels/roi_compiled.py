"""Sums over regions of interest, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.model.compiled_code import compiled

Array = npt.NDArray[Any]


@compiled
def sum_runs(values: Array, runs: Array, first_runs: Array, out: tuple[Array, Array]) -> None:
    """Add up whole numbers run by run.

    Parameters
    ----------
    values : ndarray
        (n_pixels,) integers.
    runs : ndarray
        (n_runs, 2) int64 flat start and end of unmasked pixels, all within the frame.
    first_runs : ndarray
        (n_rois + 1,) int64; region ``i`` has the runs from ``first_runs[i]`` to ``first_runs[i + 1]``.
    out : tuple of ndarray
        (n_rois,) float64 sums and int64 numbers of pixels, changed.
    """
    for roi in range(first_runs.size - 1):
        total, n = np.int64(0), 0
        for k in range(first_runs[roi], first_runs[roi + 1]):
            for i in range(runs[k, 0], runs[k, 1]):
                total += np.int64(values[i])
            n += runs[k, 1] - runs[k, 0]
        out[0][roi], out[1][roi] = total, n


@compiled
def sum_floating_runs(values: Array, runs: Array, first_runs: Array, out: tuple[Array, Array]) -> None:
    """Add up floating numbers run by run, leaving out NaN; parameters as of `sum_runs`."""
    for roi in range(first_runs.size - 1):
        total, n = 0.0, 0
        for k in range(first_runs[roi], first_runs[roi + 1]):
            for i in range(runs[k, 0], runs[k, 1]):
                v = np.float64(values[i])
                if not np.isnan(v):
                    total += v
                    n += 1
        out[0][roi], out[1][roi] = total, n
