"""Where the blocks of a compressed payload begin and how large they are.

Two framings are in use. ``hdf5``, that of the HDF5 filters: number of bytes (u64, big-endian), block size in bytes
(u32, big-endian), then blocks, each a compressed length (u32, big-endian) and an LZ4 block. ``bare``: for bslz4 the
same blocks without those 12 bytes, of a size both sides know; for lz4 nothing but one LZ4 block.

Sources: the HDF5 filters 32004 (LZ4) and 32008 (bitshuffle), DECTRIS SIMPLON stream v1 and v2.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from glimt.model.errors import DecodeError, UsageError

PACKED = ("lz4", "bslz4")
FRAMINGS = ("auto", "hdf5", "bare")

PREFIX = struct.Struct(">QI")
BLOCK_LENGTH = struct.Struct(">I")

LZ4_MAX_BLOCK_BYTES = 0x7E000000
"""LZ4's own limit for the size of a decompressed block."""


class Layout(NamedTuple):
    """Where blocks begin, and their decompressed size [bytes], 0 if the payload is one LZ4 block without a length."""

    compression: str
    offset: int
    block_bytes: int


def default_block_bytes(itemsize: int) -> int:
    """Return bitshuffle's own choice: 8192 bytes in whole groups of 8 elements, at least 128 elements."""
    return max(8192 // itemsize // 8 * 8, 128) * itemsize


def read_layout(
    payload: bytes | memoryview, compression: str, nbytes: int, itemsize: int, *, framing: str, where: str
) -> Layout:
    """Return the layout of a payload that has to yield ``nbytes`` bytes.

    Raises
    ------
    DecodeError
        ``compression`` is unknown, the sizes in front of the blocks disagree with ``nbytes`` or make no sense.
    UsageError
        ``framing`` is unknown.
    """
    if compression not in PACKED:
        raise DecodeError(f"compression {compression[:40]!r} is not one of none, {', '.join(PACKED)}", where=where)
    if framing not in FRAMINGS:
        raise UsageError(f"{where}: framing {framing!r} is not one of {', '.join(FRAMINGS)}")
    unit = 8 * itemsize if compression == "bslz4" else 1
    if framing == "bare" or (framing == "auto" and not _has_prefix(payload, nbytes, unit)):
        if compression == "bslz4":
            return Layout(compression, 0, default_block_bytes(itemsize))
        if nbytes > LZ4_MAX_BLOCK_BYTES:
            raise DecodeError(f"{nbytes} bytes, one LZ4 block has at most {LZ4_MAX_BLOCK_BYTES}", where=where)
        return Layout(compression, 0, 0)
    if len(payload) < PREFIX.size:
        raise DecodeError(f"{len(payload)} bytes, the sizes in front of the blocks alone have 12", where=where)
    announced, block_bytes = PREFIX.unpack_from(payload)
    if announced != nbytes:
        raise DecodeError(f"the payload holds {announced} bytes of pixels, shape and type have {nbytes}", where=where)
    if block_bytes == 0 or block_bytes % unit:
        raise DecodeError(f"block size {block_bytes} is not a multiple of {unit} bytes", where=where)
    block_bytes = min(block_bytes, max(nbytes // unit, 1) * unit)  # what is larger than the frame is one block
    if block_bytes > LZ4_MAX_BLOCK_BYTES:
        raise DecodeError(f"block size {block_bytes}, LZ4 allows at most {LZ4_MAX_BLOCK_BYTES}", where=where)
    return Layout(compression, PREFIX.size, block_bytes)


def _has_prefix(payload: bytes | memoryview, nbytes: int, unit: int) -> bool:
    # A frame has at most 2**31 bytes, so a prefix begins with four zero bytes. No bare payload with a block does: a
    # bslz4 block would have length 0, and an LZ4 block would copy from offset 0, which the format forbids.
    if nbytes < unit or not nbytes:
        return len(payload) == nbytes + PREFIX.size  # there is no block: bslz4 of fewer than 8 elements is stored raw
    return bytes(payload[:4]) == bytes(4)
