"""What a number was: a bounded series of points, of which the older ones are thinned out."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]

CAPACITY = 100_000
MAX_SERIES = 1000
TOTAL_VALUES = 15_000_000
"""Of all series together; 120 MB."""
SENT_POINTS = 2000

_FIRST = 256


class NumberSeries:
    """Points of one number or region, oldest first; not for several threads at once.

    Parameters
    ----------
    n_columns : int
        Of a point: time [s], event number, value, and what else belongs to it.
    capacity : int
        Points kept. Of more, every second of the older half is left out.

    Attributes
    ----------
    n_added : int
        Points since the last reset, those left out included.
    epoch : int
        Grows with each reset.
    """

    def __init__(self, n_columns: int = 3, *, capacity: int = CAPACITY) -> None:
        self._rows: Points = np.empty((min(_FIRST, capacity), n_columns))
        self._n = 0
        self.capacity = capacity
        self.n_added = 0
        self.epoch = 0

    def __len__(self) -> int:
        return self._n

    @property
    def points(self) -> Points:
        """All points, (n, n_columns) float64; a view."""
        return self._rows[: self._n]

    def add(self, *point: float) -> None:
        """Take a point."""
        if self._n >= self.capacity:
            self._thin()
        if self._n == len(self._rows):
            larger = np.empty((min(2 * self._n, max(self.capacity, self._n + 1)), self._rows.shape[1]))
            larger[: self._n] = self.points
            self._rows = larger
        self._rows[self._n] = point
        self._n += 1
        self.n_added += 1

    def _thin(self) -> None:
        half = self._n // 2
        kept = np.concatenate([self.points[:half:2], self.points[half:]])
        self._n = len(kept)
        self._rows[: self._n] = kept

    def reset(self, points: Points | None = None) -> None:
        """Forget all points, and take these instead."""
        self.epoch += 1
        self._n = 0
        self.n_added = 0
        if points is not None:
            kept = points[-self.capacity :]
            self._rows = np.array(kept, np.float64)
            self._n = self.n_added = len(kept)

    def since(self, n_known: int) -> Points:
        """Return a copy of time, event number and value of what came after the first ``n_known`` points, thinned."""
        n_new = min(max(self.n_added - n_known, 0), self._n)
        return thinned(self._rows[self._n - n_new : self._n, :3])


def thinned(points: Points, n_most: int = SENT_POINTS) -> Points:
    """Return a copy of at most ``n_most`` points; of neighbors the last is taken, and the newest is always there."""
    if len(points) <= n_most:
        return points.copy()
    taken = np.linspace(0, len(points) - 1, n_most).astype(np.int64)
    found: Points = points[taken]
    return found


class NumberHistories:
    """The series of all numbers; those of regions are kept by `glimt.pipeline.region_curves`."""

    def __init__(self) -> None:
        self.series: dict[str, NumberSeries] = {}
        self._last: dict[str, tuple[float, int | None]] = {}

    def add(self, numbers: dict[str, float], time_s: float, event_number: int | None) -> bool:
        """Take the numbers of one reading, those that changed; tell whether any did."""
        changed = False
        for path, value in numbers.items():
            known = self._last.get(path)
            if known is not None and _is_same(known[0], value):
                continue
            if path not in self.series:
                if len(self.series) >= MAX_SERIES:
                    continue
                self._make_room(path)
            self._last[path] = (value, event_number)
            self.series[path].add(time_s, float("nan") if event_number is None else event_number, value)
            changed = True
        return changed

    def _make_room(self, path: str) -> None:
        self.series[path] = NumberSeries()
        capacity = min(CAPACITY, TOTAL_VALUES // (3 * len(self.series)))
        for series in self.series.values():
            series.capacity = capacity


def _is_same(one: Any, other: Any) -> bool:
    return bool(one == other or (one != one and other != other))
