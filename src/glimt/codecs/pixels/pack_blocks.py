"""Bit-shuffle and compress blocks: the compiled side of `encode_pixels`, the way back of `unpack_blocks`."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, register_jitable

from glimt.codecs.pixels.lz4_call import call_lz4
from glimt.model.compiled_code import compiled

Bytes: TypeAlias = npt.NDArray[np.uint8]


def _shuffler(lanes: int) -> Any:
    @intrinsic
    def shuffle(_context: Any, source: Any, planes: Any, stride: Any, pixels: Any) -> Any:
        n_bits = pixels.dtype.bitwidth

        def generate(_context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Any) -> None:
            source, planes, stride, _ = arguments
            element_type = ir.VectorType(ir.IntType(n_bits), lanes)
            elements = builder.load(builder.inttoptr(source, element_type.as_pointer()))
            elements.align = 1
            for bit in range(n_bits):
                mask = _bit_mask(builder, elements, bit, lanes)
                plane = builder.add(planes, builder.mul(stride, ir.Constant(ir.IntType(64), bit)))
                store = builder.store(mask, builder.inttoptr(plane, mask.type.as_pointer()))
                store.align = 1

        return types.void(types.int64, types.int64, types.int64, pixels), generate

    return shuffle


def _bit_mask(builder: ir.IRBuilder, elements: ir.Value, bit: int, lanes: int) -> ir.Value:
    """Return one bit of each element, as one integer."""
    # Byte by byte with the bit moved to the sign: for that, processors have an instruction (pmovmskb, vpmovb2m).
    byte_type = ir.VectorType(ir.IntType(8), lanes)
    column = elements
    if elements.type != byte_type:
        width = ir.Constant(elements.type, [ir.Constant(elements.type.element, bit // 8 * 8)] * lanes)
        column = builder.trunc(builder.lshr(elements, width), byte_type)
    up = ir.Constant(byte_type, [ir.Constant(ir.IntType(8), 7 - bit % 8)] * lanes)
    is_set = builder.icmp_signed("<", builder.shl(column, up), ir.Constant(byte_type, None))
    return builder.bitcast(is_set, ir.IntType(lanes))


_shuffle_64 = _shuffler(64)
_shuffle_8 = _shuffler(8)


@register_jitable
def _write_u32(target: Bytes, offset: int, value: int) -> None:
    for k in range(4):
        target[offset + k] = (value >> (24 - 8 * k)) & 0xFF


@compiled
def pack_bslz4(pixels: npt.NDArray[Any], packed: Bytes, offset: int, block_elements: int, compress: int) -> int:
    """Write the blocks of all whole groups of eight elements from ``offset`` on; return where they end, -1 if too long.

    ``packed`` holds at least ``offset`` and 4 bytes and LZ4's bound for every block.
    """
    whole = pixels.size - pixels.size % 8
    scratch = np.empty(min(block_elements, whole) * pixels.itemsize, np.uint8)
    packed_address, block_address = np.int64(packed.ctypes.data), np.int64(scratch.ctypes.data)
    done = 0
    while done < whole:
        n = min(block_elements, whole - done)
        source_address = np.int64(pixels.ctypes.data) + done * pixels.itemsize
        for k in range(0, n - n % 64, 64):
            _shuffle_64(source_address + k * pixels.itemsize, block_address + k // 8, n // 8, pixels)
        for k in range(n - n % 64, n, 8):
            _shuffle_8(source_address + k * pixels.itemsize, block_address + k // 8, n // 8, pixels)
        room = min(packed.size - offset - 4, 0x7FFFFFFF)
        length = call_lz4(compress, block_address, packed_address + offset + 4, n * pixels.itemsize, room)
        if length <= 0:
            return -1
        _write_u32(packed, offset, length)
        offset += 4 + length
        done += n
    return offset


@compiled
def pack_lz4(source: Bytes, packed: Bytes, offset: int, block_bytes: int, compress: int) -> int:
    """Write the blocks from ``offset`` on, or one without its length if ``block_bytes`` is 0; return where they end.

    ``packed`` holds at least ``offset`` and 4 bytes and LZ4's bound for every block; -1 if it is not enough.
    """
    source_address, packed_address = np.int64(source.ctypes.data), np.int64(packed.ctypes.data)
    if block_bytes == 0:
        length = call_lz4(compress, source_address, packed_address, source.size, min(packed.size, 0x7FFFFFFF))
        return length if length > 0 else -1
    done = 0
    while done < source.size:
        nbytes = min(block_bytes, source.size - done)
        room = min(packed.size - offset - 4, 0x7FFFFFFF)
        length = call_lz4(compress, source_address + done, packed_address + offset + 4, nbytes, room)
        if length <= 0:
            return -1
        if length >= nbytes:  # readers take a block of this very length as stored
            length = nbytes
            packed[offset + 4 : offset + 4 + nbytes] = source[done : done + nbytes]
        _write_u32(packed, offset, length)
        offset += 4 + length
        done += nbytes
    return offset
