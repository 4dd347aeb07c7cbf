"""Pixels as detectors send them, to arrays: one call for every way of packing.

Numba is imported when the first compressed frame arrives: a process that sees only plain pixels, or none, never
pays for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from glimt.codecs.pixels.framing import Layout, read_layout
from glimt.codecs.pixels.status import OK, status_text
from glimt.model.errors import DecodeError, UsageError
from glimt.model.frame import check_array

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from glimt.codecs.pixels.lz4_functions import Lz4Functions

LZ4_MAX_EXPANSION = 255
"""A byte of an LZ4 block yields at most this many, so a short payload cannot ask for much memory."""


def decode_pixels(
    payload: Buffer,
    *,
    compression: str,
    shape: Sequence[int],
    dtype: str,
    where: str = "pixels",
    out: npt.NDArray[Any] | None = None,
    framing: str = "auto",
) -> npt.NDArray[Any]:
    """Return the pixels of one frame.

    Parameters
    ----------
    payload : buffer
        The bytes as received, C-contiguous.
    compression : str
        ``"none"``, ``"lz4"`` or ``"bslz4"`` (bitshuffle, then LZ4).
    shape : sequence of int
        Slowest axis first [px].
    dtype : str
        NumPy name such as ``"uint16"``.
    where : str
        For the error text.
    out : ndarray, optional
        Array of that shape and dtype, C-contiguous and writable, to decode into: page faults of a fresh 9 MB array
        cost more than decoding it. After an error its content is undefined.
    framing : str
        ``"hdf5"``: 12 bytes of sizes come first (HDF5 filters, DECTRIS stream v2, ``bsNN-lz4<`` of stream v1);
        ``"bare"``: they do not (``lz4<`` of stream v1 is one LZ4 block, ``bitshuffle.compress_lz4``);
        ``"auto"``: told apart by the bytes, without doubt for every payload that can be decoded at all.

    Returns
    -------
    ndarray
        ``out`` if given. Else, for ``"none"``, a read-only view of the payload, and otherwise a new array.

    Raises
    ------
    DecodeError
        The payload does not hold exactly the pixels that shape and dtype announce, or ``out`` is made for others.
    UsageError
        ``out`` cannot be written to, or ``framing`` is none of the three.
    """
    dimensions, element, nbytes = check_array(shape, dtype, where=where)
    if type(payload) is not bytes:
        payload = byte_view(payload, where=where)
    if compression == "none":
        if len(payload) != nbytes:
            raise DecodeError(f"{len(payload)} bytes, {list(shape)} of {dtype} has {nbytes}", where=where)
        pixels: npt.NDArray[Any] = np.ndarray(dimensions, element, payload)
        if out is None:
            return pixels
        _check_out(out, dimensions, element, where=where)
        out[...] = pixels
        return out
    source, layout, out = prepare(payload, compression, dimensions, element, where=where, out=out, framing=framing)
    unpack(source, layout, out, where=where)
    return out


def prepare(
    payload: bytes | memoryview,
    compression: str,
    dimensions: tuple[int, ...],
    element: np.dtype[Any],
    *,
    where: str,
    out: npt.NDArray[Any] | None,
    framing: str,
) -> tuple[npt.NDArray[np.uint8], Layout, npt.NDArray[Any]]:
    """Check all sizes of a compressed payload, then return its bytes, where its blocks are, and where pixels go.

    Raises
    ------
    DecodeError
        The payload cannot hold these pixels, or ``out`` is made for others.
    UsageError
        ``out`` cannot be written to, or there is no such framing.
    """
    nbytes = math.prod(dimensions) * element.itemsize
    layout = read_layout(payload, compression, nbytes, element.itemsize, framing=framing, where=where)
    if nbytes > LZ4_MAX_EXPANSION * len(payload):
        raise DecodeError(
            f"{len(payload)} bytes cannot hold the {nbytes} bytes of {list(dimensions)} {element} pixels", where=where
        )
    if out is None:
        out = np.empty(dimensions, element)
    else:
        _check_out(out, dimensions, element, where=where)
    return np.frombuffer(memoryview(payload), np.uint8), layout, out


def unpack(
    source: npt.NDArray[np.uint8],
    layout: Layout,
    out: npt.NDArray[Any],
    *,
    where: str,
    lz4: Lz4Functions | None = None,
) -> None:
    """Decode the blocks of ``source`` (read-only) into ``out``, C-contiguous, with the fastest LZ4 found or ``lz4``.

    Raises
    ------
    DecodeError
        A block is cut, damaged or too many; ``out`` is then partly written.
    """
    from glimt.codecs.pixels import lz4_functions, unpack_blocks

    decompress = (lz4 or lz4_functions.fastest()).decompress
    target = out.reshape(-1).view(np.uint8)
    if layout.compression == "bslz4":
        status, offset = unpack_blocks.unpack_bslz4(
            source, layout.offset, target.view(f"u{out.itemsize}"), layout.block_bytes // out.itemsize, decompress
        )
        rest = target.size % (8 * out.itemsize)  # elements that fill no byte of a bit plane come as they are
    else:
        status, offset = unpack_blocks.unpack_lz4(source, layout.offset, target, layout.block_bytes, decompress)
        rest = 0
    if status != OK:
        raise DecodeError(status_text(status, offset, source.size), where=where)
    if source.size - offset != rest:
        raise DecodeError(f"{source.size - offset} bytes follow the last block, {rest} are expected", where=where)
    if rest:
        target[-rest:] = source[offset:]


def byte_view(payload: Buffer, *, where: str) -> memoryview:
    """Return the bytes of any buffer; `DecodeError` if they do not lie side by side."""
    view = memoryview(payload).toreadonly()
    if not view.c_contiguous:
        raise DecodeError("the payload is not one contiguous piece of memory; pass a copy", where=where)
    return view.cast("B") if view.nbytes else memoryview(b"")


def _check_out(out: npt.NDArray[Any], dimensions: tuple[int, ...], element: np.dtype[Any], *, where: str) -> None:
    if out.shape != dimensions or out.dtype != element:
        raise DecodeError(
            f"{list(dimensions)} of {element} does not fit the buffer of {list(out.shape)} {out.dtype}", where=where
        )
    if not (out.flags.c_contiguous and out.flags.writeable):
        raise UsageError(f"{where}: out must be writable and C-contiguous; pass np.empty(shape, dtype)")
