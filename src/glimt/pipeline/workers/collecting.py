"""A reducer for the ready-made workers: every number over the scan, every array as it was last."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from glimt.model.errors import UsageError
from glimt.model.event import ResultData
from glimt.pipeline.workers.detector_stream import Values

MAX_CURVE = 1 << 24
"""Events beyond are not in the curves of the live view; the file has them."""

_FEWEST_ROWS = 1024


class Store(Protocol):
    """Where results may be kept, such as `glimt.stores.hdf5.Hdf5Store`."""

    def put(self, name: str, event_number: int, value: Any) -> None:
        """Keep the value of one event."""

    def put_once(self, name: str, value: Any) -> None:
        """Keep a value of the whole scan."""

    def close(self) -> None:
        """Finish."""


class CollectingReducer:
    """Collect results that are dictionaries.

    A number (or truth value) becomes a curve ``publish[name]`` (event,) float64 over the event number, NaN where
    there is none. An array is published as it came last; one called ``*_axis`` is kept once.

    Attributes
    ----------
    publish : dict
        The live view.
    publish_rlock : lock
        Held while it is changed.
    store : Store or None
        Where results are kept as well; set by whoever makes the reducer, closed by `finish`.
    """

    def __init__(self) -> None:
        self.publish: dict[str, Any] = {}
        self.publish_rlock = threading.RLock()
        self.store: Store | None = None
        self._rows: dict[str, npt.NDArray[np.float64]] = {}
        self._axes: set[str] = set()

    def process_result(self, result: ResultData, parameters: Values | None = None) -> None:
        """Take the result of one event.

        Raises
        ------
        UsageError
            It is no dictionary of numbers and arrays.
        StoreError
            The file cannot be written.
        """
        del parameters
        payload = result.payload
        if not isinstance(payload, Mapping):
            raise UsageError(
                f"a result is a {type(payload).__name__}; this reducer takes dictionaries of numbers and arrays"
            )
        with self.publish_rlock:
            for name, value in payload.items():
                if value is not None:
                    self._take(str(name), result.event_number, value)

    def _take(self, name: str, event_number: int, value: Any) -> None:
        array = np.asarray(value)
        if array.dtype.kind not in "biuf":
            raise UsageError(f"result {name!r} is of type {array.dtype}; this reducer takes numbers and arrays")
        if name.endswith("_axis"):
            self._take_axis(name, array)
            return
        if array.ndim:
            self.publish[name] = array
        elif 0 <= event_number < MAX_CURVE:
            self.publish[name] = self._curve(name, event_number, float(array))
        if self.store is not None:
            self.store.put(name, event_number, value)

    def _take_axis(self, name: str, array: npt.NDArray[Any]) -> None:
        self.publish[name] = array
        if self.store is not None and name not in self._axes:
            self.store.put_once(name, array)
        self._axes.add(name)

    def _curve(self, name: str, event_number: int, value: float) -> npt.NDArray[np.float64]:
        """Return the curve with one more value."""
        rows = self._rows.get(name)
        if rows is None or event_number >= rows.size:
            grown = np.full(max(_FEWEST_ROWS, 2 * (event_number + 1)), np.nan)
            if rows is not None:
                grown[: rows.size] = rows
            rows = self._rows[name] = grown
        rows[event_number] = value
        shown = self.publish.get(name)
        n_shown = max(event_number + 1, 0 if shown is None else len(shown))
        return rows[:n_shown]

    def finish(self) -> None:
        """Close the store."""
        if self.store is not None:
            self.store.close()
