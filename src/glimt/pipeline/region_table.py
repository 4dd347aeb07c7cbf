"""The points of several regions as one table: a row for each event, a column for each region."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from glimt.model.errors import UsageError

Points = npt.NDArray[np.float64]

HEAD = ("time_s", "event_number")
MAX_ELEMENTS = 25_000_000
"""Of a table; 200 MB."""


def joined_points(series: Sequence[Points]) -> Points:
    """Return one row for each time and event number that any of the series has.

    Parameters
    ----------
    series : sequence of ndarray
        (n, 3) each: time [s], event number (NaN where unknown), value.

    Returns
    -------
    ndarray
        (n_rows, 2 + n_series) float64: time [s], event number, and the value of each series, NaN where it has none.
        Oldest first. Points of one reading have one time, so scans that count their events anew are kept apart. Where a
        series has a time and event several times, its last one is beside the last one of the others.

    Raises
    ------
    UsageError
        There would be more than `MAX_ELEMENTS`.
    """
    n_points = sum(map(len, series))
    if not n_points:
        return np.empty((0, 2 + len(series)))
    if n_points > MAX_ELEMENTS:
        raise _too_many(n_points, len(series))
    keys = np.concatenate([_keys(points) for points in series if len(points)])
    order = np.lexsort(keys.T[::-1])
    ordered = keys[order]
    is_first = np.concatenate([[True], (ordered[1:] != ordered[:-1]).any(axis=1)])
    row_of = np.empty(n_points, np.int64)
    row_of[order] = np.cumsum(is_first) - 1
    n_rows = int(row_of.max()) + 1
    if n_rows * (2 + len(series)) > MAX_ELEMENTS:
        raise _too_many(n_points, len(series))
    table = np.full((n_rows, 2 + len(series)), np.nan)
    first = ordered[is_first]
    table[:, 0] = first[:, 0]
    table[:, 1] = np.where(np.isfinite(first[:, 1]), first[:, 1], np.nan)
    start = 0
    for column, points in enumerate(series, 2):
        table[row_of[start : start + len(points)], column] = points[:, 2]
        start += len(points)
    return table


def _too_many(n_points: int, n_series: int) -> UsageError:
    return UsageError(
        f"{n_points:,} points of {n_series} regions are too many for one table; save one region at a time"
    )


def _keys(points: Points) -> Points:
    """Return time, event number (minus infinity if unknown) and how many with the same follow, negative: (n, 3)."""
    time, event = points[:, 0], np.where(np.isfinite(points[:, 1]), points[:, 1], -np.inf)
    order = np.lexsort((event, time))  # stable: those with the same stay in their order
    is_last = np.ones(len(points), bool)
    is_last[:-1] = (time[order][1:] != time[order][:-1]) | (event[order][1:] != event[order][:-1])
    place = np.arange(len(points))
    ends = place[is_last][np.searchsorted(place[is_last], place)]
    follows = np.empty(len(points))
    follows[order] = place - ends
    return np.stack([time, event, follows], axis=1)
