"""What a journal is made of: a header and records that say whether they are whole.

Header: ``b"GLMTJRNL"``, version (uint16), mark (uint8: 1 = records are missing), length of the text that follows
(uint32), CRC-32 of the version and that text; then the text, a `SegmentHeader` as MessagePack. Record: kind (uint8),
length of the body (uint32), CRC-32 of these five bytes, CRC-32 of these five bytes and the body; then the body.
All little-endian. The mark is outside of the checksum so that it can be set when there is no room for anything else.
"""

from __future__ import annotations

import os
import struct
import zlib
from typing import BinaryIO, Final

import msgspec

from glimt.model.errors import DecodeError

VERSION: Final = 1
STATE: Final = 255
MAX_BODY_BYTES: Final = (1 << 32) - 1

_MAGIC: Final = b"GLMTJRNL"
_PREFIX: Final = struct.Struct("<8sHBII")
_MARK_OFFSET: Final = 10
_MAX_TEXT_BYTES: Final = 4096
_HEAD: Final = struct.Struct("<BI")
_CHECKS: Final = struct.Struct("<II")
HEAD_BYTES: Final = _HEAD.size + _CHECKS.size


class SegmentHeader(msgspec.Struct, frozen=True):
    """What a journal says about itself.

    Attributes
    ----------
    scan_id : str
        The scan whose results it has.
    watermark : int
        All serials below are in the state that follows.
    has_state : bool
        The first record is a reducer's state.
    """

    scan_id: str
    watermark: int
    has_state: bool


def encode_header(header: SegmentHeader) -> bytes:
    """Return the bytes with which a journal begins."""
    text = msgspec.msgpack.encode(header)
    return _PREFIX.pack(_MAGIC, VERSION, 0, len(text), _text_check(VERSION, text)) + text


def read_header(file: BinaryIO, path: str) -> tuple[SegmentHeader, bool]:
    """Return the header and whether it is marked: records are missing.

    Raises
    ------
    DecodeError
        This is no journal, or of another version, or its header is damaged.
    """
    prefix = file.read(_PREFIX.size)
    if len(prefix) < _PREFIX.size or not prefix.startswith(_MAGIC):
        raise DecodeError("this is not a journal of glimt; remove it or choose another folder", where=path)
    _, version, mark, n_bytes, check = _PREFIX.unpack(prefix)
    if version != VERSION:
        raise DecodeError(
            f"journal version {version}, this glimt reads version {VERSION}; finish the scan with the glimt that began "
            "it, or remove the file",
            where=path,
        )
    text = file.read(min(n_bytes, _MAX_TEXT_BYTES))
    try:
        if len(text) != n_bytes or check != _text_check(version, text):
            raise msgspec.DecodeError("checksum")
        return msgspec.msgpack.decode(text, type=SegmentHeader), mark != 0
    except msgspec.DecodeError as error:
        raise DecodeError(f"the header is damaged ({error}); nothing can be recovered from it", where=path) from None


def mark_incomplete(descriptor: int) -> None:
    """Mark the journal: records that were to be in it are not. Needs no room on the disk.

    Raises
    ------
    OSError
        The device fails.
    """
    os.pwrite(descriptor, b"\x01", _MARK_OFFSET)


def _text_check(version: int, text: bytes) -> int:
    return zlib.crc32(text, version)


def encode_head(kind: int, body: bytes | bytearray | memoryview, n_bytes: int) -> bytes:
    """Return what stands before a body of ``n_bytes``."""
    head = _HEAD.pack(kind, n_bytes)
    check = zlib.crc32(head)
    return head + _CHECKS.pack(check, zlib.crc32(body, check))


def decode_head(head: bytes) -> tuple[int, int, int]:
    """Return kind, length of the body and the checksum of both.

    Raises
    ------
    DecodeError
        The head is damaged.
    """
    kind, n_bytes = _HEAD.unpack_from(head)
    check, body_check = _CHECKS.unpack_from(head, _HEAD.size)
    if check != zlib.crc32(head[: _HEAD.size]):
        raise DecodeError("the head of a record is damaged")
    return kind, n_bytes, body_check


def body_check(head: bytes, body: bytes) -> int:
    """Return the checksum that a body of this head must have."""
    return zlib.crc32(body, zlib.crc32(head[: _HEAD.size]))
