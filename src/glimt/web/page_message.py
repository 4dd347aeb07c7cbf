"""The page's binary messages: a JSON header and arrays; see ``docs/reference/page-protocol.md``."""

from __future__ import annotations

import struct
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_LENGTH = struct.Struct("<I")
_ALIGNED = 8
_SENT = frozenset({"u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"})


class Buffers:
    """Collects the arrays of one message."""

    def __init__(self) -> None:
        self.arrays: list[Array] = []

    def add(self, array: Array) -> str:
        """Take an array of a type that is sent (`sendable`) and return its name."""
        self.arrays.append(np.ascontiguousarray(array))
        return f"b{len(self.arrays) - 1}"


def sendable(array: Array) -> Array:
    """Return an array of numbers as a type that a browser has: no 64-bit integers, no complex numbers."""
    if array.dtype.kind == "b":
        return array.astype(np.uint8)
    if array.dtype.kind == "c":
        array = np.abs(array)
    array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    if array.dtype.str[1:] in _SENT:
        return array
    return array.astype(np.float32 if array.dtype.itemsize == 2 else np.float64)


def message(header: dict[str, Any], buffers: Buffers | None = None) -> bytes:
    """Return header and buffers as one message; of numbers in the header NaN and infinity become ``null``."""
    arrays = [] if buffers is None else buffers.arrays
    told = [
        {"name": f"b{i}", "dtype": str(array.dtype), "shape": list(array.shape), "offset": 0}
        for i, array in enumerate(arrays)
    ]
    # Offsets are counted from the start of the message and stand in the header, whose length they change: leave room.
    room = len(msgspec.json.encode(header | {"buffers": told}, enc_hook=_plain)) + 12 * len(arrays)
    start = _padded(_LENGTH.size + room)
    at = start
    for entry, array in zip(told, arrays, strict=True):
        entry["offset"] = at
        at = _padded(at + array.nbytes)
    text = msgspec.json.encode(header | {"buffers": told}, enc_hook=_plain).ljust(start - _LENGTH.size)
    found = bytearray(at)
    found[:start] = _LENGTH.pack(len(text)) + text
    for entry, array in zip(told, arrays, strict=True):
        offset = int(str(entry["offset"]))
        found[offset : offset + array.nbytes] = array.reshape(-1).view(np.uint8).data
    return bytes(found)


def _padded(n: int) -> int:
    return n + -n % _ALIGNED


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else str(value)
