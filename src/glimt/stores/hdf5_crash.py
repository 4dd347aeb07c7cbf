"""Make an HDF5 file readable again whose writer was killed.

HDF5 marks a file as being written in its superblock, and a killed writer cannot take the mark away: readers are refused
until it is gone. HDF5's own tool for it (``h5clear -s``) does not come with h5py; this is the same operation, after the
HDF5 File Format Specification, superblock version 2 and 3 (section II.A), with Bob Jenkins's public-domain lookup3.
"""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress
from pathlib import Path

import h5py

from glimt.model.errors import StoreError, UsageError

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_LENGTH = 48  # version 2 or 3 with 8-byte offsets
_FLAGS_OFFSET = 11
_END_OFFSET = 28
_MASK = 0xFFFFFFFF


def repair_after_crash(path: str | Path, *, force: bool = False) -> bool:
    """Take the mark "is being written" away from a file whose writer is gone.

    Nothing else is changed: what the writer had flushed is there, what it had not is not. A file that was closed
    properly is left as it is.

    Parameters
    ----------
    path : str or Path
        The file; it must have HDF5's superblock version 2 or 3, as all files written by `Hdf5Store` have.
    force : bool
        Do it although the process that wrote the file seems to live on this host.

    Returns
    -------
    bool
        Whether there was a mark.

    Raises
    ------
    UsageError
        Not such a file, damaged, or still being written.
    StoreError
        The file cannot be read or written.
    """
    path = os.fspath(path)
    if not force and (writer := living_writer(path)) is not None:
        raise UsageError(
            f"{path} is being written by process {writer} on this host; read it with "
            "h5py.File(path, 'r', swmr=True), or pass force=True if that process is another one"
        )
    try:
        with open(path, "r+b") as file:
            superblock = bytearray(file.read(_LENGTH))
            _check_superblock(path, superblock)
            size = os.fstat(file.fileno()).st_size
            (end,) = struct.unpack_from("<Q", superblock, _END_OFFSET)
            if not superblock[_FLAGS_OFFSET] and end <= size:
                return False
            # The end of the file in the superblock may be older than the last flush, or ahead of what was written.
            superblock[_FLAGS_OFFSET] = 0
            struct.pack_into("<Q", superblock, _END_OFFSET, max(end, size))
            struct.pack_into("<I", superblock, _LENGTH - 4, lookup3(superblock[: _LENGTH - 4]))
            if end > size:
                file.truncate(end)
            file.seek(0)
            file.write(superblock)
    except OSError as error:
        raise StoreError(f"cannot be repaired: {error.strerror or error}", path=path) from error
    return True


def living_writer(path: str) -> int | None:
    """Return the process that is writing ``path`` on this host, as the file itself says; None if there is none.

    A file is being written if it carries HDF5's mark and the process named in it exists. A writer on another host is
    not seen.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(_FLAGS_OFFSET + 1)
        if len(head) <= _FLAGS_OFFSET or not head.startswith(_SIGNATURE) or head[8] < 3 or not head[_FLAGS_OFFSET]:
            return None
        with h5py.File(path, "r", swmr=True, locking=False) as file:
            process = file["entry/process"]
            host, process_id = str(process["host"].asstr()[()]), int(process["process_id"][()])
    except (OSError, KeyError, TypeError, ValueError, AttributeError, RuntimeError):
        return None
    if host != socket.gethostname() or process_id <= 0:
        return None
    with suppress(PermissionError):  # exists, and belongs to somebody else
        try:
            os.kill(process_id, 0)
        except (ProcessLookupError, OverflowError):
            return None
    return process_id


def _check_superblock(path: str, superblock: bytearray) -> None:
    if len(superblock) < _LENGTH or not superblock.startswith(_SIGNATURE):
        raise UsageError(f"{path} is not an HDF5 file")
    version, offset_bytes = superblock[8], superblock[9]
    if version not in {2, 3} or offset_bytes != 8:
        raise UsageError(f"{path} has an HDF5 superblock of version {version}; only 2 and 3 carry the mark")
    (checksum,) = struct.unpack_from("<I", superblock, _LENGTH - 4)
    if checksum != lookup3(superblock[: _LENGTH - 4]):
        raise UsageError(f"{path} has a damaged HDF5 superblock (checksum); it cannot be repaired by clearing the mark")


def _rotated(value: int, bits: int) -> int:
    return ((value << bits) | (value >> (32 - bits))) & _MASK


def lookup3(data: bytes | bytearray) -> int:
    """Return the checksum that HDF5 puts on its metadata, with initial value 0."""
    a: int
    b: int
    c: int
    a = b = c = (0xDEADBEEF + len(data)) & _MASK
    position = 0
    while len(data) - position > 12:
        x, y, z = struct.unpack_from("<3I", data, position)
        a, b, c = (a + x) & _MASK, (b + y) & _MASK, (c + z) & _MASK
        a = ((a - c) & _MASK) ^ _rotated(c, 4)
        c = (c + b) & _MASK
        b = ((b - a) & _MASK) ^ _rotated(a, 6)
        a = (a + c) & _MASK
        c = ((c - b) & _MASK) ^ _rotated(b, 8)
        b = (b + a) & _MASK
        a = ((a - c) & _MASK) ^ _rotated(c, 16)
        c = (c + b) & _MASK
        b = ((b - a) & _MASK) ^ _rotated(a, 19)
        a = (a + c) & _MASK
        c = ((c - b) & _MASK) ^ _rotated(b, 4)
        b = (b + a) & _MASK
        position += 12
    if position == len(data):
        return c
    x, y, z = struct.unpack("<3I", bytes(data[position:]).ljust(12, b"\0"))
    a, b, c = (a + x) & _MASK, (b + y) & _MASK, (c + z) & _MASK
    for bits_b, bits_a, bits_c in ((14, 11, 25), (16, 4, 14)):
        c = ((c ^ b) - _rotated(b, bits_b)) & _MASK
        a = ((a ^ c) - _rotated(c, bits_a)) & _MASK
        b = ((b ^ a) - _rotated(a, bits_c)) & _MASK
    return ((c ^ b) - _rotated(b, 24)) & _MASK
