"""Arrays to pixels as detectors send them: what simulators and converters use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from glimt.codecs.pixels.framing import (
    FRAMINGS,
    LZ4_MAX_BLOCK_BYTES,
    PACKED,
    PREFIX,
    Layout,
    default_block_bytes,
)
from glimt.model.errors import UsageError
from glimt.model.frame import DTYPE_NAMES, MAX_ARRAY_BYTES

if TYPE_CHECKING:
    from glimt.codecs.pixels.lz4_functions import Lz4Functions

HDF5_LZ4_BLOCK_BYTES = 1 << 30
"""The HDF5 LZ4 filter's own choice: nearly every frame is one block."""


def encode_pixels(
    pixels: npt.ArrayLike, *, compression: str, framing: str = "hdf5", block_bytes: int | None = None
) -> bytes:
    """Return the pixels, packed; `decode_pixels` is the way back.

    Parameters
    ----------
    pixels : ndarray
        Any shape and number type; elements are written little-endian, in C order.
    compression : str
        ``"none"``, ``"lz4"`` or ``"bslz4"``.
    framing : str
        ``"hdf5"``: the 12 bytes of sizes come first; ``"bare"``: they do not. See `decode_pixels`.
    block_bytes : int, optional
        Decompressed size of a block [bytes], for bslz4 a multiple of 8 elements; the usual one if not given.
        With ``"bare"`` there is no choice: the reader has to know it.

    Raises
    ------
    UsageError
        What is asked for cannot be written.
    """
    array = np.asarray(pixels)
    if array.dtype.name not in DTYPE_NAMES:
        raise UsageError(f"pixels of type {array.dtype} cannot be encoded; convert them to a number type")
    array = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    if compression == "none":
        return array.tobytes()
    return pack(array, _layout(array, compression, framing, block_bytes))


def _layout(array: npt.NDArray[Any], compression: str, framing: str, block_bytes: int | None) -> Layout:
    if compression not in PACKED:
        raise UsageError(f"compression {compression!r} is not one of none, {', '.join(PACKED)}")
    if framing not in FRAMINGS[1:]:
        raise UsageError(f"framing {framing!r} is not one of {', '.join(FRAMINGS[1:])}")
    if array.nbytes > min(MAX_ARRAY_BYTES, LZ4_MAX_BLOCK_BYTES):
        raise UsageError(f"{array.nbytes} bytes of pixels, at most {LZ4_MAX_BLOCK_BYTES} can be compressed")
    offset = PREFIX.size if framing == "hdf5" else 0
    if block_bytes is not None:
        unit = 8 * array.itemsize if compression == "bslz4" else 1
        if framing == "bare" or not 0 < block_bytes <= LZ4_MAX_BLOCK_BYTES or block_bytes % unit:
            raise UsageError(f"blocks of {block_bytes} bytes: 'hdf5' framing and a multiple of {unit} bytes are needed")
        return Layout(compression, offset, block_bytes)
    if compression == "bslz4":
        return Layout(compression, offset, default_block_bytes(array.itemsize))
    return Layout(compression, offset, max(min(HDF5_LZ4_BLOCK_BYTES, array.nbytes), 1) if offset else 0)


def pack(array: npt.NDArray[Any], layout: Layout, *, lz4: Lz4Functions | None = None) -> bytes:
    """Return ``array``, C-contiguous and little-endian, in that layout, with the fastest LZ4 found or ``lz4``."""
    from glimt.codecs.pixels import lz4_functions, pack_blocks

    compress = (lz4 or lz4_functions.fastest()).compress
    source = array.reshape(-1).view(np.uint8)
    packed = np.empty(_bound(source.size, layout), np.uint8)
    rest = 0
    if layout.compression == "bslz4":
        elements = source.view(f"u{array.itemsize}")
        end = pack_blocks.pack_bslz4(elements, packed, layout.offset, layout.block_bytes // array.itemsize, compress)
        rest = source.size % (8 * array.itemsize)
    else:
        end = pack_blocks.pack_lz4(source, packed, layout.offset, layout.block_bytes, compress)
    if end < 0:
        raise UsageError("LZ4 refused to compress these pixels: this is a fault of glimt, please report it")
    if layout.offset:
        PREFIX.pack_into(packed.data, 0, source.size, layout.block_bytes)
    if rest:
        packed[end : end + rest] = source[-rest:]
    return packed[: end + rest].tobytes()


def _bound(nbytes: int, layout: Layout) -> int:
    """Return what the packed pixels can need at most [bytes]: LZ4 adds up to 1/255 and 16 bytes to a block."""
    n_blocks = -(-nbytes // layout.block_bytes) if layout.block_bytes else 1
    return layout.offset + nbytes + nbytes // 255 + (4 + 16) * (n_blocks + 1)
