"""CBF images, as PILATUS and EIGER detectors and their beamlines write them, to arrays and back."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from glimt.codecs.cbf_header import CbfHeader, read_cbf_header, write_cbf_header
from glimt.codecs.cbf_section import BOUNDARY, BYTE_OFFSET, MAGIC, START_OF_DATA, Section, read_section
from glimt.model.errors import DecodeError, UsageError

if TYPE_CHECKING:
    from typing_extensions import Buffer

GAP, BAD = -1, -2
"""Pixels between modules and pixels that do not work, in signed images."""

PADDING = 4095
_TYPES = {
    f"{'u' if sign else ''}int{bits}": f"{sign}signed {bits}-bit integer" for sign in ("", "un") for bits in (8, 16, 32)
}


class CbfImage(NamedTuple):
    """Pixels (slow, fast) and what the header says."""

    pixels: npt.NDArray[Any]
    header: CbfHeader


def decode_cbf(
    data: Buffer, *, where: str = "CBF", out: npt.NDArray[Any] | None = None, check_md5: bool = False
) -> CbfImage:
    """Return the first image of a CBF file.

    Parameters
    ----------
    data : buffer
        The whole file, not compressed as a file.
    where : str
        For the error text.
    out : ndarray, optional
        (slow, fast) of the file's type, C-contiguous and writable, to decode into. After an error its content is
        undefined.
    check_md5 : bool
        Compare the packed pixels with the checksum in the file, which takes longer than decoding them.

    Returns
    -------
    CbfImage
        Pixels of the file's type, mostly int32 with -1 in gaps and -2 for bad pixels; see `cbf_mask`.

    Raises
    ------
    DecodeError
        The file is no CBF, is cut or damaged, has another size than it says, or ``out`` is made for another.
    UsageError
        ``out`` cannot be written to.
    """
    view = memoryview(data)
    if not view.c_contiguous:
        raise DecodeError("the file is not one contiguous piece of memory; pass a copy", where=where)
    section = read_section(view.cast("B") if view.nbytes else memoryview(b""), where=where)
    source = np.frombuffer(view, np.uint8)[section.start : section.start + section.nbytes]
    if check_md5:
        _check_md5(source, section, where=where)
    dtype = np.dtype(section.dtype)
    if out is None:
        out = np.empty(section.shape, dtype)
    elif out.shape != section.shape or out.dtype != dtype:
        raise DecodeError(
            f"{list(section.shape)} of {dtype} does not fit the buffer of {list(out.shape)} {out.dtype}", where=where
        )
    elif not (out.flags.c_contiguous and out.flags.writeable):
        raise UsageError(f"{where}: out must be writable and C-contiguous; pass np.empty(shape, dtype)")
    _unpack(source, section, out.reshape(-1), where=where)
    return CbfImage(out, read_cbf_header(section.text))


def _unpack(source: npt.NDArray[np.uint8], section: Section, pixels: npt.NDArray[Any], *, where: str) -> None:
    if section.compression == "none":
        pixels[...] = source.view(pixels.dtype)
        return
    from glimt.codecs import cbf_byte_offset  # Numba is imported when it is needed

    limits = np.iinfo(pixels.dtype)
    status, done, position = cbf_byte_offset.unpack_byte_offset(source, pixels, int(limits.min), int(limits.max))
    if status == cbf_byte_offset.CUT:
        raise DecodeError(f"the {source.size} packed bytes end in pixel {done} of {pixels.size}", where=where)
    if status == cbf_byte_offset.RANGE:
        raise DecodeError(f"pixel {done} does not fit {pixels.dtype}; the file is damaged", where=where)
    if position != source.size:
        raise DecodeError(f"{source.size - position} bytes follow the last pixel, none are expected", where=where)


def _check_md5(source: npt.NDArray[np.uint8], section: Section, *, where: str) -> None:
    if section.md5 is None:
        raise DecodeError("the file has no Content-MD5 to compare with", where=where)
    found = base64.b64encode(hashlib.md5(source.data, usedforsecurity=False).digest()).decode()
    if found != section.md5:
        raise DecodeError(f"the packed pixels have MD5 {found}, the file says {section.md5[:40]!r}", where=where)


def decode_cbf_header(data: Buffer, *, where: str = "CBF") -> CbfHeader:
    """Return what the header says, without looking at the pixels.

    Raises
    ------
    DecodeError
        The data is no CBF.
    """
    head = bytes(memoryview(data).cast("B")[: 1 << 20]) if memoryview(data).nbytes else b""
    if not head.startswith(MAGIC):
        raise DecodeError(f"begins with {head[:8]!r}, a CBF begins with {MAGIC.decode()}", where=where)
    return read_cbf_header(head.partition(BOUNDARY)[0].decode("latin-1"))


def cbf_mask(pixels: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return which pixels are no measurement, True = excluded: negative ones; unsigned, the two largest of the type."""
    if pixels.dtype.kind == "i":
        return np.asarray(pixels < 0)
    return np.asarray(pixels >= np.iinfo(pixels.dtype).max - 1)


def encode_cbf(pixels: npt.ArrayLike, header: CbfHeader | None = None, *, name: str = "image") -> bytes:
    """Return a miniCBF file; `decode_cbf` is the way back, and the field's programs read it too.

    Parameters
    ----------
    pixels : ndarray
        (slow, fast), integers of up to 32 bits.
    header : CbfHeader, optional
        What to say about it.
    name : str
        Of the data block, without spaces.

    Raises
    ------
    UsageError
        The pixels are no image of integers, or a text cannot be written.
    """
    array = np.ascontiguousarray(pixels)
    if array.ndim != 2 or array.dtype.name not in _TYPES:
        raise UsageError(f"{list(array.shape)} of {array.dtype} is no image of integers of up to 32 bits")
    if not name.isprintable() or not name or any(c.isspace() for c in name):
        raise UsageError(f"{name[:40]!r} is no name for a CBF data block; use letters, digits and _")
    from glimt.codecs import cbf_byte_offset

    little = array.astype(array.dtype.newbyteorder("<"), copy=False).reshape(-1)
    target = np.empty(little.size * cbf_byte_offset.most_bytes(array.itemsize), np.uint8)
    packed = target[: cbf_byte_offset.pack_byte_offset(little, target)]
    md5 = base64.b64encode(hashlib.md5(packed.data, usedforsecurity=False).digest()).decode()
    text = write_cbf_header(header or CbfHeader())
    head = (
        f"{MAGIC.decode()}: VERSION 1.5, glimt\r\n\r\ndata_{name}\r\n\r\n"
        '_array_data.header_convention "PILATUS_1.2"\r\n_array_data.header_contents\r\n;\r\n'
        f"{text};\r\n\r\n_array_data.data\r\n;\r\n{BOUNDARY.decode()}\r\n"
        f'Content-Type: application/octet-stream;\r\n     conversions="{BYTE_OFFSET}"\r\n'
        f"Content-Transfer-Encoding: BINARY\r\nX-Binary-Size: {packed.size}\r\nX-Binary-ID: 1\r\n"
        f'X-Binary-Element-Type: "{_TYPES[array.dtype.name]}"\r\nX-Binary-Element-Byte-Order: LITTLE_ENDIAN\r\n'
        f"Content-MD5: {md5}\r\nX-Binary-Number-of-Elements: {array.size}\r\n"
        f"X-Binary-Size-Fastest-Dimension: {array.shape[1]}\r\nX-Binary-Size-Second-Dimension: {array.shape[0]}\r\n"
        f"X-Binary-Size-Padding: {PADDING}\r\n\r\n"
    )
    tail = f"\r\n{BOUNDARY.decode()}--\r\n;\r\n"
    return b"".join([head.encode("latin-1", "replace"), START_OF_DATA, packed.data, bytes(PADDING), tail.encode()])
