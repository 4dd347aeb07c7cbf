"""What a result store has been told so far: names, their row types, and the values stored once."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.model.errors import UsageError
from glimt.stores.row_type import RowType

DEFAULT_MAX_EVENT_NUMBER = 100_000_000
MAX_NAMES = 4096
MAX_ATTRIBUTE_BYTES = 32 << 10
RESERVED = "entry"


@dataclass(frozen=True, slots=True)
class Column:
    """One name with a row for each event.

    Attributes
    ----------
    row_type : RowType
        Of its rows.
    unit : str or None
        Such as ``"1/angstrom"``.
    axes : tuple of str
        Names (put once) of the axes of a row, slowest first; ``()`` if unknown.
    attributes : dict
        Further ones.
    """

    row_type: RowType
    unit: str | None = None
    axes: tuple[str, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Path in the file."""
        return self.row_type.name


@dataclass(frozen=True, slots=True)
class OnceValue:
    """A value that belongs to the whole run; fields as in `Column`."""

    name: str
    value: Any
    unit: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict)


class Schema:
    """Names of a store and their types; refuses what contradicts an earlier put.

    Parameters
    ----------
    max_event_number : int
        Highest event number that is believed.
    """

    def __init__(self, max_event_number: int = DEFAULT_MAX_EVENT_NUMBER) -> None:
        self.max_event_number = max_event_number
        self.columns: dict[str, Column] = {}
        self.once: dict[str, OnceValue] = {}
        self._groups: set[str] = set()

    def add_column(
        self,
        name: str,
        event_number: int,
        value: Any,
        *,
        unit: str | None,
        axes: str | Sequence[str] | None,
        attributes: Mapping[str, Any] | None,
        dtype: npt.DTypeLike | None,
        max_length: int | None,
    ) -> Column:
        """Return the column of a name that is put for the first time.

        Raises
        ------
        UsageError
            The name is taken or impossible, the value cannot be stored, or the axes do not fit it.
        """
        self._check_name(name)
        row_type = RowType.of(name, value, dtype=dtype, max_length=max_length)
        row_type.convert(value, event_number)  # a text may be longer than max_length, an integer array masked
        axis_names = (axes,) if isinstance(axes, str) else tuple(axes or ())
        if axis_names and len(axis_names) != len(row_type.shape):
            raise UsageError(f"put {name!r}: axes {axis_names} for a row of shape {row_type.shape}; name one for each")
        column = Column(row_type, unit, axis_names, checked_attributes(name, unit, attributes))
        self._take_name(name)
        self.columns[name] = column
        return column

    def add_once(
        self, name: str, value: Any, *, unit: str | None, attributes: Mapping[str, Any] | None
    ) -> OnceValue | None:
        """Return the value to be written, or None if this name already has this value.

        Raises
        ------
        UsageError
            The name is taken or impossible, has another value, or the value cannot be stored.
        """
        content = once_content(name, value)
        known = self.once.get(name)
        if known is not None:
            if is_same(known.value, content):
                return None
            raise UsageError(
                f"put_once {name!r}: it has another value already ({_short(known.value)}, now {_short(content)}); "
                "use put for what changes with the event"
            )
        self._check_name(name)
        entry = OnceValue(name, content, unit, checked_attributes(name, unit, attributes))
        self._take_name(name)
        self.once[name] = entry
        return entry

    def check_event_number(self, name: str, event_number: Any) -> int:
        """Return ``event_number`` as `int`.

        Raises
        ------
        UsageError
            Not an integer, negative, or above the limit.
        """
        try:
            number = operator.index(event_number)
        except TypeError:
            raise UsageError(
                f"put {name!r}: event_number is {type(event_number).__name__}, expected an integer"
            ) from None
        if number < 0:
            raise UsageError(f"put {name!r}: event_number {number} is negative; the first event is 0")
        if number > self.max_event_number:
            raise UsageError(
                f"put {name!r}: event_number {number} is above the limit of {self.max_event_number}; "
                "if it is right, pass max_event_number= to the store"
            )
        return number

    def _check_name(self, name: str) -> None:
        if not isinstance(name, str) or not name or len(name) > 255 or "\0" in name:
            raise UsageError(f"put {_short(name)}: a name is a text of 1 to 255 characters")
        parts = name.split("/")
        if any(part in {"", ".", ".."} for part in parts):
            raise UsageError(f"put {name!r}: parts of a name are separated by single slashes, none at the ends")
        if parts[0] == RESERVED:
            raise UsageError(f"put {name!r}: {RESERVED!r} holds parameters and provenance; choose another name")
        taken = self.columns.keys() | self.once.keys()
        if name in taken:
            raise UsageError(f"{name!r} is used by put and put_once; choose another name for one of them")
        if name in self._groups or any("/".join(parts[:n]) in taken for n in range(1, len(parts))):
            raise UsageError(f"put {name!r}: a name cannot be a value and a folder of other names at once")
        if len(taken) >= MAX_NAMES:
            raise UsageError(
                f"put {name!r}: {MAX_NAMES} names are enough; use one name for all events, the event number is the row"
            )

    def _take_name(self, name: str) -> None:
        parts = name.split("/")
        self._groups.update("/".join(parts[:n]) for n in range(1, len(parts)))


def once_content(name: str, value: Any) -> Any:
    """Return ``value`` as a `str`, `bytes` or an array of its own, ready to be written."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, Sequence) and value and all(isinstance(item, str) for item in value):
        return list(value)
    if isinstance(value, np.ndarray) and value.size == 0 and value.dtype.kind in "biufc":
        return value.copy()
    row_type = RowType.of(name, value)
    row = np.empty(row_type.shape, row_type.dtype)
    row[...] = row_type.convert(value, 0)
    return row


def checked_attributes(name: str, unit: str | None, attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return ``attributes`` as contents that can be written; `UsageError` for those that cannot, also of ``unit``."""
    if unit is not None and not isinstance(unit, str):
        raise UsageError(f"put {name!r}: unit is {type(unit).__name__}, expected text such as 'mm'")
    checked: dict[str, Any] = {}
    for key, value in (attributes or {}).items():
        if not isinstance(key, str) or not key or "\0" in key or len(key) > 255:
            raise UsageError(f"put {name!r}: an attribute's name is a text of 1 to 255 characters, got {_short(key)}")
        content = once_content(f"{name}@{key}", value)
        size = content.nbytes if isinstance(content, np.ndarray) else len(content)
        if size > MAX_ATTRIBUTE_BYTES:
            raise UsageError(f"put {name!r}: attribute {key!r} has {size} bytes; use put_once for values that large")
        checked[key] = content
    return checked


def is_same(one: Any, other: Any) -> bool:
    """Return whether two contents are equal; NaN equals NaN."""
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        if one.shape != other.shape or one.dtype != other.dtype:
            return False
        return bool(np.array_equal(one, other, equal_nan=one.dtype.kind in "fc"))
    return bool(type(one) is type(other) and one == other)


def _short(value: Any) -> str:
    text = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) and value.size > 4 else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
