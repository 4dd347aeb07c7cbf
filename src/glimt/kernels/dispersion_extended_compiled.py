"""From dispersed pixels to the strong ones of DIALS' extended threshold, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.kernels.dispersion_rule import BIG_COUNT, DispersionRule
from glimt.kernels.dispersion_sums_compiled import OK, TOO_MANY
from glimt.model.compiled_code import compiled

Array = npt.NDArray[Any]

FEW = 24
"""Up to so many pixels of a row get a background each; for more, columns are summed once for all."""


@compiled
def _erode_row(dispersed: Array, slow: int, reach: int, kept: Array, line: Array) -> int:
    """Write which pixels of a row have only dispersed ones within ``reach``; return how many."""
    n_slow, n_fast = dispersed.shape
    line[:] = dispersed[slow]
    for j in range(max(0, slow - reach), min(n_slow, slow + reach + 1)):
        other = dispersed[j]
        for i in range(n_fast):
            line[i] &= other[i]
    kept[:] = line
    for k in range(1, min(reach, n_fast - 1) + 1):
        before, after = line[: n_fast - k], line[k:]
        left, right = kept[k:], kept[: n_fast - k]
        for i in range(n_fast - k):
            left[i] &= before[i]
        for i in range(n_fast - k):
            right[i] &= after[i]
    n = 0
    for i in range(n_fast):
        n += kept[i]
    return n


@compiled
def erode(dispersed: Array, in_row: Array, reach: int, peaks: Array, peaks_in_row: Array) -> None:
    """Take off the rim that a neighborhood adds to what is dispersed.

    Parameters
    ----------
    dispersed, in_row : ndarray
        (slow, fast) uint8 and (slow,) how many in each row.
    reach : int
        A pixel stays if all within this distance are dispersed [px]; the outside of the frame does not count.
    peaks, peaks_in_row : ndarray
        The same, written.
    """
    line = np.empty(dispersed.shape[1], np.uint8)
    for slow in range(dispersed.shape[0]):
        if in_row[slow]:
            peaks_in_row[slow] = _erode_row(dispersed, slow, reach, peaks[slow], line)
        else:
            peaks[slow] = 0
            peaks_in_row[slow] = 0


@compiled
def _sum_background(
    frame: Array, mask: Array, peaks: Array, rule: DispersionRule, slow: int, columns: tuple[int, int], sums: Array
) -> None:
    """Sum the background of some columns over the larger neighborhood's rows; ``sums`` is (2, fast): number, sum."""
    reach = rule.kernel_slow + 2
    for i in range(columns[0], columns[1]):
        sums[0, i] = sums[1, i] = 0.0
    for j in range(max(0, slow - reach), min(frame.shape[0], slow + reach + 1)):
        source, excluded, peak, m, x = frame[j], mask[j], peaks[j], sums[0], sums[1]
        for i in range(columns[0], columns[1]):
            value = np.float64(source[i])
            trusted = (value >= rule.lowest) & (value <= rule.highest) & (value < BIG_COUNT)
            use = trusted & (not excluded[i]) & (not peak[i])
            m[i] += 1.0 if use else 0.0
            x[i] += value if use else 0.0


@compiled
def _is_above(value: float, m: float, x: float, gain: float, rule: DispersionRule) -> bool:
    if not (x >= 0 and value > rule.global_threshold):
        return False
    mean = x / m if m >= 2 else 0.0
    return bool(value >= mean + rule.sigma_strong * np.sqrt(gain * mean))


@compiled
def find_above_background(
    frame: Array, mask: Array, peaks: Array, peaks_in_row: Array, gain: Array, rule: DispersionRule, found: Array
) -> tuple[int, int]:
    """Find the pixels of peaks that stand out of the background around.

    Parameters
    ----------
    frame, mask, gain, rule, found
        As for `glimt.kernels.dispersion_compiled.find_quickly`.
    peaks, peaks_in_row : ndarray
        (slow, fast) uint8 and (slow,) int64, of `erode`.

    Returns
    -------
    (int, int)
        Status, number of strong pixels.
    """
    n_slow, n_fast = frame.shape
    reach, n_found = rule.kernel_fast + 2, 0
    sums = np.zeros((2, n_fast))
    for slow in range(n_slow):
        if not peaks_in_row[slow]:
            continue
        few = peaks_in_row[slow] <= FEW
        if not few:
            _sum_background(frame, mask, peaks, rule, slow, (0, n_fast), sums)
        gains, peak = gain[slow if gain.shape[0] > 1 else 0], peaks[slow]
        for fast in range(n_fast):
            if not peak[fast]:
                continue
            first, last = max(0, fast - reach), min(n_fast, fast + reach + 1)
            if few:
                _sum_background(frame, mask, peaks, rule, slow, (first, last), sums)
            m = x = 0.0
            for i in range(first, last):
                m += sums[0, i]
                x += sums[1, i]
            if _is_above(float(frame[slow, fast]), m, x, gains[fast if gains.size > 1 else 0], rule):
                if n_found < found.size:
                    found[n_found] = slow * n_fast + fast
                n_found += 1
    return (OK if n_found <= found.size else TOO_MANY), n_found
