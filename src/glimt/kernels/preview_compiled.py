"""Binning and coloring of pictures, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.model.compiled_code import compiled

Array = npt.NDArray[Any]


@compiled
def bin_mean(values: Array, keep: Array, inverse: Array, factor: int, column: Array, out: Array) -> None:
    """Average squares of whole numbers.

    Parameters
    ----------
    values, keep : ndarray
        (slow, fast) integers and bool.
    inverse : ndarray
        (rows, columns) float32, one over the number of kept pixels of each square; NaN where there is none.
    factor : int
        Pixels along a square.
    column : ndarray
        (columns * factor,) scratch that sums fit in; the last columns stay zero.
    out : ndarray
        (rows, columns) float32, changed; NaN where nothing is kept.
    """
    n_slow, n_fast = values.shape
    zero = values.dtype.type(0)
    for r in range(out.shape[0]):
        column[:] = 0
        for y in range(r * factor, min((r + 1) * factor, n_slow)):
            row, kept = values[y], keep[y]
            for x in range(n_fast):
                column[x] += column.dtype.type(row[x] if kept[x] else zero)
        if factor == 4:  # unrolled, the sums of the commonest factor are vectors
            for c in range(out.shape[1]):
                four = column[4 * c] + column[4 * c + 1] + column[4 * c + 2] + column[4 * c + 3]
                out[r, c] = np.float32(four) * inverse[r, c]
            continue
        for c in range(out.shape[1]):
            total = column[c * factor]
            for x in range(c * factor + 1, (c + 1) * factor):
                total += column[x]
            out[r, c] = np.float32(total) * inverse[r, c]


@compiled
def bin_floating_mean(values: Array, keep: Array, factor: int, out: Array) -> None:
    """Average squares of floating numbers without their NaN; as `bin_mean`."""
    n_slow, n_fast = values.shape
    for r in range(out.shape[0]):
        for c in range(out.shape[1]):
            total, n = 0.0, 0
            for y in range(r * factor, min((r + 1) * factor, n_slow)):
                for x in range(c * factor, min((c + 1) * factor, n_fast)):
                    v = np.float64(values[y, x])
                    if keep[y, x] and not np.isnan(v):
                        total += v
                        n += 1
            out[r, c] = np.float32(total / n) if n else np.float32(np.nan)


@compiled
def bin_max(values: Array, keep: Array, inverse: Array, least: Any, shape: tuple[int, Array], out: Array) -> None:
    """Take the largest of each square, without NaN; NaN where nothing is kept or all is -infinity.

    As `bin_mean`; ``least`` is the least value of the type of ``values``, ``shape`` the factor and the scratch, of that
    type.
    """
    factor, column = shape
    n_slow, n_fast = values.shape
    for r in range(out.shape[0]):
        column[:] = least
        for y in range(r * factor, min((r + 1) * factor, n_slow)):
            row, kept = values[y], keep[y]
            for x in range(n_fast):
                v = row[x] if kept[x] else least
                column[x] = v if v > column[x] else column[x]
        for c in range(out.shape[1]):
            largest = column[c * factor]
            for x in range(c * factor + 1, (c + 1) * factor):
                largest = column[x] if column[x] > largest else largest
            out[r, c] = np.float32(largest) if largest > -np.inf and inverse[r, c] > 0 else np.float32(np.nan)


@compiled
def look_up(words: Array, shift: int, table: Array, levels: Array) -> None:
    """Replace every binned value by its level.

    Parameters
    ----------
    words : ndarray
        (n,) uint32, the values' bits.
    shift : int
        Bits that do not count.
    table : ndarray
        (2³² >> shift,) uint8.
    levels : ndarray
        (n,) uint8, changed.
    """
    for i in range(words.size):
        levels[i] = table[words[i] >> np.uint32(shift)]


@compiled
def color(levels: Array, colors: Array, picture: Array) -> None:
    """Replace (n,) levels by the (n, 3) colors of a (256, 3) table."""
    for i in range(levels.size):
        level = levels[i]
        picture[i, 0], picture[i, 1], picture[i, 2] = colors[level, 0], colors[level, 1], colors[level, 2]
