"""A result store in memory, for tests of reducers; it refuses exactly what a file would refuse."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self, SupportsIndex

import numpy as np
import numpy.typing as npt

from glimt.model.errors import UsageError
from glimt.stores.parameter_snapshot import ParameterSnapshot
from glimt.stores.schema import DEFAULT_MAX_EVENT_NUMBER, Schema


class MemoryStore:
    """Results by name and event number.

    Parameters
    ----------
    parameters : mapping of str to object, optional
        At the start.
    max_event_number : int
        Higher ones are refused.

    Attributes
    ----------
    parameters : ParameterSnapshot
        At the start.
    parameter_changes : list of (int, ParameterSnapshot)
        First event that the parameters hold for, and the parameters.
    is_closed : bool
        Nothing can be put any more; everything can be read.
    """

    def __init__(
        self, *, parameters: Mapping[str, Any] | None = None, max_event_number: int = DEFAULT_MAX_EVENT_NUMBER
    ) -> None:
        self.parameters = ParameterSnapshot.of(parameters)
        self.parameter_changes: list[tuple[int, ParameterSnapshot]] = []
        self.is_closed = False
        self._schema = Schema(max_event_number)
        self._rows: dict[str, dict[int, npt.NDArray[Any]]] = {}
        self._lock = threading.RLock()

    @property
    def names(self) -> list[str]:
        """All names, put and put once, sorted."""
        return sorted([*self._schema.columns, *self._schema.once])

    def put(
        self,
        name: str,
        event_number: SupportsIndex,
        value: npt.ArrayLike,
        *,
        unit: str | None = None,
        axes: str | Sequence[str] | None = None,
        attributes: Mapping[str, Any] | None = None,
        dtype: npt.DTypeLike | None = None,
        max_length: int | None = None,
    ) -> None:
        """Store the value of one event; see `glimt.stores.hdf5.Hdf5Store.put`."""
        with self._lock:
            self._check_open()
            number = self._schema.check_event_number(name, event_number)
            column = self._schema.columns.get(name) or self._schema.add_column(
                name, number, value, unit=unit, axes=axes, attributes=attributes, dtype=dtype, max_length=max_length
            )
            row = np.empty(column.row_type.shape, column.row_type.dtype)
            row[...] = column.row_type.convert(value, number)
            self._rows.setdefault(name, {})[number] = row

    def put_once(
        self, name: str, value: Any, *, unit: str | None = None, attributes: Mapping[str, Any] | None = None
    ) -> None:
        """Store a value that belongs to the whole run."""
        with self._lock:
            self._check_open()
            self._schema.add_once(name, value, unit=unit, attributes=attributes)

    def parameters_changed(
        self, event_number: SupportsIndex, parameters: Mapping[str, Any], *, parameters_hash: str | None = None
    ) -> None:
        """Append to ``parameter_changes`` unless the content is that of the last one."""
        with self._lock:
            self._check_open()
            number = self._schema.check_event_number("parameters", event_number)
            snapshot = ParameterSnapshot.of(parameters, parameters_hash=parameters_hash)
            last = self.parameter_changes[-1][1] if self.parameter_changes else self.parameters
            if snapshot.content_hash != last.content_hash:
                self.parameter_changes.append((number, snapshot))

    def flush(self) -> None:
        """Do nothing: everything is visible at once."""

    def close(self) -> None:
        """Refuse further puts."""
        self.is_closed = True

    def rows(self, name: str) -> npt.NDArray[Any]:
        """Return all rows of ``name``, ``(event, ...)``, gaps filled as in a file."""
        with self._lock:
            row_type, rows = self._schema.columns[name].row_type, self._rows.get(name, {})
            filled = np.full((self._length(), *row_type.shape), row_type.fill, row_type.dtype)
            for event_number, row in rows.items():
                filled[event_number] = row
            return filled

    def present(self, name: str) -> npt.NDArray[np.bool_]:
        """Return for which events ``name`` was put, ``(event)``."""
        with self._lock:
            found = np.zeros(self._length(), np.bool_)
            found[list(self._rows.get(name, {}))] = True
            return found

    def once(self, name: str) -> Any:
        """Return a value that was put once."""
        return self._schema.once[name].value

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _length(self) -> int:
        return max((number + 1 for rows in self._rows.values() for number in rows), default=0)

    def _check_open(self) -> None:
        if self.is_closed:
            raise UsageError("this store is closed; make a new store for more results")
