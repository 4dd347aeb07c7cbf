"""Raw multipart recordings: a CBOR sequence of lists of bytes, one list a ZeroMQ message."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import cbor2


def recorded_messages(path: Path) -> list[list[bytes]]:
    """Return the messages of a recording."""
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = gzip.decompress(content)
    stream = io.BytesIO(content)
    decoder = cbor2.CBORDecoder(stream)
    messages = []
    while stream.tell() < len(content):
        messages.append(decoder.decode())
    return messages
