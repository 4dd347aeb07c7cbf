"""The LZ4 block format in plain Python, which Numba can compile as it stands.

A block is a list of sequences: a token (high four bits: number of literals; low four: length of the match less 4;
15 means that bytes follow that are added, up to and with the first below 255), the literals, the offset of the match
(u16, little-endian, counted back from the output, never 0), and what belongs to the length of the match. The last
sequence has literals only; the last five bytes are always literals, and no match starts in the last twelve.

Source: lz4 1.10, doc/lz4_Block_format.md. The compressor is the simplest there is: the last position of every
4-byte word, taken if it still matches.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from numba import types
from numba.extending import register_jitable
from numba.np.numpy_support import carray

from glimt.model.compiled_code import compiled_address

Bytes: TypeAlias = npt.NDArray[np.uint8]
Integer: TypeAlias = int | np.int64

MIN_MATCH = 4
LAST_LITERALS = 5
LAST_MATCH = 12
MAX_OFFSET = 65535
RUN = 15
HASH_BITS = 12


@register_jitable
def decompress_block(source: Bytes, target: Bytes) -> Integer:
    """Decompress a block into the beginning of ``target``; return its size, -1 if it is damaged or does not fit."""
    position: Integer = 0
    written: Integer = 0
    while position < source.size:
        token = np.int64(source[position])
        literals, position = _read_length(source, position + 1, token >> 4)
        if position < 0 or literals > source.size - position or literals > target.size - written:
            return -1
        for _ in range(literals):
            target[written] = source[position]
            written, position = written + 1, position + 1
        if position == source.size:
            return written
        if source.size - position < 2:
            return -1
        offset = np.int64(source[position]) | np.int64(source[position + 1]) << 8
        length, position = _read_length(source, position + 2, token & RUN)
        length += MIN_MATCH
        if position < 0 or not 0 < offset <= written or length > target.size - written:
            return -1
        for _ in range(length):  # byte by byte: a match may reach into what it writes
            target[written] = target[written - offset]
            written += 1
    return -1  # a block ends with literals, and there are none without a token


@register_jitable
def _read_length(source: Bytes, position: Integer, length: Integer) -> tuple[Integer, Integer]:
    if length < RUN:
        return length, position
    while position < source.size:
        more = np.int64(source[position])
        position += 1
        length += more
        if more < 255:
            return length, position
    return length, -1


@register_jitable
def compress_block(source: Bytes, target: Bytes) -> Integer:
    """Compress ``source`` into the beginning of ``target``; return the size of the block, 0 if it does not fit."""
    last_seen = np.full(1 << HASH_BITS, -MAX_OFFSET - 1)
    position: Integer = 0
    literals: Integer = 0
    written: Integer = 0
    while position < source.size - LAST_MATCH:
        word = _word(source, position)
        slot = ((word * 506832829) & 0xFFFFFFFF) >> (32 - HASH_BITS)
        match = last_seen[slot]
        last_seen[slot] = position
        if position - match > MAX_OFFSET or _word(source, match) != word:
            position += 1
            continue
        end = position + MIN_MATCH
        while end < source.size - LAST_LITERALS and source[end] == source[match + end - position]:
            end += 1
        written = _write_literals(source, literals, position, end - position - MIN_MATCH, target, written)
        if written < 0 or target.size - written < 2:
            return 0
        target[written] = (position - match) & 0xFF
        target[written + 1] = (position - match) >> 8
        written = _write_length(target, written + 2, end - position - MIN_MATCH)
        if written < 0:
            return 0
        position = literals = end
    return max(_write_literals(source, literals, source.size, 0, target, written), 0)


@register_jitable
def _word(source: Bytes, position: Integer) -> Integer:
    word = np.int64(0)
    for k in range(4):
        word |= np.int64(source[position + k]) << (8 * k)
    return word


@register_jitable
def _write_literals(
    source: Bytes, start: Integer, end: Integer, match: Integer, target: Bytes, written: Integer
) -> Integer:
    count = end - start
    if written >= target.size:
        return -1
    target[written] = min(count, RUN) << 4 | min(match, RUN)
    written = _write_length(target, written + 1, count)
    if written < 0 or count > target.size - written:
        return -1
    for k in range(count):
        target[written + k] = source[start + k]
    return written + count


@register_jitable
def _write_length(target: Bytes, written: Integer, length: Integer) -> Integer:
    if length < RUN:
        return written
    length -= RUN
    if target.size - written < length // 255 + 1:
        return -1
    while length >= 255:
        target[written] = 255
        written, length = written + 1, length - 255
    target[written] = length
    return written + 1


def _decompress(source: Any, target: Any, size: int, capacity: int) -> Integer:
    return decompress_block(carray(source, size), carray(target, capacity))


def _compress(source: Any, target: Any, size: int, capacity: int) -> Integer:
    return compress_block(carray(source, size), carray(target, capacity))


def compile_functions() -> tuple[int, int]:
    """Return addresses of the decompressor and the compressor, callable like LZ4's own C functions."""
    pointer: Any = types.CPointer(types.uint8)  # type: ignore[no-untyped-call]  # Numba has no types for it
    signature = types.int32(pointer, pointer, types.int32, types.int32)
    return compiled_address(signature, _decompress), compiled_address(signature, _compress)
