"""Read a whole image file, unpacked if it is packed with gzip or bzip2."""

from __future__ import annotations

import bz2
import gzip
import os
import zlib
from pathlib import Path

from glimt.model.errors import DecodeError

MAX_FILE_BYTES = 1 << 31
"""Largest image file, unpacked: a few kilobytes of bzip2 can become any number of bytes."""


def read_image_file(path: str | Path, *, where: str = "", max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """Return the bytes of a file; ``.gz`` and ``.bz2`` are told by their first bytes, not by name.

    Raises
    ------
    DecodeError
        The file is missing, cannot be read, is packed badly or too large.
    """
    if not os.path.isfile(path):  # neither a device nor a pipe, which would block
        raise DecodeError(f"{path} is missing", where=where)
    try:
        with open(path, "rb") as file:
            magic = file.read(3)
        if magic[:2] == b"\x1f\x8b":
            with gzip.open(path) as packed:
                data = packed.read(max_bytes + 1)
        elif magic == b"BZh":
            with bz2.open(path) as packed:
                data = packed.read(max_bytes + 1)
        else:
            with open(path, "rb") as file:
                n_bytes = os.fstat(file.fileno()).st_size  # room for max_bytes takes longer to get than to read
                data = file.read(min(n_bytes, max_bytes) + 1)
    except (OSError, EOFError, zlib.error, MemoryError) as error:
        raise DecodeError(f"{path} cannot be read ({str(error)[:100]}); it may be cut", where=where) from None
    if len(data) > max_bytes:
        raise DecodeError(f"{path} has more than {max_bytes} bytes", where=where)
    return data
