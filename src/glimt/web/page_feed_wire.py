"""A reading as bytes, between the reducer's process and the one that serves the page."""

from __future__ import annotations

import struct
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from glimt.model.errors import DecodeError
from glimt.model.publish_value import TEXT
from glimt.web.page_feed import MAX_VALUE_BYTES, MAX_WANTED, PageNode, Reading

_HEAD = struct.Struct("<I")
_MAX_AXES = 32


class FeedRequest(msgspec.Struct, frozen=True):
    """What the hub asks: fingerprints of the paths it wants, the last sign, how long to wait [s]."""

    wanted: dict[str, int | None] = {}
    sign: int = 0
    wait_s: float = 0.0


class _Value(msgspec.Struct, frozen=True):
    path: str
    dtype: Any
    shape: tuple[int, ...]
    n_bytes: int


class _Head(msgspec.Struct, frozen=True):
    sign: int
    event_number: int | None
    nodes: list[PageNode]
    problems: list[tuple[str, str]]
    numbers: dict[str, float]
    prints: dict[str, int]
    values: list[_Value]
    texts: dict[str, Any]
    scalars: dict[int, dict[str, float]] = {}
    events: dict[str, int] = {}


def request_from_bytes(data: bytes) -> FeedRequest:
    """Return what is asked.

    Raises
    ------
    DecodeError
        It is no request, or one for too much.
    """
    try:
        request = msgspec.msgpack.decode(data, type=FeedRequest)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise DecodeError(f"no request for the page's feed: {error}") from None
    if len(request.wanted) > MAX_WANTED or not 0 <= request.wait_s <= 5:
        raise DecodeError(f"a request takes up to {MAX_WANTED} paths and waits 0 to 5 s")
    return request


def reading_to_parts(reading: Reading) -> list[bytes | memoryview]:
    """Return the message in parts, arrays not copied."""
    values, texts, arrays = [], {}, []
    for path, array in reading.values.items():
        if array.dtype == TEXT:
            texts[path] = array.tolist()
            continue
        whole = np.ascontiguousarray(array)
        descr = whole.dtype.descr if whole.dtype.names else whole.dtype.str
        values.append(_Value(path, descr, array.shape, whole.nbytes))
        arrays.append(whole.reshape(-1).view(np.uint8).data)
    head = msgspec.msgpack.encode(
        _Head(
            reading.sign, reading.event_number, reading.nodes, reading.problems, reading.numbers, reading.prints,
            values, texts, reading.scalars, reading.events,
        )
    )  # fmt: skip
    return [_HEAD.pack(len(head)) + head, *arrays]


def reading_from_bytes(data: bytes | bytearray) -> Reading:
    """Return the reading in a message; arrays are views of it.

    Raises
    ------
    DecodeError
        It is none.
    """
    try:
        (length,) = _HEAD.unpack_from(data)
        at = _HEAD.size + length
        head = msgspec.msgpack.decode(memoryview(data)[_HEAD.size : at], type=_Head)
        values: dict[str, npt.NDArray[Any]] = {path: np.array(text, TEXT) for path, text in head.texts.items()}
        for value in head.values:
            values[value.path] = _array(data, at, value)
            at += value.n_bytes
    except (struct.error, msgspec.DecodeError, ValueError, TypeError, RecursionError, UnicodeError) as error:
        raise DecodeError(f"the reducer's view sent no reading for the page: {error}") from None
    return Reading(
        head.sign, head.event_number, head.nodes, head.problems, head.numbers, values, head.prints, head.scalars,
        head.events,
    )  # fmt: skip


def _array(data: bytes | bytearray, at: int, value: _Value) -> npt.NDArray[Any]:
    dtype = np.dtype([tuple(_field(part)) for part in value.dtype] if isinstance(value.dtype, list) else value.dtype)
    n_items = 1
    for n in value.shape:
        n_items *= n
    fits = len(value.shape) <= _MAX_AXES and all(n >= 0 for n in value.shape) and value.n_bytes <= 2 * MAX_VALUE_BYTES
    if dtype.hasobject or not fits or n_items * dtype.itemsize != value.n_bytes or at + value.n_bytes > len(data):
        raise ValueError(f"{value.path[:100]} has another length than its shape")
    return np.frombuffer(data, dtype, n_items, at).reshape(value.shape)


def _field(part: Any) -> list[Any]:
    name, dtype, *shape = part
    kind = [tuple(_field(inner)) for inner in dtype] if isinstance(dtype, list) else dtype
    return [name, kind, *(tuple(axes) for axes in shape)]
