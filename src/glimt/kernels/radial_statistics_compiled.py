"""The loops of radial statistics, compiled; `glimt.kernels.radial_statistics_plain` is the same in NumPy.

Counting detectors give small whole numbers, so one pass suffices: a pixel below the threshold is never clipped from
above, and its value and square go, packed into one word, to the sum of its bin. The few pixels above are listed.
The clipping then needs only the sums and the list. Bins whose lower limit cuts something off are gathered value by
value; bright and floating frames are sorted into bins as a whole.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.model.compiled_code import compiled

Array = npt.NDArray[Any]

SUM_BITS = 28
BLOCK = 8192
GROUP = 64
LARGEST = 3.4028234663852886e38
FIRST_LIMIT = 1e9


@compiled
def _add_low(values: Array, bins: Array, low_max: Any, sums: Array) -> None:
    """Add value and square of the pixels up to ``low_max`` to four interleaved sums of their bins."""
    a0, a1, a2, a3 = sums[0], sums[1], sums[2], sums[3]
    zero = values.dtype.type(0)
    fours = values.size // 4
    for k in range(fours):
        for lane in range(4):
            i = 4 * k + lane
            x = np.uint64(values[i] if zero <= values[i] <= low_max else zero)
            packed = x + ((x * x) << np.uint64(28))
            if lane == 0:
                a0[bins[i]] += packed
            elif lane == 1:
                a1[bins[i]] += packed
            elif lane == 2:
                a2[bins[i]] += packed
            else:
                a3[bins[i]] += packed
    for i in range(4 * fours, values.size):
        x = np.uint64(values[i] if zero <= values[i] <= low_max else zero)
        a0[bins[i]] += x + ((x * x) << np.uint64(28))


@compiled
def _list_high(
    values: Array, bins: Array, none: Any, low_max: Any, negative: bool, first: int, listed: Array, n: int
) -> int:
    """Append the numbers of used pixels above ``low_max``, and of negative ones if told so; return the new length."""
    zero = values.dtype.type(0)
    groups = values.size // GROUP
    for g in range(groups):
        start = g * GROUP
        found = np.uint8(0)
        for i in range(GROUP):
            v = values[start + i]
            found |= np.uint8((v > low_max) | (negative & (v < zero))) & np.uint8(bins[start + i] != none)
        if found:
            for i in range(start, start + GROUP):
                v = values[i]
                if (v > low_max or (negative and v < zero)) and bins[i] != none:
                    listed[n] = first + i
                    n += 1
    for i in range(groups * GROUP, values.size):
        v = values[i]
        if (v > low_max or (negative and v < zero)) and bins[i] != none:
            listed[n] = first + i
            n += 1
    return n


@compiled
def sum_and_list(
    values: Array, bins: Array, none: Any, low_max: Any, negative: bool, sums: Array, listed: Array
) -> int:
    """Sum the low pixels of every bin and list the others; return how many are listed.

    Parameters
    ----------
    values : ndarray
        (n_pixels,) whole numbers.
    bins, none
        (n_pixels,) uint16 bin of each; pixels of bin ``none`` are not listed.
    low_max
        Of the type of ``values``, not negative; pixels above are listed.
    negative : bool
        Whether to list negative pixels too.
    sums : ndarray
        (4, n_bins + 1) uint64, changed: squares times 2²⁸ plus values.
    listed : ndarray
        (n_pixels,) uint32, changed: flat numbers, growing.
    """
    n = 0
    for start in range(0, values.size, BLOCK):
        end = min(start + BLOCK, values.size)
        _add_low(values[start:end], bins[start:end], low_max, sums)
        n = _list_high(values[start:end], bins[start:end], none, low_max, negative, start, listed, n)
    return n


@compiled
def list_above(values: Array, bins: Array, none: Any, low_max: Any, listed: Array) -> int:
    """List the used pixels above ``low_max`` as `sum_and_list` does, without sums."""
    return _list_high(values, bins, none, low_max, False, 0, listed, 0)


@compiled
def group_all(values: Array, bins: Array, ends: Array, grouped: Array) -> None:
    """Copy all values bin after bin, excluded ones last.

    Parameters
    ----------
    ends : ndarray
        (n_bins + 1,) int64, changed: where each bin starts, then where it ends.
    grouped : ndarray
        (n_pixels,) float64, changed.
    """
    for i in range(values.size):
        b = bins[i]
        grouped[ends[b]] = values[i]
        ends[b] += 1


@compiled
def group_by_bin(values: Array, bins: Array, listed: Array, n_listed: int, ends: Array, grouped: Array) -> None:
    """Copy the listed values bin after bin; those of bin ``b`` end up in ``grouped[ends[b - 1]:ends[b]]``.

    Parameters
    ----------
    ends : ndarray
        (n_bins + 1,) int64, changed.
    grouped : ndarray
        (n_pixels,) float64, changed.
    """
    ends[:] = 0
    for k in range(n_listed):
        ends[bins[listed[k]] + 1] += 1
    for b in range(1, ends.size):
        ends[b] += ends[b - 1]
    for k in range(n_listed):
        pixel = listed[k]
        b = bins[pixel]
        grouped[ends[b]] = values[pixel]
        ends[b] += 1


@compiled
def _sum_between(values: Array, low: float, high: float) -> tuple[int, float, float]:
    """Return number, sum and sum of squares of the values between the limits.

    Four of each, and no branches: one sum would wait for its last addition at every value.
    """
    n0, n1, n2, n3 = 0, 0, 0, 0
    t0, t1, t2, t3 = 0.0, 0.0, 0.0, 0.0
    q0, q1, q2, q3 = 0.0, 0.0, 0.0, 0.0
    fours = values.size // 4
    for k in range(fours):
        v0, v1, v2, v3 = values[4 * k], values[4 * k + 1], values[4 * k + 2], values[4 * k + 3]
        in0, in1, in2, in3 = low < v0 < high, low < v1 < high, low < v2 < high, low < v3 < high
        v0, v1, v2, v3 = v0 if in0 else 0.0, v1 if in1 else 0.0, v2 if in2 else 0.0, v3 if in3 else 0.0
        n0, n1, n2, n3 = n0 + in0, n1 + in1, n2 + in2, n3 + in3
        t0, t1, t2, t3 = t0 + v0, t1 + v1, t2 + v2, t3 + v3
        q0, q1, q2, q3 = q0 + v0 * v0, q1 + v1 * v1, q2 + v2 * v2, q3 + v3 * v3
    for i in range(4 * fours, values.size):
        v = values[i]
        if low < v < high:
            n0, t0, q0 = n0 + 1, t0 + v, q0 + v * v
    return n0 + n1 + n2 + n3, t0 + t1 + t2 + t3, q0 + q1 + q2 + q3


@compiled
def _clip(
    n_low: int, sum_low: float, square_low: float, low_max: float, values: Array, rule: tuple[float, float, int]
) -> tuple[float, float, float, int, bool]:
    """Return mean, standard deviation, threshold and number of one bin, and whether they hold.

    They do not if the limits cut into the low values, of which only the sums are known.
    """
    minimum_snr, least, n_iterations = rule
    low, high = -FIRST_LIMIT, FIRST_LIMIT
    mean, sigma, n = 0.0, 0.0, 0
    for _ in range(n_iterations):
        if n_low > 0 and (low >= 0.0 or high <= low_max):
            return mean, sigma, high, n, False
        n, total, square = _sum_between(values, low, high)
        n, total, square = n + n_low, total + sum_low, square + square_low
        before = low, high
        if n == 0:
            mean, sigma, low, high = 0.0, 0.0, 0.0, LARGEST
        else:
            mean = total / n
            sigma = np.sqrt(max(square / n - mean * mean, 0.0))
            low, high = mean - minimum_snr * sigma, max(mean + minimum_snr * sigma, least)
        if before == (low, high):
            break
    return mean, sigma, high, n, True


@compiled
def clip_bins(
    values: Array,
    pixels: tuple[Array, Array, Array],
    low: tuple[Array, float],
    listed: tuple[Array, Array],
    rule: tuple[float, float, int],
    scratch: Array,
    out: tuple[Array, Array, Array, Array],
) -> int:
    """Find mean, standard deviation, threshold and number of all bins; return how many pixels had to be gathered.

    Parameters
    ----------
    values : ndarray
        (n_pixels,) the frame.
    pixels : tuple
        ``order``, ``starts`` and ``n_pixels`` of `glimt.kernels.radius_map.RadialBins`.
    low : tuple
        What `sum_and_list` summed, and ``low_max``; sums of 0 if all values are grouped.
    listed : tuple
        ``ends`` and ``grouped`` of `group_by_bin` or `group_all`.
    rule : tuple
        ``minimum_snr``, ``least`` threshold and number of iterations.
    scratch : ndarray
        (most pixels in a bin,) float64, changed.
    out : tuple of ndarray
        (n_bins,) mean, standard deviation, threshold (float64) and number (int64), changed.
    """
    order, starts, n_pixels = pixels
    sums, low_max = low
    ends, grouped = listed
    gathered = 0
    for b in range(n_pixels.size):
        packed = sums[0, b] + sums[1, b] + sums[2, b] + sums[3, b]
        high_values = grouped[ends[b - 1] if b else 0 : ends[b]]
        total = float(packed & np.uint64((1 << SUM_BITS) - 1))
        square = float(packed >> np.uint64(SUM_BITS))
        n_low = n_pixels[b] - high_values.size
        mean, sigma, threshold, n, holds = _clip(n_low, total, square, low_max, high_values, rule)
        if not holds:
            m = 0
            for k in range(starts[b], starts[b + 1]):
                scratch[m] = values[order[k]]
                m += 1
            mean, sigma, threshold, n, holds = _clip(0, 0.0, 0.0, 0.0, scratch[:m], rule)
            gathered += m
        out[0][b], out[1][b], out[2][b], out[3][b] = mean, sigma, threshold, n
    return gathered
