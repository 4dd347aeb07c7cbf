"""The tests of the dispersion thresholds for one pixel, and what they need of its neighborhood; compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.kernels.dispersion_rule import BIG_COUNT, DispersionRule
from glimt.model.compiled_code import compiled

Array = npt.NDArray[Any]

OK, UNUSUAL, TOO_MANY = 0, 1, 2


@compiled
def is_dispersed(rule: DispersionRule, m: float, x: float, y: float, gain: float) -> bool:
    """Return whether a neighborhood varies more than counting explains; each step as in DIALS, to the last bit."""
    if m < rule.min_local or x < 0:
        return False
    spread = np.sqrt(2 * (m - 1))
    if rule.has_gain:
        return bool(m * y - x * x > gain * x * (m - 1 + rule.sigma_background * spread))
    return bool(m * y - x * x - x * (m - 1) > x * rule.sigma_background * spread)


@compiled
def stands_out(rule: DispersionRule, m: float, x: float, value: float, gain: float) -> bool:
    """Return whether a pixel is far above the mean of its neighborhood."""
    above = m * value - x
    return bool(above > 0 and above > rule.sigma_strong * np.sqrt(gain * x * m))


@compiled
def gain_at(gain: Array, slow: int, fast: int) -> float:
    """Return the gain of a pixel; an array (1, 1) is the gain of all."""
    return float(gain[slow if gain.shape[0] > 1 else 0, fast if gain.shape[1] > 1 else 0])


@compiled
def sum_around(frame: Array, mask: Array, rule: DispersionRule, slow: int, fast: int) -> tuple[float, float]:
    """Return sum and sum of squares of the neighborhood of one pixel, from the frame itself."""
    x = y = 0.0
    for i in range(max(0, fast - rule.kernel_fast), min(frame.shape[1], fast + rule.kernel_fast + 1)):
        column_x = column_y = 0.0  # summed by columns, as everywhere: huge squares are rounded in the same way
        for j in range(max(0, slow - rule.kernel_slow), min(frame.shape[0], slow + rule.kernel_slow + 1)):
            value = float(frame[j, i])
            if not mask[j, i] and rule.lowest <= value <= rule.highest and value < BIG_COUNT:
                column_x += value
                column_y += value * value
        x += column_x
        y += column_y
    return x, y


@compiled
def add_columns(columns: Array, total: Array) -> None:
    """Sum ``columns.size - total.size + 1`` neighboring columns, an odd number, at each place, from left to right."""
    n = total.size
    width = columns.size - n + 1
    if width == 7:  # the usual one, in one pass
        c0, c1, c2, c3 = columns[0:n], columns[1 : n + 1], columns[2 : n + 2], columns[3 : n + 3]
        c4, c5, c6 = columns[4 : n + 4], columns[5 : n + 5], columns[6 : n + 6]
        for i in range(n):
            total[i] = c0[i] + c1[i] + c2[i] + c3[i] + c4[i] + c5[i] + c6[i]
        return
    total[:] = columns[:n]
    for k in range(1, width, 2):
        odd, even = columns[k : k + n], columns[k + 1 : k + 1 + n]
        for i in range(n):
            total[i] = total[i] + odd[i] + even[i]


@compiled
def pick_flagged(flags: Array, picked: Array) -> int:
    """Write where ``flags`` is 1; return how often.

    Parameters
    ----------
    flags : ndarray
        (n,) uint8, 0 or 1; ``n`` a multiple of 8.
    picked : ndarray
        (n + 8,) int64, written; what is beyond the number returned means nothing.
    """
    words, n = flags.view(np.uint64), 0
    four = words.size // 4 * 4
    for first in range(0, four, 4):
        if words[first] | words[first + 1] | words[first + 2] | words[first + 3]:
            n = _pick_words(flags, words, first, first + 4, picked, n)
    return int(_pick_words(flags, words, four, words.size, picked, n))


@compiled
def _pick_words(flags: Array, words: Array, first: int, last: int, picked: Array, n: int) -> int:
    for word in range(first, last):
        if words[word]:
            for i in range(8 * word, 8 * word + 8):  # without a branch, because nobody can foresee which one it is
                picked[n] = i
                n += flags[i]
    return n
