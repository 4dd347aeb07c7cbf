"""Decompress and bit-unshuffle blocks: the compiled side of `decode_pixels`.

After bitshuffle a block of ``n`` elements is a list of bit planes: ``n / 8`` bytes with bit 0 of every element, then
bit 1, and so on. Sixty-four bits of a plane, read as one integer, *are* a mask of 64 vector lanes, so that
"set bit k where the mask is set" is all there is to do; on AVX-512 that is one masked instruction a plane.
`glimt.codecs.pixels.plain` does the same in NumPy.

Sizes are checked against ``source.size`` and ``pixels.size`` here and nowhere later: addresses know no bounds.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, register_jitable

from glimt.codecs.pixels.bit_transpose import has_transpose, transposed_column
from glimt.codecs.pixels.lz4_call import call_lz4
from glimt.codecs.pixels.status import CUT, DAMAGED, LENGTH, OK
from glimt.model.compiled_code import compiled

Bytes: TypeAlias = npt.NDArray[np.uint8]


def _unshuffler(lanes: int) -> Any:
    @intrinsic
    def unshuffle(_context: Any, planes: Any, stride: Any, target: Any, pixels: Any) -> Any:
        n_bytes = pixels.dtype.bitwidth // 8

        def generate(context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Any) -> None:
            planes, stride, target, _ = arguments
            byte_column = transposed_column if lanes == 64 and has_transpose(context) else _byte_column
            columns = [byte_column(builder, planes, stride, byte, lanes) for byte in range(n_bytes)]
            while len(columns) > 1:
                columns = [
                    _interleave(builder, low, high, lanes)
                    for low, high in zip(columns[::2], columns[1::2], strict=True)
                ]
            store = builder.store(columns[0], builder.inttoptr(target, columns[0].type.as_pointer()))
            store.align = 1

        return types.void(types.int64, types.int64, types.int64, pixels), generate

    return unshuffle


def _byte_column(builder: ir.IRBuilder, planes: ir.Value, stride: ir.Value, byte: int, lanes: int) -> ir.Value:
    """Return byte number ``byte`` of each element, made of eight planes."""
    word = ir.IntType(lanes)
    column_type = ir.VectorType(ir.IntType(8), lanes)
    column = zero = ir.Constant(column_type, None)
    for bit in range(8):
        plane = builder.add(planes, builder.mul(stride, ir.Constant(ir.IntType(64), 8 * byte + bit)))
        load = builder.load(builder.inttoptr(plane, word.as_pointer()))
        load.align = 1
        mask = builder.bitcast(load, ir.VectorType(ir.IntType(1), lanes))
        value = ir.Constant(column_type, [ir.Constant(ir.IntType(8), 1 << bit)] * lanes)
        column = builder.or_(column, builder.select(mask, value, zero))
    return column


def _interleave(builder: ir.IRBuilder, low: ir.Value, high: ir.Value, lanes: int) -> ir.Value:
    """Return elements of twice the width, little-endian."""
    order = [lane + half for lane in range(lanes) for half in (0, lanes)]
    index = ir.Constant(ir.VectorType(ir.IntType(32), 2 * lanes), [ir.Constant(ir.IntType(32), k) for k in order])
    width = low.type.element.width
    return builder.bitcast(builder.shuffle_vector(low, high, index), ir.VectorType(ir.IntType(2 * width), lanes))


_unshuffle_64 = _unshuffler(64)
_unshuffle_8 = _unshuffler(8)


@register_jitable
def _read_u32(source: Bytes, offset: int) -> Any:
    value = np.int64(0)
    for k in range(4):
        value = value << 8 | np.int64(source[offset + k])
    return value


@register_jitable
def next_block(source: Bytes, offset: int, scratch: Bytes, nbytes: int, decompress: int) -> tuple[int, int]:
    """Decompress the block at ``offset`` into ``scratch``; return status and the offset of what follows or is wrong."""
    if source.size - offset < 4:
        return CUT, offset
    length = _read_u32(source, offset)
    if not 0 < length <= min(source.size - offset - 4, 0x7FFFFFFF):
        return LENGTH, offset
    source_address, block_address = np.int64(source.ctypes.data), np.int64(scratch.ctypes.data)
    if call_lz4(decompress, source_address + offset + 4, block_address, length, nbytes) != nbytes:
        return DAMAGED, offset
    return OK, offset + 4 + length


@register_jitable
def unshuffle_block(scratch: Bytes, n: int, pixels: npt.NDArray[Any], start: int) -> None:
    """Make pixels ``start`` to ``start + n`` of the planes in ``scratch``; ``n`` is a multiple of 8."""
    block_address = np.int64(scratch.ctypes.data)
    target_address = np.int64(pixels.ctypes.data) + start * pixels.itemsize
    for k in range(0, n - n % 64, 64):
        _unshuffle_64(block_address + k // 8, n // 8, target_address + k * pixels.itemsize, pixels)
    for k in range(n - n % 64, n, 8):
        _unshuffle_8(block_address + k // 8, n // 8, target_address + k * pixels.itemsize, pixels)


@compiled
def unpack_bslz4(
    source: Bytes, offset: int, pixels: npt.NDArray[Any], block_elements: int, decompress: int
) -> tuple[int, int]:
    """Decode the blocks that begin at ``offset``; return status and the offset of what follows or is wrong.

    Elements after the last whole group of eight are left as they are: they are not in a block.
    """
    whole = pixels.size - pixels.size % 8
    scratch = np.empty(min(block_elements, whole) * pixels.itemsize, np.uint8)
    done = 0
    while done < whole:
        n = min(block_elements, whole - done)
        status, offset = next_block(source, offset, scratch, n * pixels.itemsize, decompress)
        if status != OK:
            return status, offset
        unshuffle_block(scratch, n, pixels, done)
        done += n
    return OK, offset


@compiled
def unpack_lz4(source: Bytes, offset: int, target: Bytes, block_bytes: int, decompress: int) -> tuple[int, int]:
    """Decode the blocks that begin at ``offset``, or the one that ``source`` is if ``block_bytes`` is 0.

    Returns status and the offset of what follows or is wrong.
    """
    source_address, target_address = np.int64(source.ctypes.data), np.int64(target.ctypes.data)
    if block_bytes == 0:
        if not 0 < source.size <= 0x7FFFFFFF:
            return LENGTH, offset
        if call_lz4(decompress, source_address, target_address, source.size, target.size) != target.size:
            return DAMAGED, offset
        return OK, source.size
    done = 0
    while done < target.size:
        nbytes = min(block_bytes, target.size - done)
        if source.size - offset < 4:
            return CUT, offset
        length = _read_u32(source, offset)
        if not 0 < length <= min(source.size - offset - 4, 0x7FFFFFFF):
            return LENGTH, offset
        if length == nbytes:  # stored, because compressing did not make it smaller
            target[done : done + nbytes] = source[offset + 4 : offset + 4 + nbytes]
        elif call_lz4(decompress, source_address + offset + 4, target_address + done, length, nbytes) != nbytes:
            return DAMAGED, offset
        offset += 4 + length
        done += nbytes
    return OK, offset
