"""The byte-offset compression of CBF: each pixel is what it differs from the one before, mostly in one byte.

A difference is written as int8; if it does not fit, as -128 and an int16; if that does not fit either, as -32768 behind
it and an int32; then -2**31 and an int64. All little-endian; the first pixel differs from 0.

Source: CBFlib manual, section 3.3.3 "byte_offset compression"; International Tables for Crystallography G, 5.6.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from numba.extending import register_jitable

from glimt.model.compiled_code import compiled

Bytes: TypeAlias = npt.NDArray[np.uint8]
Pixels: TypeAlias = npt.NDArray[Any]

OK, CUT, RANGE = 0, 1, 2

_ESCAPE_8, _ESCAPE_16, _ESCAPE_32 = -(1 << 7), -(1 << 15), -(1 << 31)


def most_bytes(itemsize: int) -> int:
    """Return how many bytes a pixel of 1, 2 or 4 bytes can need: a difference needs one bit more than the pixel."""
    return {1: 3, 2: 7, 4: 15}[itemsize]


@register_jitable
def _read_signed(source: Bytes, start: int, n_bytes: int) -> Any:
    value = np.int64(source[start + n_bytes - 1])
    value = value - 256 if value > 127 else value
    for k in range(n_bytes - 2, -1, -1):
        value = value << 8 | np.int64(source[start + k])
    return value


@register_jitable
def _read_escaped(source: Bytes, position: int) -> tuple[Any, int]:
    """Return the difference behind an int8 escape, and where the next pixel begins, -1 if the bytes end before."""
    for n_bytes, escape in ((2, _ESCAPE_16), (4, _ESCAPE_32), (8, 0)):
        if source.size - position < n_bytes:
            return np.int64(0), -1
        value = _read_signed(source, position, n_bytes)
        position += n_bytes
        if n_bytes == 8 or value != escape:
            return value, position
    return np.int64(0), -1


@compiled
def unpack_byte_offset(source: Bytes, pixels: Pixels, low: int, high: int) -> tuple[int, int, int]:
    """Decode ``pixels.size`` pixels, which lie between ``low`` and ``high``; return status, pixels done, bytes read.

    ``CUT``: the bytes end before the pixels. ``RANGE``: the next pixel does not fit the type.
    """
    position = 0
    value = np.int64(0)
    for k in range(pixels.size):
        if position >= source.size:
            return CUT, k, position
        difference = np.int64(np.int8(source[position]))
        position += 1
        if difference == _ESCAPE_8:
            difference, end = _read_escaped(source, position)
            if end < 0:
                return CUT, k, position
            position = end
            if not low - value <= difference <= high - value:
                return RANGE, k, position
        value += difference
        if value < low or value > high:
            return RANGE, k, position
        pixels[k] = value
    return OK, pixels.size, position


@register_jitable
def _write_signed(target: Bytes, start: int, value: Any, n_bytes: int) -> int:
    for k in range(n_bytes):
        target[start + k] = (value >> (8 * k)) & 0xFF
    return start + n_bytes


@compiled
def pack_byte_offset(pixels: Pixels, target: Bytes) -> int:
    """Encode ``pixels``, (n,) integers of up to 32 bits, and return the number of bytes.

    ``target`` has room for `most_bytes` of that type a pixel: there is no check here.
    """
    position = 0
    before = np.int64(0)
    for k in range(pixels.size):
        value = np.int64(pixels[k])
        difference = value - before
        before = value
        if -127 <= difference <= 127:
            position = _write_signed(target, position, difference, 1)
            continue
        position = _write_signed(target, position, _ESCAPE_8, 1)
        if -32767 <= difference <= 32767:
            position = _write_signed(target, position, difference, 2)
            continue
        position = _write_signed(target, position, _ESCAPE_16, 2)
        if -0x7FFFFFFF <= difference <= 0x7FFFFFFF:
            position = _write_signed(target, position, difference, 4)
            continue
        position = _write_signed(target, position, _ESCAPE_32, 4)
        position = _write_signed(target, position, difference, 8)
    return position


def unpack_plainly(source: Bytes, pixels: Pixels, low: int, high: int) -> tuple[int, int, int]:
    """Do what `unpack_byte_offset` does, in plain Python."""
    data, position, value = source.tobytes(), 0, 0
    for k in range(pixels.size):
        for n_bytes, escape in ((1, _ESCAPE_8), (2, _ESCAPE_16), (4, _ESCAPE_32), (8, None)):
            if len(data) - position < n_bytes:
                return CUT, k, position
            difference = int.from_bytes(data[position : position + n_bytes], "little", signed=True)
            position += n_bytes
            if difference != escape:
                break
        value += difference
        if not low <= value <= high:
            return RANGE, k, position
        pixels[k] = value
    return OK, pixels.size, position


def pack_plainly(pixels: Pixels) -> bytes:
    """Do what `pack_byte_offset` does, in plain Python."""
    packed, before = bytearray(), 0
    for value in map(int, pixels):
        difference, before = value - before, value
        for n_bytes, escape in ((1, _ESCAPE_8), (2, _ESCAPE_16), (4, _ESCAPE_32), (8, 0)):
            if n_bytes == 8 or abs(difference) < -escape:
                packed += difference.to_bytes(n_bytes, "little", signed=True)
                break
            packed += escape.to_bytes(n_bytes, "little", signed=True)
    return bytes(packed)
