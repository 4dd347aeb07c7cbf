"""What the compiled code does, in NumPy and plain Python: the reference that tests hold it against."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from glimt.codecs.pixels.framing import BLOCK_LENGTH, Layout
from glimt.codecs.pixels.lz4_block import decompress_block
from glimt.codecs.pixels.status import CUT, DAMAGED, LENGTH, OK, status_text
from glimt.model.errors import DecodeError

Bytes: TypeAlias = npt.NDArray[np.uint8]


def shuffle_bits(elements: npt.NDArray[Any]) -> Bytes:
    """Return the bit planes of ``elements``, (n,) with n a multiple of 8: bit 0 of each element, then bit 1, ..."""
    bits = np.unpackbits(elements.view(np.uint8).reshape(elements.size, elements.itemsize), axis=1, bitorder="little")
    return np.packbits(bits.T.ravel(), bitorder="little")


def unshuffle_bits(planes: Bytes, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return the elements, (n,), whose bit planes these are."""
    n_bits = np.dtype(dtype).itemsize * 8
    bits = np.unpackbits(planes, bitorder="little").reshape(n_bits, planes.size * 8 // n_bits)
    return np.packbits(bits.T.ravel(), bitorder="little").view(dtype)


def unpack_plainly(source: Bytes, layout: Layout, out: npt.NDArray[Any], *, where: str) -> None:
    """Do what `glimt.codecs.pixels.decode.unpack` does, a thousand times slower.

    Raises
    ------
    DecodeError
        A block is cut, damaged or too many.
    """
    target = out.reshape(-1).view(np.uint8)
    unit = 8 * out.itemsize if layout.compression == "bslz4" else 1
    whole = target.size // unit * unit
    offset, done = layout.offset, 0
    while done < whole or (layout.block_bytes == 0 and offset == 0):
        nbytes = min(layout.block_bytes or whole, whole - done)
        status, block, offset = _next_block(source, offset, nbytes, layout)
        if status != OK:
            raise DecodeError(status_text(status, offset, source.size), where=where)
        target[done : done + nbytes] = (
            unshuffle_bits(block, out.dtype).view(np.uint8) if layout.compression == "bslz4" else block
        )
        done += nbytes
    if source.size - offset != target.size - whole:
        raise DecodeError(f"{source.size - offset} bytes follow the last block", where=where)
    target[whole:] = source[offset:]


def _next_block(source: Bytes, offset: int, nbytes: int, layout: Layout) -> tuple[int, Bytes, int]:
    """Return status, decompressed block and the offset of what follows or is wrong."""
    block = np.empty(nbytes, np.uint8)
    start, end = offset, source.size
    if layout.block_bytes:
        start += BLOCK_LENGTH.size
        if start > source.size:
            return CUT, block, offset
        end = start + BLOCK_LENGTH.unpack_from(source.data, offset)[0]
        if not start < end <= source.size:
            return LENGTH, block, offset
        if layout.compression == "lz4" and end - start == nbytes:
            return OK, source[start:end], end
    if decompress_block(source[start:end], block) != nbytes:
        return DAMAGED, block, offset
    return OK, block, end
