"""What the names in a pickle may stand for: NumPy arrays, plain containers and dates.

A pickle builds its objects by naming functions and calling them. Here every admitted name is one of our own functions,
which checks its arguments and makes a plain value; no function of another module is ever looked up.
"""

from __future__ import annotations

import datetime
import math
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

MAX_AXES = 32
MAX_KEY_LENGTH = 4096
MAX_NUMERIC_KEYS = 4096
"""Keys that are numbers hash predictably: a sender can choose many that collide, and each then costs all the others."""

# NumPy's own short names, as its dtypes pickle themselves. No objects, no records, no raw bytes.
_ELEMENT = re.compile(r"[biufcSU]\d{1,9}\Z")


class Unfinished:
    """An object whose state comes in a later opcode.

    Attributes
    ----------
    memo_keys : list of int
        Under which numbers the pickle remembers it: later references mean the finished value.
    """

    def __init__(self) -> None:
        self.memo_keys: list[int] = []

    def finish(self, state: tuple[Any, ...]) -> Any:
        """Return the value that ``state`` completes; ValueError or TypeError if it cannot."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, eq=False)
class PickleGlobal:
    """What an admitted name stands for while a pickle is read."""

    name: str
    make: Callable[..., Any]


def _refuse(*_arguments: object) -> Any:
    raise ValueError("an array is made without its type and shape")


NDARRAY = PickleGlobal("numpy.ndarray", _refuse)


class _UnfinishedType(Unfinished):
    """A ``numpy.dtype`` before its byte order is known."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        super().__init__()
        self._dtype = dtype

    def finish(self, state: tuple[Any, ...]) -> np.dtype[Any]:
        version, order, *rest = state
        if version not in (3, 4) or order not in ("<", ">", "|", "=") or rest[:3] != [None, None, None]:
            raise ValueError("an array type has fields or a version that are not accepted")
        return self._dtype.newbyteorder(order)


class _UnfinishedArray(Unfinished):
    """An array before its shape and content are known."""

    def finish(self, state: tuple[Any, ...]) -> np.ndarray[Any, Any]:
        _version, shape, dtype, is_fortran, raw = state
        return _array(raw, dtype, shape, "F" if is_fortran else "C")


def _dtype(name: Any, *_flags: object) -> _UnfinishedType:
    if not _ELEMENT.match(_only(str, name)):
        raise ValueError(f"array elements of type {name[:40]!r}; only numbers and texts are accepted")
    return _UnfinishedType(np.dtype(name))


def _array(raw: object, dtype: object, shape: object, order: object = "C") -> np.ndarray[Any, Any]:
    if not isinstance(raw, bytes | bytearray) or not isinstance(dtype, np.dtype):
        raise ValueError("an array whose content or type is missing")
    if not isinstance(shape, tuple) or len(shape) > MAX_AXES or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError(f"an array whose shape is not up to {MAX_AXES} lengths")
    if math.prod(shape) * dtype.itemsize != len(raw):
        raise ValueError(f"an array of shape {str(shape)[:80]} of {dtype} in {len(raw)} bytes")
    # A copy: what pickle makes is writable and aligned, a slice of the message is neither.
    return np.ndarray(shape, dtype, buffer=bytearray(raw), order="F" if order == "F" else "C")


def _frombuffer(raw: object, dtype: object, shape: object, order: object, *_axes: object) -> np.ndarray[Any, Any]:
    return _array(raw, dtype, shape, order)


def _reconstruct(array_type: object, *_arguments: object) -> _UnfinishedArray:
    if array_type is not NDARRAY:
        raise ValueError("an array of a class that is not numpy.ndarray")
    return _UnfinishedArray()


def _scalar(dtype: object, raw: object) -> Any:
    return _array(raw, dtype, ())[()]


def _encode(text: object, encoding: object) -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise ValueError("bytes in a text encoding other than latin1")
    return text.encode("latin1")


def _no_bytes(*arguments: object) -> bytes:
    if arguments:
        raise ValueError("bytes made of something else")
    return b""


def _bytearray(content: object = b"", encoding: object = "latin1") -> bytearray:
    return bytearray(_encode(content, encoding) if isinstance(content, str) else _only(bytes, content))


def _only(kind: type[Any], value: Any) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"a {type(value).__name__} where a {kind.__name__} belongs")
    return value


def _set(elements: object = ()) -> set[Any]:
    return set(check_keys(_only(list, elements)))


def _frozenset(elements: object = ()) -> frozenset[Any]:
    return frozenset(check_keys(_only(list, elements)))


def _ordered_dict(pairs: object = ()) -> OrderedDict[Any, Any]:
    if not isinstance(pairs, list | tuple):
        raise ValueError("an ordered dictionary of something else than pairs")
    items = [tuple(pair) for pair in pairs if isinstance(pair, list | tuple) and len(pair) == 2]
    if len(items) != len(pairs):
        raise ValueError("an ordered dictionary of something else than pairs")
    check_keys(key for key, _ in items)
    return OrderedDict(items)


def _complex(real: object, imaginary: object) -> complex:
    return complex(_only(float, real), _only(float, imaginary))


def _timezone(offset: object, *name: object) -> datetime.timezone:
    return datetime.timezone(_only(datetime.timedelta, offset), *(_only(str, text) for text in name))


def _datetime(raw: object, *zone: object) -> datetime.datetime:
    packed = _only(bytes, raw)
    return datetime.datetime(packed, *(_only(datetime.timezone, z) for z in zone))


def _timedelta(days: object, seconds: object, microseconds: object) -> datetime.timedelta:
    return datetime.timedelta(_only(int, days), _only(int, seconds), _only(int, microseconds))


def _date(raw: object) -> datetime.date:
    packed: Any = _only(bytes, raw)  # one argument, the packed form: no stub knows it
    make: Callable[..., datetime.date] = datetime.date
    return make(packed)


def check_keys(keys: Iterable[Any], *, numeric_before: int = 0) -> list[Any]:
    """Return ``keys`` as a list if all are short texts, bytes or numbers.

    Anything else can be made to cost too much: the hash of a nested tuple recurses without end.

    Raises
    ------
    ValueError
        A key is something else, is too long, or there are more than `MAX_NUMERIC_KEYS` numbers.
    """
    checked = list(keys)
    numeric = numeric_before
    for key in checked:
        kind = type(key)
        if kind is str or kind is bytes:
            if len(key) > MAX_KEY_LENGTH:
                raise ValueError(f"a key of {len(key)} characters; at most {MAX_KEY_LENGTH} are accepted")
        elif kind in (int, float, bool, type(None)):
            numeric += 1
        else:
            raise ValueError(f"a {kind.__name__} as key; only texts, bytes and numbers are accepted")
    if numeric > MAX_NUMERIC_KEYS:
        raise ValueError(f"{numeric} numbers as keys; at most {MAX_NUMERIC_KEYS} are accepted")
    return checked


def _admitted() -> dict[tuple[str, str], PickleGlobal]:
    makers: dict[tuple[str, str], Callable[..., Any]] = {
        ("numpy", "dtype"): _dtype,
        ("_codecs", "encode"): _encode,
        ("collections", "OrderedDict"): _ordered_dict,
        ("datetime", "datetime"): _datetime,
        ("datetime", "date"): _date,
        ("datetime", "timedelta"): _timedelta,
        ("datetime", "timezone"): _timezone,
    }
    for core in ("numpy.core", "numpy._core"):  # NumPy 1 and NumPy 2
        makers[f"{core}.multiarray", "_reconstruct"] = _reconstruct
        makers[f"{core}.multiarray", "scalar"] = _scalar
        makers[f"{core}.numeric", "_frombuffer"] = _frombuffer
    for builtins in ("builtins", "__builtin__"):  # pickle protocol 3 and later, protocol 2
        makers[builtins, "set"] = _set
        makers[builtins, "frozenset"] = _frozenset
        makers[builtins, "bytes"] = _no_bytes
        makers[builtins, "bytearray"] = _bytearray
        makers[builtins, "complex"] = _complex
    admitted = {key: PickleGlobal(".".join(key), make) for key, make in makers.items()}
    admitted["numpy", "ndarray"] = NDARRAY
    return admitted


ADMITTED = _admitted()
"""``(module, name)`` of everything a pickle may name."""
