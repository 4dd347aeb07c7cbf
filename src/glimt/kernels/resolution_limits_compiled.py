"""The loops of the resolution limits, compiled."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.kernels.resolution_limits_plain import E_CUTOFF, FEW, UNDEFINED
from glimt.model.compiled_code import compiled

Array = npt.NDArray[Any]


@compiled
def _mark_strays(spots: Array, intensity: Array, ice: Array, stray: Array) -> int:
    """Mark the spots of a bin that are too strong to be reflections; return how many reflections are left."""
    while True:
        total, n = 0.0, 0
        for k in range(spots.size):
            spot = spots[k]
            if not stray[spot] and not ice[spot]:
                total += intensity[spot]
                n += 1
        if n == 0:
            return 0
        amplitude, found = math.sqrt(total / n), False
        for k in range(spots.size):
            spot = spots[k]
            if not stray[spot] and math.sqrt(intensity[spot]) / amplitude >= E_CUTOFF:
                stray[spot] = True
                found = True
        if not found:
            return n


@compiled
def _line(x: Array, y: Array) -> tuple[float, float]:
    """Return slope and intercept of the least-squares line; (0, 0) if there is none."""
    n = x.size
    if n < 2 or x.min() == x.max():
        return 0.0, 0.0
    if y.min() == y.max():
        return 0.0, y[0]
    sum_x, sum_y, sum_xx, sum_xy = 0.0, 0.0, 0.0, 0.0
    for k in range(n):
        sum_x += x[k]
        sum_y += y[k]
        sum_xx += x[k] * x[k]
        sum_xy += x[k] * y[k]
    determinant = n * sum_xx - sum_x * sum_x
    if determinant == 0:
        return 0.0, 0.0
    return (n * sum_xy - sum_x * sum_y) / determinant, (sum_xx * sum_y - sum_x * sum_xy) / determinant


@compiled
def _rank(spots: Array, ice: Array, stray: Array, wanted: int) -> int:
    """Return the spot that is number ``wanted`` among the reflections of a bin."""
    for k in range(spots.size):
        spot = spots[k]
        if not stray[spot] and not ice[spot]:
            if wanted == 0:
                return int(spot)
            wanted -= 1
    return -1


@compiled
def estimate_d_min(
    d_star_sq: Array, log_ratio: Array, intensity: Array, ice: Array, starts: Array, order: Array
) -> float:
    """Return the resolution estimate of all spots.

    Parameters
    ----------
    d_star_sq, log_ratio, intensity, ice : ndarray
        (spot,) 1/d² [1/Å²], ln(I/sigma), I and whether the spot is on an ice ring.
    starts : ndarray
        (bin + 1,) where each bin starts in ``order``.
    order : ndarray
        (spot,) spots by bin, and by ``log_ratio`` inside each.

    Returns
    -------
    float
        [Å], -1 if there is none.
    """
    stray = np.zeros(d_star_sq.size, np.bool_)
    n_bins, n = starts.size - 1, 0
    x_upper, y_upper = np.empty(n_bins), np.empty(n_bins)
    x_lower, y_lower = np.empty(n_bins), np.empty(n_bins)
    for b in range(n_bins):
        spots = order[starts[b] : starts[b + 1]]
        n_kept = _mark_strays(spots, intensity, ice, stray)
        if n_kept == 0:
            continue
        lower = _rank(spots, ice, stray, int(0.1 * n_kept))
        upper = _rank(spots, ice, stray, int(0.9 * n_kept))
        # The abscissas of the two lines are exchanged in DIALS.
        x_upper[n], y_upper[n] = d_star_sq[lower], log_ratio[upper]
        x_lower[n], y_lower[n] = d_star_sq[upper], log_ratio[lower]
        n += 1
    slope, intercept = _line(x_upper[:n], y_upper[:n])
    if slope == _line(x_lower[:n], y_lower[:n])[0]:
        return UNDEFINED
    rise, largest = (slope + intercept) - intercept, -1.0
    for k in range(d_star_sq.size):
        below = (log_ratio[k] - intercept) - rise * d_star_sq[k] < 0
        if below and not stray[k] and not ice[k] and d_star_sq[k] > largest:
            largest = d_star_sq[k]
    return 1.0 / math.sqrt(largest) if largest > 0 else UNDEFINED


@compiled
def _last_near(gaps: Array) -> int:
    """Return the last point whose gap is less than half a standard deviation below the largest gap."""
    n, total, squares = gaps.size, 0.0, 0.0
    for i in range(n):
        total += gaps[i]
    mean = total / n
    for i in range(n):
        squares += (gaps[i] - mean) * (gaps[i] - mean)
    found = int(np.argmax(gaps))
    limit = gaps[found] - 0.5 * math.sqrt(squares / (n - 1))
    for i in range(found + 1, n):
        if gaps[i] > limit:
            found = i
    return found


@compiled
def distl_method_1(d_star: Array) -> tuple[float, float]:
    """Return resolution limit [Å] and noisiness of ascending 1/d, (spot,) [1/Å], 11 spots or more."""
    step = max(2, -(-d_star.size // 40))
    n = d_star.size // step
    y = np.empty(n)
    for i in range(n):
        y[i] = d_star[i * step] * d_star[i * step] * d_star[i * step]
    slopes = np.empty(n - 1)
    last = 4
    for i in range(n - 1):
        slopes[i] = (y[i + 1] - y[0]) / (i + 1)
        if i > 3 and slopes[i] > slopes[last - 1]:
            last = i + 1
    rise = y[last] - y[0]
    length = math.sqrt(rise * rise + last * last)
    gaps = np.zeros(last)
    for i in range(1, last):
        gaps[i] = abs(i * rise - (y[i] - y[0]) * last) / length
    bend = _last_near(gaps)
    n_pairs = 0
    for i in range(n - 1):
        for j in range(i + 1, n - 1):
            n_pairs += slopes[i] >= slopes[j]
    return 1.0 / d_star[bend * step], n_pairs / ((n - 1) * (n - 2) / 2)


@compiled
def distl_method_2(d_spacing: Array, shells: Array, out: Array) -> tuple[float, float]:
    """Return resolution limit [Å] and noisiness.

    Parameters
    ----------
    d_spacing : ndarray
        (spot,) [Å], in any order.
    shells : ndarray
        (shell + 1,) edges [Å], descending; a shell includes its lower one.
    out : ndarray
        (shell,) int64 zeros, gets the number of spots in each shell.
    """
    m = out.size
    for k in range(d_spacing.size):
        d = d_spacing[k]
        first, last = 0, m + 1  # the edges above d are first, those not above it last
        while first < last:
            middle = (first + last) // 2
            if shells[middle] > d:
                first = middle + 1
            else:
                last = middle
        if 0 < first <= m:
            out[first - 1] += 1
    few = FEW * ((out[0] + out[1]) / 2)
    end = m - 2
    for i in range(m - 1):
        if out[i] < few and out[i + 1] < few:
            end = i
            break
    n_pairs = 0
    for i in range(m):
        for j in range(i + 1, m):
            n_pairs += out[i] <= out[j]
    return shells[end + 1], n_pairs / (0.5 * m * (m - 1))
