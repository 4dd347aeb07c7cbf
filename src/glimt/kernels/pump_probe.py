"""Pump and probe: means of what was measured with and without the pump, and binned by the delay."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]

_NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Statistics:
    """Of some values: mean, standard error of the mean, and how many they are; NaN where too few."""

    mean: float
    error: float
    n: int


@dataclass(frozen=True, slots=True)
class BinnedStatistics:
    """The same of each bin.

    Parameters
    ----------
    mean, error : list of float
        (n_bins); NaN where too few.
    n : list of int
        (n_bins).
    """

    mean: list[float]
    error: list[float]
    n: list[int]


@dataclass(frozen=True, slots=True)
class DelayBins:
    """Values binned by delay.

    Parameters
    ----------
    edges : list of float
        (n_bins + 1).
    on, off : BinnedStatistics
        With and without the pump.
    """

    edges: list[float]
    on: BinnedStatistics
    off: BinnedStatistics


@dataclass(frozen=True, slots=True)
class PumpProbe:
    """What the pump changes.

    Parameters
    ----------
    on, off : Statistics
        Of all values with and without the pump.
    difference, difference_error : float
        Of the two means; NaN where one is not known.
    bins : DelayBins or None
        By delay, where one is given.
    """

    on: Statistics
    off: Statistics
    difference: float
    difference_error: float
    bins: DelayBins | None


def pump_probe(
    value: Values,
    on: Values | None = None,
    delay: Values | None = None,
    *,
    above: float = 0.5,
    low: float = 0.0,
    high: float = 1.0,
    n_bins: int = 20,
) -> PumpProbe:
    """Return means, numbers and standard errors of the values that are on and off.

    Parameters
    ----------
    value : ndarray
        (n,) float64; NaN is left out.
    on : ndarray, optional
        (n,) of the number that tells: on where it is greater than ``above``, none of the two where it is NaN. Without
        it all are on.
    delay : ndarray, optional
        (n,); without it nothing is binned.
    above : float
        Largest value of ``on`` that is still off.
    low, high, n_bins : float, float, int
        Bins of the delay, of equal width; the last edge belongs to the last bin, what is beyond is left out.
    """
    known = np.isfinite(value)
    is_on = known if on is None else known & (on > above)
    is_off = np.zeros_like(known) if on is None else known & (on <= above)
    pumped, rest = _statistics(value[is_on]), _statistics(value[is_off])
    bins = None
    if delay is not None:
        edges = np.linspace(low, high, n_bins + 1)
        sides = (_binned(value[taken], delay[taken], edges) for taken in (is_on, is_off))
        bins = DelayBins(edges.tolist(), *sides)
    return PumpProbe(pumped, rest, pumped.mean - rest.mean, math.hypot(pumped.error, rest.error), bins)


def _statistics(values: Values) -> Statistics:
    n = int(values.size)
    error = float(values.std(ddof=1)) / math.sqrt(n) if n > 1 else _NAN
    return Statistics(float(values.mean()) if n else _NAN, error, n)


def _binned(values: Values, delay: Values, edges: Values) -> BinnedStatistics:
    n_bins = edges.size - 1
    place = np.searchsorted(edges, delay, side="right") - 1
    place[delay == edges[-1]] = n_bins - 1
    inside = (place >= 0) & (place < n_bins) & np.isfinite(delay)
    values, place = values[inside], place[inside]
    n = np.bincount(place, minlength=n_bins)
    mean = np.full(n_bins, _NAN)
    np.divide(np.bincount(place, values, n_bins), n, out=mean, where=n > 0)
    # Squares of distances from the mean, not of the values: these lose all digits of a small spread on a large value.
    spread = np.bincount(place, (values - mean[place]) ** 2, n_bins)
    error = np.full(n_bins, _NAN)
    np.divide(spread, n * (n - 1.0), out=error, where=n > 1)
    return BinnedStatistics(mean.tolist(), np.sqrt(error).tolist(), n.tolist())
