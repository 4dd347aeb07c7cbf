"""The dispersion thresholds in NumPy: what the compiled ones are held against.

Sums run over the rows of a neighborhood first and over its columns then, so that frames of floating numbers, whose sums
depend on the order, give the same bits in both.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.kernels.dispersion_rule import BIG_COUNT, DispersionRule

Array = npt.NDArray[Any]


def neighborhood_sum(values: Array, slow: int, fast: int, *, dtype: npt.DTypeLike = np.float64) -> Array:
    """Return the sum over (2 slow + 1) x (2 fast + 1) pixels around each, fewer at the edges; (slow, fast)."""
    n_slow, n_fast = values.shape
    padded = np.zeros((n_slow + 2 * slow, n_fast + 2 * fast), dtype)
    padded[slow : slow + n_slow, fast : fast + n_fast] = values
    columns = np.zeros((n_slow, n_fast + 2 * fast), dtype)
    for j in range(2 * slow + 1):
        columns += padded[j : j + n_slow]
    total = np.zeros((n_slow, n_fast), dtype)
    for i in range(2 * fast + 1):
        total += columns[:, i : i + n_fast]
    return total


def usable_pixels(frame: Array, mask: Array, rule: DispersionRule) -> Array:
    """Return which pixels are neither excluded nor outside the trusted range, (slow, fast) bool."""
    usable: Array = ~mask & (frame >= rule.lowest) & (frame <= rule.highest)
    return usable


def _sums(values: Array, counted: Array, rule: DispersionRule) -> tuple[Array, Array, Array]:
    kept = np.where(counted, values, 0.0)
    kernel = (rule.kernel_slow, rule.kernel_fast)
    return neighborhood_sum(counted, *kernel), neighborhood_sum(kept, *kernel), neighborhood_sum(kept * kept, *kernel)


def _dispersed(m: Array, x: Array, y: Array, gain: Array, rule: DispersionRule) -> Array:
    spread = np.sqrt(2 * np.maximum(m - 1, 0.0))
    if rule.has_gain:
        found = m * y - x * x > gain * x * (m - 1 + rule.sigma_background * spread)
    else:
        found = m * y - x * x - x * (m - 1) > x * rule.sigma_background * spread
    return np.asarray(found & (m >= rule.min_local) & (x >= 0))


def find_dispersion(frame: Array, mask: Array, gain: Array, rule: DispersionRule) -> Array:
    """Return the strong pixels of DIALS' ``dispersion``, (n_strong,) flat pixel numbers, ascending.

    Parameters
    ----------
    frame : ndarray
        (slow, fast).
    mask : ndarray
        (slow, fast) bool, True excludes.
    gain : ndarray
        (slow, fast), or (1, 1) for the same everywhere.
    rule : DispersionRule
        Parameters.
    """
    values = frame.astype(np.float64)
    usable = usable_pixels(values, mask, rule)
    m, x, y = _sums(values, usable & (values < BIG_COUNT), rule)
    found = usable & (values > rule.global_threshold) & _dispersed(m, x, y, gain, rule)
    above = m * np.where(usable, values, 0.0) - x > rule.sigma_strong * np.sqrt(gain * np.maximum(x, 0.0) * m)
    return np.flatnonzero(found & above)


def erode(dispersed: Array, distance: int) -> Array:
    """Return which pixels have only dispersed ones nearer than ``distance`` [px]; beyond the frame nothing counts."""
    n_slow, n_fast = dispersed.shape
    reach = distance - 1
    padded = np.ones((n_slow + 2 * reach, n_fast + 2 * reach), np.bool_)
    padded[reach : reach + n_slow, reach : reach + n_fast] = dispersed
    kept = np.ones(dispersed.shape, np.bool_)
    for j in range(2 * reach + 1):
        for i in range(2 * reach + 1):
            kept &= padded[j : j + n_slow, i : i + n_fast]
    return kept


def find_extended(frame: Array, mask: Array, gain: Array, rule: DispersionRule) -> Array:
    """Return the strong pixels of DIALS' ``dispersion_extended``, as `find_dispersion` does."""
    values = frame.astype(np.float64)
    usable = usable_pixels(values, mask, rule)
    counted = usable & (values < BIG_COUNT)
    dispersed = usable & _dispersed(*_sums(values, counted, rule), gain, rule)
    peaks = erode(dispersed, min(rule.kernel_slow, rule.kernel_fast))
    background = counted & ~peaks
    kernel = (rule.kernel_slow + 2, rule.kernel_fast + 2)
    m = neighborhood_sum(background, *kernel)
    x = neighborhood_sum(np.where(background, values, 0.0), *kernel)
    mean = np.where((m >= 2) & (x >= 0), x / np.maximum(m, 1.0), 0.0)
    with np.errstate(invalid="ignore"):
        above = values >= mean + rule.sigma_strong * np.sqrt(gain * mean)
    return np.flatnonzero(peaks & (x >= 0) & (values > rule.global_threshold) & above)
