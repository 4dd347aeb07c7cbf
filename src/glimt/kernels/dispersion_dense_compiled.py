"""The dispersion thresholds for any frame, compiled: all sums of all neighborhoods, in double precision.

For frames that `glimt.kernels.dispersion_compiled` does not suit. Nothing is updated from row to row: of floating
numbers a running sum would keep the rounding errors of all that ever passed through it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.kernels.dispersion_rule import BIG_COUNT, DispersionRule
from glimt.kernels.dispersion_sums_compiled import OK, TOO_MANY, add_columns, is_dispersed, pick_flagged, stands_out
from glimt.model.compiled_code import compiled

Array = npt.NDArray[Any]


@compiled
def _load_row(source: Array, excluded: Array, rule: DispersionRule, values: Array, counted: Array) -> None:
    """Write the counted pixels of a row and which they are; zeros elsewhere."""
    for i in range(source.size):
        value = np.float64(source[i])
        use = (not excluded[i]) & (value >= rule.lowest) & (value <= rule.highest) & (value < BIG_COUNT)
        values[i] = value if use else 0.0
        counted[i] = 1.0 if use else 0.0


@compiled
def _sum_columns(values: Array, counted: Array, first: int, last: int, margin: int, sums: Array) -> None:
    """Sum rows ``first`` to ``last`` - 1 of the ring of rows into (3, margin + fast + margin): number, sum, squares."""
    end = margin + values.shape[1]  # slices of whole rows, because strided ones make no vector code
    m, x, y = sums[0][margin:end], sums[1][margin:end], sums[2][margin:end]
    m[:], x[:], y[:] = 0.0, 0.0, 0.0
    for row in range(first, last):
        value, one = values[row % values.shape[0]], counted[row % values.shape[0]]
        # Three loops: in one, too many arrays could overlap for the compiler to use vectors.
        for i in range(m.size):
            m[i] += one[i]
        for i in range(m.size):
            x[i] += value[i]
        for i in range(m.size):
            y[i] += value[i] * value[i]


@compiled
def _flag_dispersed(sums: Array, least: float, flags: Array) -> None:
    """Flag what may be dispersed; ``least`` is a little less than `DispersionRule.least_dispersion`."""
    m, x, y = sums[0], sums[1], sums[2]
    for i in range(m.size):
        flags[i] = m[i] * y[i] - x[i] * x[i] > least * x[i] * m[i]


@compiled
def _test_row(
    source: Array,
    excluded: Array,
    slow: int,
    sums: Array,
    gain: Array,
    picked: Array,
    rule: DispersionRule,
    dispersed: Array,
    found: Array,
    n_found: int,
) -> int:
    """Test picked pixels; marks dispersed ones if there is room, else enters strong ones. Returns the next number."""
    gain_step = 1 if gain.size > 1 else 0
    for i in picked:
        m, x, y, value, g = sums[0, i], sums[1, i], sums[2, i], np.float64(source[i]), gain[i * gain_step]
        usable = (not excluded[i]) and rule.lowest <= value <= rule.highest
        if not (usable and is_dispersed(rule, m, x, y, g)):
            continue
        if dispersed.size:
            dispersed[i] = 1
            n_found += 1
        elif value > rule.global_threshold and stands_out(rule, m, x, value, g):
            if n_found < found.size:
                found[n_found] = slow * source.size + i
            n_found += 1
    return n_found


@compiled
def find_densely(
    frame: Array,
    mask: Array,
    gain: Array,
    rule: DispersionRule,
    least: float,
    dispersed: Array,
    in_row: Array,
    found: Array,
) -> tuple[int, int]:
    """Find the strong pixels, or the dispersed ones if ``in_row`` is not empty.

    As `glimt.kernels.dispersion_compiled.find_quickly`, for integers and floating numbers of any size; ``least`` is its
    ``least_dispersion``.

    Returns
    -------
    (int, int)
        Status, number of strong pixels.
    """
    n_slow, n_fast = frame.shape
    reach, margin = rule.kernel_slow, rule.kernel_fast
    ring = 2 * reach + 1
    values, counted = np.zeros((ring, n_fast)), np.zeros((ring, n_fast))
    columns, sums = np.zeros((3, n_fast + 2 * margin)), np.zeros((3, n_fast))
    flags, picked = np.zeros((n_fast + 7) // 8 * 8, np.uint8), np.zeros(n_fast + 8, np.int64)
    n_found = 0
    for entering in range(n_slow + reach):
        if entering < n_slow:
            at = entering % ring
            _load_row(frame[entering], mask[entering], rule, values[at], counted[at])
        slow = entering - reach
        if slow < 0:
            continue
        _sum_columns(values, counted, max(0, slow - reach), min(n_slow, slow + reach + 1), margin, columns)
        for kind in range(3):
            add_columns(columns[kind], sums[kind])
        _flag_dispersed(sums, least, flags)
        here = picked[: pick_flagged(flags, picked)]
        gains = gain[slow if gain.shape[0] > 1 else 0]
        marks = dispersed[slow if in_row.size else 0]
        n_before = 0 if in_row.size else n_found
        n_found = _test_row(frame[slow], mask[slow], slow, sums, gains, here, rule, marks, found, n_before)
        if in_row.size:
            in_row[slow] = n_found
    if in_row.size:
        return OK, 0
    return (OK if n_found <= found.size else TOO_MANY), n_found
