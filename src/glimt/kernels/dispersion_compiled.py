"""The dispersion thresholds for ordinary frames of counts, compiled: row by row, in small integers.

Why this is exact and fast:

- Counts are clamped so that the sum of a whole neighborhood fits 16 bits, and sums of columns are updated by one row
  in and one row out. A sum of clamped counts is never greater than the true one, and more excluded pixels only make a
  pixel stand out less, so that a test of clamped sums as if nothing were excluded lets every strong pixel through, and
  few others (about 1 % at one count a pixel). This test is all that most pixels see, 16 to 32 at once.
- On sparse frames many a single count stands out, in a neighborhood that is not dispersed. The sum of ``v (v - 1)``
  over the neighborhood, ``y - x`` of the rule, tells so. Each is cut where the counts are clamped, so that this sum
  fits 16 bits as well; one that was cut makes it so great that it is noticed.
- Those let through get the exact test: from these sums where nothing was cut, else from the clamped counts, and where
  one of these was clamped, from the frame itself.

Frames it does not suit (negative counts, counts from 2²⁴ on, so bright that many neighborhoods hold clamped counts,
many untrusted pixels) make it give up with `UNUSUAL`; `glimt.kernels.dispersion_dense_compiled` takes them all.
Functions that take arrays are called once a row, not once a pixel: each such call counts references.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.kernels.dispersion_flags_compiled import (
    QuickTest,
    enter_row,
    enter_row_with_squares,
    flag_dispersed,
    flag_strong,
)
from glimt.kernels.dispersion_rule import BIG_COUNT, DispersionRule
from glimt.kernels.dispersion_sums_compiled import (
    OK,
    TOO_MANY,
    UNUSUAL,
    add_columns,
    is_dispersed,
    pick_flagged,
    stands_out,
    sum_around,
)
from glimt.model.compiled_code import compiled

Array = npt.NDArray[Any]

__all__ = ["QuickTest", "find_quickly", "restore_counts"]


@compiled
def _blank(row: Array, runs: Array) -> None:
    """Set runs of excluded pixels to zero; ``runs`` is (run, 2): first and last-but-one."""
    for k in range(runs.shape[0]):
        row[runs[k, 0] : runs[k, 1]] = 0


@compiled
def _copy_row(source: Array, row: Array) -> tuple[Any, Any]:
    lowest = highest = source[0]
    for i in range(row.size):
        value = source[i]
        row[i] = value
        lowest = min(lowest, value)
        highest = max(highest, value)
    return lowest, highest


@compiled
def _limits(row: Array) -> tuple[Any, Any]:
    lowest = highest = row[0]
    for i in range(row.size):
        lowest = min(lowest, row[i])
        highest = max(highest, row[i])
    return lowest, highest


@compiled
def _drop_untrusted(
    row: Array, excluded: Array, slow: int, rule: DispersionRule, counts: Array, dropped: Array, n: int
) -> int:
    """Blank the untrusted pixels of a row and take them out of the counts around; return the next ``n``, -1 if full."""
    for i in range(row.size):
        if excluded[i] or rule.lowest <= row[i] <= rule.highest:
            continue
        if n == dropped.size:
            return -1
        dropped[n] = slow * row.size + i
        n += 1
        row[i] = 0
        for k in range(max(0, slow - rule.kernel_slow), min(counts.shape[0], slow + rule.kernel_slow + 1)):
            for j in range(max(0, i - rule.kernel_fast), min(row.size, i + rule.kernel_fast + 1)):
                if counts[k, j]:
                    counts[k, j] -= 1
        counts[slow, i] = 0
    return n


@compiled
def restore_counts(counts: Array, pristine: Array, dropped: Array, rule: DispersionRule) -> None:
    """Undo what dropping untrusted pixels did to the counts."""
    n_slow, n_fast = counts.shape
    for k in range(dropped.size):
        slow, fast = dropped[k] // n_fast, dropped[k] % n_fast
        first, last = max(0, fast - rule.kernel_fast), min(n_fast, fast + rule.kernel_fast + 1)
        for j in range(max(0, slow - rule.kernel_slow), min(n_slow, slow + rule.kernel_slow + 1)):
            counts[j, first:last] = pristine[j, first:last]


@compiled
def _sum_squares(clamped: Array, first: int, last: int) -> float:
    """Return the sum of squares of columns ``first`` to ``last`` - 1 of the clamped rows."""
    total = np.uint32(0)
    for j in range(clamped.shape[0]):
        for i in range(max(0, first), min(clamped.shape[1], last)):
            value = np.uint32(clamped[j, i])
            total += value * value
    return float(total)


@compiled
def _test_strong(
    frame: Array,
    mask: Array,
    slow: int,
    sums: Array,
    pairs: Array,
    clamped: Array,
    counts: Array,
    gain: Array,
    picked: Array,
    rule: DispersionRule,
    quick: QuickTest,
    found: Array,
    n_found: int,
) -> tuple[int, int]:
    """Test the picked pixels of a row exactly; return the next ``n_found`` and how many needed the frame itself."""
    values, n_exact, unknown = frame[slow], 0, quick.clamp * (quick.clamp - 1)
    gain_step = 1 if gain.size > 1 else 0
    for i in picked:
        x, y = float(sums[i]), float(sums[i]) + float(pairs[i])
        if pairs[i] >= quick.clamp:
            y = _sum_squares(clamped, i - rule.kernel_fast, i + rule.kernel_fast + 1)
            if y - x >= unknown:
                n_exact += 1
                x, y = sum_around(frame, mask, rule, slow, i)
        if not y - x * x / quick.window > quick.least_dispersion * x:
            continue
        m, value, g = float(counts[i]), float(values[i]), gain[i * gain_step]
        if value > rule.global_threshold and is_dispersed(rule, m, x, y, g) and stands_out(rule, m, x, value, g):
            if n_found < found.size:
                found[n_found] = slow * values.size + i
            n_found += 1
    return n_found, n_exact


@compiled
def _test_dispersed(
    frame: Array,
    mask: Array,
    slow: int,
    sums: Array,
    pairs: Array,
    squares: Array,
    counts: Array,
    gain: Array,
    picked: Array,
    cut: int,
    rule: DispersionRule,
    quick: QuickTest,
    dispersed: Array,
) -> tuple[int, int]:
    """As `_test_strong`, for dispersion alone; marks pixels of the row and returns how many."""
    n_exact, n_found, unknown = 0, 0, quick.clamp * (quick.clamp - 1)
    most_pairs = min(cut, unknown)
    gain_step = 1 if gain.size > 1 else 0
    for i in picked:
        x, y = float(sums[i]), float(sums[i]) + float(pairs[i])
        if pairs[i] >= most_pairs:
            square = np.uint32(0)
            for k in range(2 * rule.kernel_fast + 1):
                square += squares[i + k]
            y = float(square)
            if y - x >= unknown:
                n_exact += 1
                x, y = sum_around(frame, mask, rule, slow, i)
        if is_dispersed(rule, float(counts[i]), x, y, gain[i * gain_step]):
            dispersed[i] = 1
            n_found += 1
    return n_found, n_exact


@compiled
def _load_row(
    frame: Array,
    mask: Array,
    slow: int,
    runs: Array,
    rule: DispersionRule,
    counts: Array,
    dropped: Array,
    n_dropped: int,
    row: Array,
) -> int:
    """Copy a row, excluded pixels as zeros; return the next ``n_dropped``, -1 if the frame is unusual."""
    if runs.size:
        source = frame[slow]
        for i in range(row.size):  # several times as fast as an assignment of the whole
            row[i] = source[i]
        _blank(row, runs)
        lowest, highest = _limits(row)
    else:
        lowest, highest = _copy_row(frame[slow], row)
    if lowest < rule.lowest or highest > rule.highest:
        n_dropped = _drop_untrusted(row, mask[slow], slow, rule, counts, dropped, n_dropped)
        lowest, highest = _limits(row)
    return -1 if lowest < 0 or highest >= BIG_COUNT else n_dropped


@compiled
def find_quickly(
    frame: Array,
    mask: Array,
    starts: Array,
    runs: Array,
    counts: Array,
    gain: Array,
    rule: DispersionRule,
    quick: QuickTest,
    dropped: Array,
    dispersed: Array,
    in_row: Array,
    found: Array,
) -> tuple[int, int, int]:
    """Find the strong pixels, or the dispersed ones if ``in_row`` is not empty.

    Parameters
    ----------
    frame, mask : ndarray
        (slow, fast) integers; (slow, fast) bool, True excludes.
    starts, runs : ndarray
        Excluded pixels: ``runs[starts[slow]:starts[slow + 1]]`` are first and last-but-one of each run of a row.
    counts : ndarray
        (slow, fast) uint16: pixels not excluded in each neighborhood, 0 where the pixel itself is. Changed around
        untrusted pixels; `restore_counts` changes it back.
    gain : ndarray
        (slow, fast) or (1, 1) float64.
    rule, quick : DispersionRule, QuickTest
        Parameters.
    dropped : ndarray
        Room for untrusted pixels; beyond, the frame is unusual.
    dispersed, in_row : ndarray
        (slow, fast) uint8 and (slow,) int64, written: dispersed pixels and their number in each row.
    found : ndarray
        Written: strong pixels, flat, ascending.

    Returns
    -------
    (int, int, int)
        Status, number of strong pixels, number of entries of ``dropped``.
    """
    n_slow, n_fast = frame.shape
    reach, margin = rule.kernel_slow, rule.kernel_fast
    extended, ring = in_row.size > 0, 2 * reach + 1
    row = np.zeros(n_fast, frame.dtype)
    clamped = np.zeros((ring, n_fast), np.uint16)
    sums, squares = np.zeros(n_fast + 2 * margin, np.uint16), np.zeros(n_fast + 2 * margin, np.uint32)
    cut = 0xFFFF // (2 * margin + 1)  # the sum of so many columns fits 16 bits
    pairs, window_pairs = np.zeros(n_fast + 2 * margin, np.uint16), np.zeros(n_fast, np.uint16)
    window_sums, window_squares = np.zeros(n_fast, np.uint16), np.zeros(n_fast, np.uint32)
    flags, picked = np.zeros((n_fast + 7) // 8 * 8, np.uint8), np.zeros(n_fast + 8, np.int64)
    n_found, n_exact, n_dropped = 0, 0, 0
    for entering in range(n_slow + reach):
        if entering < n_slow:
            inside = runs[starts[entering] : starts[entering + 1]]
            n_next = _load_row(frame, mask, entering, inside, rule, counts, dropped, n_dropped, row)
            if n_next < 0:
                return UNUSUAL, 0, n_dropped
            n_dropped = n_next
        else:
            row[:] = 0
        inner = slice(margin, margin + n_fast)
        if extended:
            enter_row_with_squares(
                row, clamped[entering % ring], sums[inner], pairs[inner], squares[inner], quick.clamp, cut
            )
        else:
            enter_row(row, clamped[entering % ring], sums[inner], pairs[inner], quick.clamp)
        slow = entering - reach
        if slow < 0:
            continue
        gains = gain[slow if gain.shape[0] > 1 else 0]
        add_columns(sums, window_sums)
        add_columns(pairs, window_pairs)
        if extended:
            flag_dispersed(window_sums, window_pairs, squares, window_squares, cut, quick, flags)
            here = picked[: pick_flagged(flags, picked)]
            in_row[slow], more = _test_dispersed(
                frame,
                mask,
                slow,
                window_sums,
                window_pairs,
                squares,
                counts[slow],
                gains,
                here,
                cut,
                rule,
                quick,
                dispersed[slow],
            )
        else:
            flag_strong(clamped[slow % ring], window_sums, window_pairs, quick, flags)
            here = picked[: pick_flagged(flags, picked)]
            n_found, more = _test_strong(
                frame,
                mask,
                slow,
                window_sums,
                window_pairs,
                clamped,
                counts[slow],
                gains,
                here,
                rule,
                quick,
                found,
                n_found,
            )
        n_exact += more
        if n_exact > quick.most_exact:
            return UNUSUAL, 0, n_dropped
    return (OK if n_found <= found.size else TOO_MANY), n_found, n_dropped
