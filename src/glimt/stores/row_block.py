"""Rows that wait to be written together."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.stores.row_type import RowType


class RowBlock:
    """Up to ``capacity`` rows of one name with their event numbers, in one array that is allocated once.

    Parameters
    ----------
    row_type : RowType
        Of the rows.
    capacity : int
        Rows it holds.
    """

    __slots__ = ("_events", "_rows", "capacity", "row_bytes", "row_type")

    def __init__(self, row_type: RowType, capacity: int) -> None:
        self.row_type = row_type
        self.capacity = capacity
        self.row_bytes = row_type.row_bytes
        self._events: list[int] = []
        self._rows = np.empty((capacity, *row_type.shape), row_type.dtype)

    def __len__(self) -> int:
        return len(self._events)

    @property
    def is_full(self) -> bool:
        """There is no room for another row."""
        return len(self._events) >= self.capacity

    def append(self, event_number: int, row: Any) -> None:
        """Copy one row; it must have passed ``row_type.convert`` and there must be room."""
        self._rows[len(self._events)] = row
        self._events.append(event_number)

    def clear(self) -> None:
        """Forget all rows."""
        self._events.clear()

    def in_order(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
        """Return event numbers ``(n)``, ascending and unique, and their rows ``(n, ...)``; the last of equals wins.

        The rows may be a view that the next ``append`` after ``clear`` overwrites.
        """
        events = np.array(self._events, dtype=np.int64)
        rows = self._rows[: len(events)]
        if len(events) < 2 or bool((np.diff(events) > 0).all()):
            return events, rows
        order = np.argsort(events, kind="stable")
        ascending = events[order]
        is_last = np.append(ascending[1:] != ascending[:-1], True)
        return ascending[is_last], rows[order[is_last]]


def contiguous_groups(events: npt.NDArray[np.int64], max_gap: int) -> list[tuple[int, int]]:
    """Return index ranges ``start, stop`` of ascending ``events`` whose neighbors lie at most ``max_gap`` apart.

    With ``max_gap`` 0 every range is a run without a hole.
    """
    if not len(events):
        return []
    cuts = np.flatnonzero(np.diff(events) > max_gap + 1) + 1
    edges = [0, *cuts.tolist(), len(events)]
    return list(pairwise(edges))
