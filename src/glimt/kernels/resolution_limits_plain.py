"""The loops of the resolution limits in NumPy: what `glimt.kernels.resolution_limits_compiled` is held against."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

UNDEFINED = -1.0
E_CUTOFF = math.sqrt(-math.log(0.01))
"""Normalized amplitude that one in a hundred reflections exceeds."""

FEW = 0.15
"""Share of the spots of the innermost two shells below which a shell is empty."""


def _total(values: Array) -> float:
    """Return the sum, added one after the other as compiled code does: ties are decided by the last bit."""
    return float(np.cumsum(values)[-1]) if values.size else 0.0


def _strays(intensity: Array, ice: Array) -> Array:
    """Return which spots of a bin are too strong to be reflections, (spot,) bool."""
    kept = np.ones(intensity.size, np.bool_)
    while True:
        reference = intensity[kept & ~ice]
        mean = _total(reference) / reference.size
        strong = kept & (np.sqrt(intensity) / math.sqrt(mean) >= E_CUTOFF)
        if not strong.any():
            return ~kept
        kept &= ~strong


def _line(x: Array, y: Array) -> tuple[float, float]:
    """Return slope and intercept of the least-squares line; (0, 0) if there is none."""
    if x.size < 2 or x.min() == x.max():
        return 0.0, 0.0
    if y.min() == y.max():
        return 0.0, float(y[0])
    sum_x, sum_y, sum_xx, sum_xy = _total(x), _total(y), _total(x * x), _total(x * y)
    determinant = x.size * sum_xx - sum_x * sum_x
    if determinant == 0:
        return 0.0, 0.0
    slope = (x.size * sum_xy - sum_x * sum_y) / determinant
    return slope, (sum_xx * sum_y - sum_x * sum_xy) / determinant


def estimate_d_min(
    d_star_sq: Array, log_ratio: Array, intensity: Array, ice: Array, starts: Array, order: Array
) -> float:
    """Return the estimate [Å]; as in `glimt.kernels.resolution_limits_compiled`."""
    stray = np.zeros(d_star_sq.size, np.bool_)
    lower, upper = [], []
    for first, last in pairwise(starts):
        spots = order[first:last]
        if ice[spots].all():
            continue
        stray[spots] = _strays(intensity[spots], ice[spots])
        spots = spots[~stray[spots] & ~ice[spots]]
        lower.append(spots[int(0.1 * spots.size)])
        upper.append(spots[int(0.9 * spots.size)])
    # The abscissas of the two lines are exchanged in DIALS.
    slope, intercept = _line(d_star_sq[lower], log_ratio[upper])
    if slope == _line(d_star_sq[upper], log_ratio[lower])[0]:
        return UNDEFINED
    rise = (slope + intercept) - intercept
    inside = ((log_ratio - intercept) - rise * d_star_sq < 0) & ~stray & ~ice
    return float(1.0 / np.sqrt(d_star_sq[inside].max())) if inside.any() else UNDEFINED


def distl_method_1(d_star: Array) -> tuple[float, float]:
    """Return limit [Å] and noisiness of ascending 1/d; as in `glimt.kernels.resolution_limits_compiled`."""
    step = max(2, -(-d_star.size // 40))
    points = d_star[: d_star.size // step * step : step]
    y = points * points * points
    slopes = (y[1:] - y[0]) / np.arange(1, y.size)
    last = int(np.argmax(slopes[3:])) + 4
    rise = y[last] - y[0]
    gaps = np.abs(np.arange(last) * rise - (y[:last] - y[0]) * last) / math.sqrt(rise * rise + last * last)
    gaps[0] = 0.0
    knee = int(np.argmax(gaps))
    deviations = gaps - _total(gaps) / last
    spread = math.sqrt(_total(deviations * deviations) / (last - 1))
    near = np.flatnonzero(gaps > gaps[knee] - 0.5 * spread)
    bend = max(knee, int(near[-1])) if near.size else knee
    i, j = np.triu_indices(slopes.size, 1)
    noisiness = (slopes[i] >= slopes[j]).mean()
    return float(1.0 / points[bend]), float(noisiness)


def distl_method_2(d_spacing: Array, shells: Array, out: Array) -> tuple[float, float]:
    """Return limit [Å] and noisiness; as in `glimt.kernels.resolution_limits_compiled`."""
    out[:] = [((d_spacing < above) & (d_spacing >= below)).sum() for above, below in pairwise(shells)]
    few = out < FEW * ((out[0] + out[1]) / 2)
    ends = np.flatnonzero(few[:-1] & few[1:])
    end = int(ends[0]) if ends.size else out.size - 2
    i, j = np.triu_indices(out.size, 1)
    return float(shells[end + 1]), float((out[i] <= out[j]).mean())
