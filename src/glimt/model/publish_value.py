"""What one published value means as an HDF5 dataset or attribute: type, shape and elements.

A reducer's values change while they are read. Reading is therefore done in two steps: ``hold_*`` copies what
is needed, quickly, while the caller has the reducer's lock; the function it returns does the slow part later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from glimt.model.errors import ResultError

Array: TypeAlias = npt.NDArray[Any]
Pick: TypeAlias = Callable[[Array], Array]
"""Takes the wanted elements out of an array; may return a view."""

TEXT = np.dtype(object)
"""Arrays of this type hold `str`: variable-length UTF-8 strings in HDF5."""

_SIZES = {"b": (1,), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "f": (2, 4, 8), "c": (8, 16)}
_LISTS = (list, tuple, deque)
_UNCHANGING = (float, int, str, bytes, complex, np.generic, type(None))
_MAX_NESTING = 64  # of NumPy; a list may contain itself
_TRIES = 100
_INT64 = range(-(2**63), 2**63)
_UINT64 = range(2**64)


@dataclass(frozen=True, slots=True)
class Extent:
    """Type and shape of a value, without its elements.

    Attributes
    ----------
    shape : tuple of int or None
        Slowest axis first, ``()`` for a scalar, ``None`` for no value at all (an HDF5 null dataspace).
    dtype : dtype
        As HDF5 can hold it: packed when structured, `TEXT` for strings.
    """

    shape: tuple[int, ...] | None
    dtype: np.dtype[Any]


NOTHING = Extent(None, np.dtype(np.float64))
"""What ``None`` is published as."""


def publishable_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type that stands for ``dtype`` in HDF5.

    Raises
    ------
    ResultError
        HDF5 has no such type; the text says what to publish instead.
    """
    if dtype.names is not None:
        return np.dtype([(name, _field_dtype(name, dtype[name])) for name in dtype.names])
    if dtype.kind == "S":
        return dtype if dtype.itemsize else np.dtype("S1")
    if dtype.kind == "U":
        return TEXT
    if dtype.itemsize in _SIZES.get(dtype.kind, ()):
        return dtype
    hint = {"M": "publish int64 nanoseconds or ISO text", "m": "publish a number and say its unit"}.get(
        dtype.kind, "publish numbers, text or a structured array of these"
    )
    raise ResultError(f"elements of type {dtype} have no HDF5 type here; {hint}")


def _field_dtype(name: str, dtype: np.dtype[Any]) -> Any:
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return _field_dtype(name, base), shape
    found = publishable_dtype(dtype)
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ResultError(f"the name of the field {name!r} is not Unicode") from None
    if found.hasobject:
        raise ResultError(f"field {name!r} is text of type {dtype}; use bytes of a fixed length (dtype 'S…')")
    return found


def hold_extent(value: Any) -> Callable[[], Extent]:
    """Take what is needed to tell type and shape of ``value``; call the result for them, without the lock.

    Raises
    ------
    ResultError
        From the returned function, and from here: the value has no meaning in HDF5.
    """
    if isinstance(value, np.ndarray) and value.dtype != TEXT:
        found = Extent(value.shape, _array_dtype(value))
        return lambda: found
    if value is None:
        return lambda: NOTHING
    if isinstance(value, _LISTS):
        held = _hold_list(value)
        return lambda: _list_extent(held)
    return partial(_extent_later, hold_array(value))


def hold_array(value: Any, pick: Pick | None = None) -> Callable[[], Array]:
    """Copy the wanted elements of ``value``; call the result to get them as HDF5 holds them, without the lock.

    Parameters
    ----------
    value : object
        Number, text, bytes, array, structured array, masked array, nested list of these, or ``None``.
        Masked elements become NaN (integers become floating point for that), ``None`` among numbers too;
        ``None`` alone is an empty array.
    pick : callable, optional
        Applied to an array before it is copied, to a list after it was converted. It may raise.

    Raises
    ------
    ResultError
        From the returned function, and from here: the value has no meaning in HDF5.
    """
    if isinstance(value, np.ma.MaskedArray):
        masked = np.ma.array(_picked(value, pick), copy=True)
        return lambda: _unmask(masked)
    if isinstance(value, np.ndarray) and value.dtype != TEXT:
        target = publishable_dtype(value.dtype)
        taken = np.array(_picked(value, pick), order="C")
        return lambda: _convert(taken, target)
    held = _hold_other(value)
    return lambda: _picked(held(), pick)


def _hold_other(value: Any) -> Callable[[], Array]:
    if isinstance(value, _LISTS):
        held = _hold_list(value)
        return lambda: _from_list(held) if isinstance(held, list) else held
    if isinstance(value, np.ndarray):
        # An object array: its elements say what it is, and only a list shows them.
        items = value.tolist()
        return _hold_other(items)
    array = _from_scalar(value)
    return lambda: array


def _picked(array: Array, pick: Pick | None) -> Array:
    return array if pick is None else pick(array)


def _extent_later(held: Callable[[], Array]) -> Extent:
    array = held()
    return Extent(array.shape, array.dtype)


def _array_dtype(array: Array) -> np.dtype[Any]:
    found = publishable_dtype(array.dtype)
    return _unmasked_dtype(found) if isinstance(array, np.ma.MaskedArray) else found


def _unmasked_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    if dtype.kind not in "biufc":
        raise ResultError(f"a masked array of {dtype} has no value for what is masked; publish it filled")
    return np.result_type(dtype, np.float32)


def _unmask(masked: Any) -> Array:
    target = _unmasked_dtype(publishable_dtype(masked.dtype))
    return np.asarray(masked.astype(target).filled(np.nan))


def _convert(array: Array, target: np.dtype[Any]) -> Array:
    if target == TEXT:
        converted = array.astype(TEXT)
        _check_text(converted.ravel().tolist())
        return converted
    return array if array.dtype == target else array.astype(target)


def _check_text(texts: list[Any]) -> None:
    if not all(isinstance(text, str) for text in texts):
        odd = next(type(text).__name__ for text in texts if not isinstance(text, str))
        raise ResultError(f"mixes text with {odd}; publish the two apart")
    joined = "".join(texts)
    if "\0" in joined:
        raise ResultError("text holds a NUL character, where HDF5 would cut it off; publish bytes as a uint8 array")
    try:
        joined.encode()
    except UnicodeEncodeError:
        raise ResultError("text is not Unicode (a lone surrogate); decode it with errors='replace'") from None


def _hold_list(items: list[Any] | tuple[Any, ...] | deque[Any]) -> list[Any] | Array:
    """Copy a list; one of lists or arrays is converted at once, as what it holds may change later."""
    copied = _copied_list(items)
    if copied and not isinstance(copied[0], _UNCHANGING):
        return _from_list(copied)
    return copied


def _copied_list(items: list[Any] | tuple[Any, ...] | deque[Any]) -> list[Any]:
    for _ in range(_TRIES):
        try:
            return list(items)
        except RuntimeError:  # a deque that another thread appends to without a lock
            continue
    raise ResultError(f"a {type(items).__name__} that changes faster than it can be copied; change it under a lock")


def _list_extent(held: list[Any] | Array) -> Extent:
    if isinstance(held, list):
        # The three lists of nearly every reducer, told by one pass at C speed instead of a conversion.
        kinds = set(map(type, held))
        if kinds == {float}:
            return Extent((len(held),), np.dtype(np.float64))
        if kinds == {int} and min(held) in _INT64 and max(held) in _INT64:
            return Extent((len(held),), np.dtype(np.int64))
        if kinds == {str}:
            _check_text(held)
            return Extent((len(held),), TEXT)
        held = _from_list(held)
    return Extent(held.shape, held.dtype)


def _from_list(items: list[Any]) -> Array:
    first: Any = items
    for _ in range(_MAX_NESTING):
        if isinstance(first, _LISTS) and first:
            first = first[0]
    try:
        array = np.array(items, dtype=TEXT if isinstance(first, str) else None)
    except Exception as error:  # noqa: BLE001  the __array__ of a user's class can raise anything
        raise ResultError(f"a list that is no array ({error}); its rows must have one length and one type") from None
    if isinstance(first, str):
        _check_text(array.ravel().tolist())
        return array
    if array.dtype == TEXT:
        return _fill_gaps(array)
    if array.dtype.kind == "U":
        raise ResultError("a list that mixes text with numbers; publish the two apart")
    return _convert(array, publishable_dtype(array.dtype))


def _fill_gaps(array: Array) -> Array:
    numbers = (int, float, np.integer, np.floating)
    elements = array.ravel().tolist()
    for element in elements:
        # To NumPy a time difference is an integer.
        if isinstance(element, np.timedelta64) or not (element is None or isinstance(element, numbers)):
            kind = type(element).__name__
            hint = "publish a dict, which is a group" if kind == "dict" else "publish numbers or text"
            raise ResultError(f"a list that holds {kind}; {hint}")
    try:
        filled = np.array([np.nan if element is None else float(element) for element in elements])
    except OverflowError:
        raise ResultError("a list that holds an integer beyond 64 bits; publish it as float or text") from None
    return filled.reshape(array.shape)


def _from_scalar(value: Any) -> Array:
    if value is None:
        return np.empty(0)
    if isinstance(value, str):
        _check_text([value])
        return np.array(str(value), dtype=TEXT)
    if isinstance(value, bytes | bytearray):
        return _from_bytes(bytes(value))
    if isinstance(value, int) and not isinstance(value, bool):
        return _from_int(value)
    array = np.asarray(value) if isinstance(value, bool | float | complex | np.generic) else _from_object(value)
    return _convert(array, publishable_dtype(array.dtype))


def _from_bytes(value: bytes) -> Array:
    if b"\0" in value or not value.isascii():
        return np.frombuffer(value, np.uint8)
    return np.array(value, dtype=f"S{max(len(value), 1)}")


def _from_int(value: int) -> Array:
    if value in _INT64:
        return np.array(value, np.int64)
    if value in _UINT64:
        return np.array(value, np.uint64)
    raise ResultError(f"an integer of {value.bit_length()} bits; HDF5 has 64, publish it as float or text")


def _from_object(value: Any) -> Array:
    kind = type(value).__name__
    if not hasattr(value, "__array__"):
        raise ResultError(f"a {kind} has no HDF5 type; publish numbers, text, arrays, lists of these, or a dict")
    try:
        array = np.asarray(value)
    except Exception as error:  # noqa: BLE001  the __array__ of a user's class can raise anything
        raise ResultError(f"a {kind} that does not turn into an array: {error}") from None
    if array.dtype == TEXT:
        raise ResultError(f"a {kind} that turns into an array of objects; publish numbers or text")
    return np.array(array)
