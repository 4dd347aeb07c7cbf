"""Where the pixels of a CBF begin, how many there are and how they are packed: its MIME header.

Source: CBFlib manual, section 2 "The CBF format"; International Tables for Crystallography G, 2.3 and 5.6.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from glimt.model.errors import DecodeError
from glimt.model.frame import MAX_ARRAY_BYTES

MAGIC = b"###CBF"
BOUNDARY = b"--CIF-BINARY-FORMAT-SECTION--"
START_OF_DATA = b"\x0c\x1a\x04\xd5"
MAX_TEXT_BYTES = 1 << 20
"""Longest text in front of the pixels; a detector's own header has 2 kB."""

BYTE_OFFSET = "x-CBF_BYTE_OFFSET"

_FIELD = re.compile(r"^([A-Za-z0-9-]{1,60}):[ \t]*(.*)$")
_CONVERSIONS = re.compile(r"conversions=\"?([\w-]+)", re.IGNORECASE)
_ELEMENT = re.compile(r"(un)?signed (8|16|32)-bit integer", re.IGNORECASE)


class Section(NamedTuple):
    """The binary section of a file.

    Attributes
    ----------
    text : str
        What comes before it.
    compression : str
        ``"x-CBF_BYTE_OFFSET"``, or ``"none"``.
    shape : (int, int)
        (slow, fast) [px].
    dtype : str
        NumPy name.
    start, nbytes : int
        Where the packed pixels are in the file.
    md5 : str or None
        Of the packed pixels, base64, if the file has it.
    """

    text: str
    compression: str
    shape: tuple[int, int]
    dtype: str
    start: int
    nbytes: int
    md5: str | None


def read_section(data: memoryview, *, where: str) -> Section:
    """Return where the first binary section of a file is, checked against the size of the file.

    Raises
    ------
    DecodeError
        The file is no CBF, is cut, or packs its pixels in a way that only CBFlib reads.
    """
    head = bytes(data[: MAX_TEXT_BYTES + len(START_OF_DATA)])
    if not head.startswith(MAGIC):
        raise DecodeError(f"begins with {head[:8]!r}, a CBF begins with {MAGIC.decode()}", where=where)
    end = head.find(START_OF_DATA)
    if end < 0:
        raise DecodeError(f"no pixels begin in the first {len(head)} bytes; the file is cut or no image", where=where)
    text, boundary, mime = head[:end].partition(BOUNDARY)
    if not boundary:
        raise DecodeError(f"the line {BOUNDARY.decode()} is missing before the pixels", where=where)
    fields = _fields(mime.decode("latin-1"))
    shape = _shape(fields, where=where)
    start = end + len(START_OF_DATA)
    nbytes = _whole(fields, "x-binary-size", where=where)
    if nbytes > len(data) - start:
        raise DecodeError(
            f"{len(data) - start} bytes of pixels, X-Binary-Size says {nbytes}; the file is cut", where=where
        )
    compression = _compression(fields, where=where)
    dtype = _dtype(fields, where=where)
    _check_size(shape, dtype, compression, nbytes, where=where)
    return Section(text.decode("latin-1"), compression, shape, dtype, start, nbytes, fields.get("content-md5"))


def _fields(mime: str) -> dict[str, str]:
    """Return the header's fields by name in lower case; indented lines continue the field before."""
    fields: dict[str, str] = {}
    name = ""
    for line in mime.splitlines():
        found = _FIELD.match(line)
        if found:
            name = found[1].lower()
            fields.setdefault(name, found[2].strip())
        elif name and line[:1] in {" ", "\t"}:
            fields[name] += " " + line.strip()
    return fields


def _whole(fields: dict[str, str], name: str, *, where: str) -> int:
    text = fields.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise DecodeError(f"{name} is {text[:40]!r}, a whole number is needed", where=where)
    return int(text)


def _shape(fields: dict[str, str], *, where: str) -> tuple[int, int]:
    fast = _whole(fields, "x-binary-size-fastest-dimension", where=where)
    slow = _whole(fields, "x-binary-size-second-dimension", where=where)
    third = fields.get("x-binary-size-third-dimension", "1")
    n_elements = _whole(fields, "x-binary-number-of-elements", where=where)
    if third != "1" or fast * slow != n_elements:
        raise DecodeError(f"{n_elements} pixels in {slow} rows of {fast}; only flat images can be read", where=where)
    return slow, fast


def _compression(fields: dict[str, str], *, where: str) -> str:
    encoding = fields.get("content-transfer-encoding", "BINARY")
    if encoding.upper() != "BINARY":
        raise DecodeError(f"pixels are written as {encoding[:40]!r}; convert the file to BINARY", where=where)
    found = _CONVERSIONS.search(fields.get("content-type", ""))
    if not found:
        return "none"
    if found[1].lower() != BYTE_OFFSET.lower():
        raise DecodeError(f"compression {found[1][:40]!r} is not {BYTE_OFFSET}; convert the file", where=where)
    return BYTE_OFFSET


def _dtype(fields: dict[str, str], *, where: str) -> str:
    text = fields.get("x-binary-element-type", "signed 32-bit integer").strip('"')
    found = _ELEMENT.fullmatch(text)
    order = fields.get("x-binary-element-byte-order", "LITTLE_ENDIAN")
    if not found or order.upper() != "LITTLE_ENDIAN":
        raise DecodeError(f"pixels are {text[:40]!r}, {order[:20]!r}; little-endian integers can be read", where=where)
    return f"{'u' if found[1] else ''}int{found[2]}"


def _check_size(shape: tuple[int, int], dtype: str, compression: str, nbytes: int, *, where: str) -> None:
    n_pixels = shape[0] * shape[1]
    itemsize = int(dtype.lstrip("uint")) // 8
    if n_pixels * itemsize > MAX_ARRAY_BYTES:
        raise DecodeError(f"{shape} pixels of {dtype} are more than {MAX_ARRAY_BYTES} bytes", where=where)
    if compression == "none" and nbytes != n_pixels * itemsize:
        raise DecodeError(f"{nbytes} bytes, {shape} of {dtype} has {n_pixels * itemsize}", where=where)
    if nbytes < n_pixels:
        raise DecodeError(f"{nbytes} bytes cannot hold {n_pixels} pixels of at least one byte", where=where)
