"""32-bit frames as 16-bit ones, where no pixel needs more: every kernel that follows then reads half the bytes.

The rule, for both ways: 16 bits are enough for a frame if each pixel comes back by `widen_pixels`. An unsigned pixel
keeps its value up to 65533; 2**32 - 1 and 2**32 - 2, by which DECTRIS detectors mark gaps and bad pixels, become
65535 and 65534; a frame with any other value stays as it is. A signed pixel keeps its value from -32768 to 32767.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from glimt.codecs.pixels.decode import byte_view, decode_pixels, prepare
from glimt.codecs.pixels.framing import Layout
from glimt.codecs.pixels.status import OK, status_text
from glimt.model.errors import DecodeError, UsageError
from glimt.model.frame import check_array

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from glimt.codecs.pixels.lz4_functions import Lz4Functions

NARROWED = {"uint32": np.dtype("uint16"), "int32": np.dtype("int16")}
"""What 32-bit pixels become."""

FIRST_MARKER = {"uint32": 0xFFFE, "int32": 0x8000}
"""From here on a 16-bit pattern stands for a 32-bit one whose upper bits are set."""


def decode_narrowed(
    payload: Buffer,
    *,
    compression: str,
    shape: Sequence[int],
    dtype: str,
    where: str = "pixels",
    out: npt.NDArray[Any] | None = None,
    framing: str = "auto",
) -> npt.NDArray[Any]:
    """Return the pixels of one frame, 32-bit ones as 16-bit ones if nothing is lost; the result's dtype tells which.

    Only ``"bslz4"`` frames of uint32 or int32 are narrowed, because only there it costs nothing; all others are
    returned as `decode_pixels` returns them, whose parameters these are.

    Parameters
    ----------
    payload, compression, shape, dtype, where, framing
        As in `decode_pixels`.
    out : ndarray, optional
        Array of that shape and the *wide* dtype. A narrowed frame is a view of the first half of its memory.

    Returns
    -------
    ndarray
        Of that shape; dtype uint16 or int16 if narrowed, else ``dtype``.

    Raises
    ------
    DecodeError, UsageError
        As `decode_pixels`.
    """
    if compression != "bslz4" or dtype not in NARROWED:
        return decode_pixels(
            payload, compression=compression, shape=shape, dtype=dtype, where=where, out=out, framing=framing
        )
    dimensions, element, _ = check_array(shape, dtype, where=where)
    packed = payload if type(payload) is bytes else byte_view(payload, where=where)
    source, layout, out = prepare(packed, compression, dimensions, element, where=where, out=out, framing=framing)
    return unpack_narrowed(source, layout, out, where=where)


def unpack_narrowed(
    source: npt.NDArray[np.uint8],
    layout: Layout,
    out: npt.NDArray[Any],
    *,
    where: str,
    lz4: Lz4Functions | None = None,
) -> npt.NDArray[Any]:
    """Decode the bslz4 blocks of ``source`` into the memory of ``out``, uint32 or int32, with the LZ4 of `unpack`.

    Raises
    ------
    DecodeError
        A block is cut, damaged or too many; ``out`` is then partly written.
    """
    from glimt.codecs.pixels import lz4_functions, narrow_blocks

    decompress = (lz4 or lz4_functions.fastest()).decompress
    narrow_type, first_marker = NARROWED[out.dtype.name], FIRST_MARKER[out.dtype.name]
    wide = out.reshape(-1).view(np.uint32)
    narrow = wide.view(np.uint16)[: wide.size]
    status, offset, is_narrow = narrow_blocks.unpack_bslz4_narrowed(
        source, layout.offset, narrow, wide, layout.block_bytes // 4, decompress, first_marker
    )
    if status != OK:
        raise DecodeError(status_text(status, offset, source.size), where=where)
    rest = wide.size % 8  # elements that fill no byte of a bit plane come as they are
    if source.size - offset != 4 * rest:
        raise DecodeError(f"{source.size - offset} bytes follow the last block, {4 * rest} are expected", where=where)
    if rest:
        tail = np.frombuffer(source[offset:].tobytes(), out.dtype)
        narrow_tail = narrow_pixels(tail)
        if is_narrow and narrow_tail.dtype == out.dtype:
            narrow_blocks.widen_in_place(narrow, wide, wide.size - rest, first_marker)
            is_narrow = False
        if is_narrow:
            narrow[-rest:] = narrow_tail.view(np.uint16)
        else:
            wide[-rest:] = tail.view(np.uint32)
    return narrow.view(narrow_type).reshape(out.shape) if is_narrow else out


def narrow_pixels(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return uint32 or int32 pixels as 16-bit ones, or as they are if 16 bits are not enough, see the module's rule.

    Raises
    ------
    UsageError
        The pixels are of another type.
    """
    if pixels.dtype.name not in NARROWED:
        raise UsageError(f"pixels of type {pixels.dtype} cannot be narrowed; {', '.join(NARROWED)} can")
    narrow = pixels.astype(NARROWED[pixels.dtype.name])  # keeps the lower 16 bits
    return narrow if np.array_equal(widen_pixels(narrow), pixels) else pixels


def widen_pixels(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the 32-bit frame that was narrowed to these uint16 or int16 pixels.

    Raises
    ------
    UsageError
        The pixels are of another type.
    """
    if pixels.dtype == np.int16:
        return pixels.astype(np.int32)
    if pixels.dtype != np.uint16:
        raise UsageError(f"pixels of type {pixels.dtype} were not narrowed; uint16 or int16 is needed")
    wide = pixels.astype(np.uint32)
    wide[pixels >= FIRST_MARKER["uint32"]] |= np.uint32(0xFFFF0000)
    return wide
