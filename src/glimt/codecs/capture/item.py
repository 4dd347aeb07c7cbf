"""One item of a capture to a message and back."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from glimt.codecs.capture.layout import (
    MESSAGE_TAG,
    SELF_DESCRIBED,
    STREAM_TAG,
    ItemError,
    ItemLayout,
    read_layout,
)
from glimt.codecs.capture.window import BytesWindow, Window
from glimt.model.event import InternalWorkerMessage, StreamData, frame_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

_UINT, _BYTES, _TEXT, _ARRAY, _MAP, _TAG = 0, 2, 3, 4, 5, 6


def _head(major: int, argument: int) -> bytes:
    """Return the shortest CBOR head, as RFC 8949 section 4.2.1 asks for."""
    if argument < 24:
        return bytes(((major << 5) | argument,))
    for info, code, limit in ((24, ">BB", 1 << 8), (25, ">BH", 1 << 16), (26, ">BI", 1 << 32), (27, ">BQ", 1 << 64)):
        if argument < limit:
            return struct.pack(code, (major << 5) | info, argument)
    raise ValueError(f"{argument} does not fit into CBOR's 64 bits")


_PREFIX = _head(_TAG, SELF_DESCRIBED) + _head(_TAG, MESSAGE_TAG)
_STREAM = _head(_TAG, STREAM_TAG) + _head(_ARRAY, 2)


def _text(value: str) -> bytes:
    data = value.encode()
    return _head(_TEXT, len(data)) + data


def encode_parts(
    event_number: int, streams: Mapping[str, StreamData], created_at: datetime | None = None
) -> list[bytes]:
    """Return one item as pieces to be written one after the other; large frames are not copied.

    Parameters
    ----------
    event_number : int
        From 0.
    streams : mapping of str to StreamData
        Frames may be `bytes`, ``zmq.Frame`` or any other buffer.
    created_at : datetime, optional
        When the event arrived, with a time zone. Without it the older form with two fields is written.
    """
    parts = [_PREFIX, _head(_ARRAY, 2 if created_at is None else 3), _head(_UINT, event_number)]
    parts.append(_head(_MAP, len(streams)))
    for name, stream in streams.items():
        parts += [_text(name), _STREAM, _text(stream.typ), _head(_ARRAY, len(stream.frames))]
        for frame in stream.frames:
            data = frame.encode() if isinstance(frame, str) else frame_bytes(frame)
            parts += [_head(_BYTES, len(data)), data]
    if created_at is not None:
        utc = created_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        parts += [_head(_TAG, 0), _text(utc)]
    return parts


def encode_item(message: InternalWorkerMessage) -> bytes:
    """Return one item, byte for byte as dranspose 0.2 writes it.

    Raises
    ------
    ValueError
        The event number is negative.
    """
    if message.event_number < 0:
        raise ValueError(f"event number {message.event_number} is negative")
    return b"".join(encode_parts(message.event_number, message.streams, message.created_at))


def parse_time(text: bytes, *, offset: int) -> datetime:
    """Return an RFC 3339 time stamp.

    Raises
    ------
    ItemError
        Not a time stamp with a time zone.
    """
    try:
        when = datetime.fromisoformat(text.decode("ascii"))
    except ValueError as error:
        raise ItemError(f"bad time stamp ({error})", offset=offset) from None
    if when.tzinfo is None:
        raise ItemError(f"time stamp {text!r} has no time zone", offset=offset)
    return when


def message_from_layout(window: Window, layout: ItemLayout, *, times: bool = True) -> InternalWorkerMessage:
    """Read the frames of an item.

    Parameters
    ----------
    window : Window
        Where the item lies.
    layout : ItemLayout
        What `read_layout` found.
    times : bool
        Parse the time stamp too; without, ``created_at`` is ``None``.
    """
    streams: dict[str, Any] = {
        stream.name: StreamData(stream.typ, [window.read(offset, length) for offset, length in stream.frames])
        for stream in layout.streams
    }
    created = None
    if times and layout.created is not None:
        created = parse_time(window.read(*layout.created), offset=layout.created[0])
    return InternalWorkerMessage(layout.event_number, streams, created)


def decode_item(data: bytes) -> InternalWorkerMessage:
    """Decode one whole item; ``encode_item(decode_item(data)) == data`` for what dranspose writes.

    Raises
    ------
    ItemError
        Not an item, a truncated one, or bytes after it.
    """
    window = BytesWindow(data)
    layout = read_layout(window, 0)
    if layout is None:
        raise ItemError("no data", offset=0, truncated=True)
    if layout.end != len(data):
        raise ItemError(f"{len(data) - layout.end} bytes after the item", offset=layout.end)
    return message_from_layout(window, layout)
