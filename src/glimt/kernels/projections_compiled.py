"""Projections of frames onto their axes, and of many frames onto one, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.model.compiled_code import compiled

Array = npt.NDArray[Any]


@compiled
def project(values: Array, keep: Array, column: Array, out: tuple[Array, Array]) -> None:
    """Add up the rows and the columns of a frame of whole numbers.

    Parameters
    ----------
    values : ndarray
        (slow, fast) integers.
    keep : ndarray
        (slow, fast) bool, False for excluded pixels.
    column : ndarray
        (fast,) scratch of the type of the sums.
    out : tuple of ndarray
        (fast,) sums over the slow axis and (slow,) sums over the fast axis, changed.
    """
    over_slow, over_fast = out
    column[:] = 0
    zero = values.dtype.type(0)
    for y in range(values.shape[0]):
        row, kept = values[y], keep[y]
        total = column.dtype.type(0)
        for x in range(row.size):
            v = column.dtype.type(row[x] if kept[x] else zero)
            column[x] += v
            total += v
        over_fast[y] = total
    over_slow[:] = column


@compiled
def project_floating(values: Array, keep: Array, out: tuple[Array, Array, Array, Array]) -> None:
    """Add up and count rows and columns of a frame of floating numbers, leaving out NaN.

    ``out`` are (fast,) and (slow,) float64 sums and (fast,) and (slow,) int64 numbers, changed; the first and third
    have to be zero.
    """
    over_slow, over_fast, n_slow, n_fast = out
    for y in range(values.shape[0]):
        row, kept = values[y], keep[y]
        total, n = 0.0, 0
        for x in range(row.size):
            v = np.float64(row[x])
            if kept[x] and not np.isnan(v):
                over_slow[x] += v
                n_slow[x] += 1
                total += v
                n += 1
        over_fast[y], n_fast[y] = total, n


@compiled
def add_frame(values: Array, total: Array, largest: Array) -> None:
    """Add whole numbers to sums, and keep the largest of each; all (n_pixels,)."""
    for i in range(values.size):
        total[i] += values[i]
        largest[i] = max(largest[i], values[i])


@compiled
def add_floating_frame(values: Array, total: Array, largest: Array, missing: Array) -> None:
    """Add floating numbers to sums and keep the largest of each; NaN are counted in ``missing`` (n_pixels,) int64."""
    for i in range(values.size):
        v = values[i]
        if np.isnan(v):
            missing[i] += 1
        else:
            total[i] += v
            largest[i] = max(largest[i], v)
