"""The quick tests of the dispersion thresholds, compiled: what most pixels see, 16 to 32 at once.

They let every strong pixel through. ``pairs`` is the sum of ``v (v - 1)`` over a neighborhood, cut somewhere so that it
fits 16 bits; if it is great, something may have been cut, or a count clamped, and then it says nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from glimt.kernels.dispersion_sums_compiled import add_columns
from glimt.model.compiled_code import compiled

Array = npt.NDArray[Any]

BRIGHT_SHARE = 16
"""If the sums of pairs say nothing about more than one pixel in so many of a row, it takes the sums of squares."""


class QuickTest(NamedTuple):
    """Constants of the tests that let no strong pixel escape.

    Parameters
    ----------
    clamp : int
        Counts are cut here: neighborhoods of them fit 16 bits.
    window : float
        Pixels in a whole neighborhood.
    least_square : float
        A pixel stands out only if ``(window value - x)² > least_square x``.
    least_dispersion : float
        A neighborhood is dispersed only if ``y - x² / window > least_dispersion x``.
    most_exact : int
        How many neighborhoods may be summed from the frame before the frame counts as unusual.
    """

    clamp: int
    window: float
    least_square: float
    least_dispersion: float
    most_exact: int


@compiled
def enter_row(row: Array, clamped: Array, sums: Array, pairs: Array, clamp: int) -> None:
    """Replace the oldest row by the newest one in the sums of columns, all in 16 bits.

    ``pairs`` are the sums of ``v (v - 1)``, each cut at ``clamp``.
    """
    top, enough = np.uint16(clamp), np.uint16(np.ceil(0.5 + np.sqrt(0.25 + clamp)))
    one = np.uint16(1)
    for i in range(row.size):
        old = clamped[i]
        new = np.uint16(min(np.uint32(row[i]), np.uint32(clamp)))
        clamped[i] = new
        sums[i] = np.uint16(sums[i] + new - old)
        low, low_old = min(new, enough), min(old, enough)  # whose pairs do not overflow
        enters = min(np.uint16(low * np.uint16(low - one)), top)
        leaves = min(np.uint16(low_old * np.uint16(low_old - one)), top)
        pairs[i] = np.uint16(pairs[i] + enters - leaves)


@compiled
def enter_row_with_squares(
    row: Array, clamped: Array, sums: Array, pairs: Array, squares: Array, clamp: int, cut: int
) -> None:
    """As `enter_row`, also in the sums of squares; ``pairs`` are cut at ``cut`` for each column."""
    top, most = np.uint32(clamp), np.uint32(cut)
    for i in range(row.size):
        old = np.uint32(clamped[i])
        new = min(np.uint32(row[i]), top)
        clamped[i] = np.uint16(new)
        x = np.uint16(sums[i] + np.uint16(new) - np.uint16(old))
        y = np.uint32(squares[i] + (new - old) * (new + old))  # one product; that it wraps around does not matter
        sums[i], squares[i] = x, y
        pairs[i] = np.uint16(min(np.uint32(y - np.uint32(x)), most))


@compiled
def _pairs_test(quick: QuickTest, most_pairs: int) -> tuple[Any, Any, Any]:
    """Return the constants of ``pairs > x (least + inverse x)``, a little less than exact because of its rounding."""
    return np.float32(1.0 / quick.window), np.float32(quick.least_dispersion - 1.001), np.uint16(most_pairs)


@compiled
def flag_strong(values: Array, sums: Array, pairs: Array, quick: QuickTest, flags: Array) -> None:
    """Flag what may be strong; ``values`` are the clamped counts of the row, ``pairs`` from `enter_row`."""
    window, square, clamp = np.float32(quick.window), np.float32(quick.least_square), np.uint16(quick.clamp)
    inverse, least, most = _pairs_test(quick, quick.clamp)
    for i in range(values.size):
        x = np.float32(sums[i])
        above = window * np.float32(values[i]) - x
        stands_out = ((above > np.float32(0)) & (above * above > square * x)) | (values[i] >= clamp)
        flags[i] = stands_out & ((np.float32(pairs[i]) > x * (least + x * inverse)) | (pairs[i] >= most))


@compiled
def _flag_dispersed_by_pairs(sums: Array, pairs: Array, most_pairs: int, quick: QuickTest, flags: Array) -> int:
    """Flag what may be dispersed; return for how many the sums of pairs cannot tell."""
    inverse, least, most = _pairs_test(quick, most_pairs)
    n_unknown = 0
    for i in range(sums.size):
        x = np.float32(sums[i])
        unknown = pairs[i] >= most
        flags[i] = (np.float32(pairs[i]) > x * (least + x * inverse)) | unknown
        n_unknown += unknown
    return n_unknown


@compiled
def _flag_dispersed_by_squares(sums: Array, squares: Array, quick: QuickTest, flags: Array) -> None:
    """As `_flag_dispersed_by_pairs`, for rows that are too bright for it."""
    inverse, least = np.float32(1.0 / quick.window), np.float32(quick.least_dispersion - 0.001)
    too_great = np.uint32(quick.clamp * (quick.clamp - 1))
    for i in range(sums.size):
        x = np.float32(sums[i])
        unknown = squares[i] - np.uint32(sums[i]) >= too_great
        flags[i] = (np.float32(squares[i]) - x * x * inverse > least * x) | unknown


@compiled
def flag_dispersed(
    sums: Array, pairs: Array, squares: Array, window_squares: Array, cut: int, quick: QuickTest, flags: Array
) -> None:
    """Flag what may be dispersed.

    ``pairs`` and the sums of columns ``squares`` are from `enter_row_with_squares`; ``window_squares`` is work space.
    """
    most_pairs = min(cut, quick.clamp * (quick.clamp - 1))  # less: no column was cut, no count clamped
    if _flag_dispersed_by_pairs(sums, pairs, most_pairs, quick, flags) > sums.size // BRIGHT_SHARE:
        add_columns(squares, window_squares)
        _flag_dispersed_by_squares(sums, window_squares, quick, flags)
