"""Pump and probe: means of what was measured with and without the pump, and binned by the delay."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.web.page_message import number_json
from glimt.web.page_region import Split

Values = npt.NDArray[np.float64]


def split_of(split: Split, value: Values, on: Values | None, delay: Values | None) -> dict[str, Any]:
    """Return means, numbers and standard errors of the values that are on and off.

    Parameters
    ----------
    split : Split
        What counts as on, and the bins.
    value : ndarray
        (n,) float64; NaN is left out.
    on : ndarray or None
        (n,) of the number that tells; all are on without one, none of the two where it is NaN.
    delay : ndarray or None
        (n,); without it nothing is binned.
    """
    known = np.isfinite(value)
    is_on = known if on is None else known & (on > split.above)
    is_off = np.zeros_like(known) if on is None else known & (on <= split.above)
    found: dict[str, Any] = {"on": _statistics(value[is_on]), "off": _statistics(value[is_off])}
    found |= _difference(found["on"], found["off"])
    if delay is None:
        return found | {"bins": None}
    edges = np.linspace(split.low, split.high, split.n_bins + 1)
    bins: dict[str, Any] = {"edges": edges.tolist()}
    for key, taken in (("on", is_on), ("off", is_off)):
        bins[key] = _binned(value[taken], delay[taken], edges)
    return found | {"bins": bins}


def _statistics(values: Values) -> dict[str, Any]:
    n = int(values.size)
    error = float(values.std(ddof=1)) / math.sqrt(n) if n > 1 else None
    return {"mean": number_json(float(values.mean())) if n else None, "n": n, "error": number_json(error)}


def _difference(on: dict[str, Any], off: dict[str, Any]) -> dict[str, Any]:
    means, errors = (on["mean"], off["mean"]), (on["error"], off["error"])
    return {
        "difference": None if None in means else means[0] - means[1],
        "difference_error": None if None in errors else math.hypot(*errors),
    }


def _binned(values: Values, delay: Values, edges: Values) -> dict[str, Any]:
    n_bins = edges.size - 1
    place = np.searchsorted(edges, delay, side="right") - 1
    place[delay == edges[-1]] = n_bins - 1
    inside = (place >= 0) & (place < n_bins) & np.isfinite(delay)
    values, place = values[inside], place[inside]
    n = np.bincount(place, minlength=n_bins)
    mean = np.full(n_bins, np.nan)
    np.divide(np.bincount(place, values, n_bins), n, out=mean, where=n > 0)
    # Squares of distances from the mean, not of the values: these lose all digits of a small spread on a large value.
    spread = np.bincount(place, (values - mean[place]) ** 2, n_bins)
    error = np.full(n_bins, np.nan)
    np.divide(spread, n * (n - 1.0), out=error, where=n > 1)
    error = np.sqrt(error)
    return {"mean": [number_json(x) for x in mean], "n": n.tolist(), "error": [number_json(x) for x in error]}
