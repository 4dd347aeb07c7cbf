"""Frames, properties and tables of AMQP 0-9-1, as RabbitMQ reads and writes them.

The methods themselves are pika's. Its tables know no floating point numbers (they cannot be sent, and lose their
fraction when they are received), and reading them takes most of the time that a message costs.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from glimt.model.errors import BrokerError

METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
HEARTBEAT_FRAME = b"\x08\x00\x00\x00\x00\x00\x00\xce"
LARGEST_BODY_BYTES = 512 << 20
_FRAME_END = 0xCE
_FRAME = struct.Struct(">BHI")
_U32, _U64 = struct.Struct(">I"), struct.Struct(">Q")
_BASIC = 60
_PUBLISH, _ACK, _NACK = (
    struct.pack(">HHH", _BASIC, 40, 0),
    struct.pack(">HH", _BASIC, 80),
    struct.pack(">HH", _BASIC, 120),
)
MALFORMED = (struct.error, ValueError, IndexError, KeyError, OverflowError, RecursionError)
"""What damaged bytes raise here."""
_DEEPEST = 32
_DELIVER = struct.pack(">HH", _BASIC, 60)
_FIXED = {
    b"t": struct.Struct(">?"),
    b"b": struct.Struct(">b"),
    b"B": struct.Struct(">B"),
    b"s": struct.Struct(">h"),
    b"u": struct.Struct(">H"),
    b"I": struct.Struct(">i"),
    b"i": struct.Struct(">I"),
    b"l": struct.Struct(">q"),
    b"f": struct.Struct(">f"),
    b"d": struct.Struct(">d"),
}
_CONTENT_TYPE, _ENCODING, _HEADERS, _MODE, _PRIORITY, _CORRELATION, _REPLY, _EXPIRATION, _MESSAGE_ID = (
    1 << bit for bit in range(15, 6, -1)
)


@dataclass(slots=True)
class Properties:
    """What a message carries beside its body.

    Attributes
    ----------
    headers : dict of str to object
    message_id, content_type : str
        Empty for none.
    expiration : str
        Milliseconds, as text; empty for none.
    priority : int
    problem : str
        Why they cannot be read; empty if they can. Nothing else is known then.
    raw : bytes
        As they came, if they cannot be read.
    """

    headers: Mapping[str, Any] = field(default_factory=dict)
    message_id: str = ""
    content_type: str = ""
    expiration: str = ""
    priority: int = 0
    problem: str = ""
    raw: bytes = b""


def encode_properties(properties: Properties) -> bytes:
    """Return a list of properties with its flags; the message is persistent."""
    flags, parts = _HEADERS | _MODE, []
    if properties.content_type:
        flags |= _CONTENT_TYPE
        parts.append(_short(properties.content_type))
    parts += (encode_table(properties.headers), b"\x02")
    if properties.priority:
        flags |= _PRIORITY
        parts.append(bytes((min(max(properties.priority, 0), 255),)))
    for flag, text in ((_EXPIRATION, properties.expiration), (_MESSAGE_ID, properties.message_id)):
        if text:
            flags |= flag
            parts.append(_short(text))
    return flags.to_bytes(2, "big") + b"".join(parts)


def readable_properties(data: bytes, at: int) -> Properties:
    """Return the properties that begin at a byte, or what is wrong with them: no message spoils its connection."""
    try:
        return decode_properties(data, at)
    except MALFORMED as error:
        return Properties(problem=f"{type(error).__name__}: {error}"[:300], raw=data[at:])


def decode_properties(data: bytes, at: int) -> Properties:
    """Return the properties that begin at a byte, with their flags; those nobody here needs are left out."""
    found = Properties()
    flags = int.from_bytes(data[at : at + 2], "big")
    at += 2
    if flags & _CONTENT_TYPE:
        found.content_type, at = _read_short(data, at)
    if flags & _ENCODING:
        _, at = _read_short(data, at)
    if flags & _HEADERS:
        found.headers, at = decode_table(data, at)
    if flags & _MODE:
        at += 1
    if flags & _PRIORITY:
        found.priority, at = data[at], at + 1
    for flag in (_CORRELATION, _REPLY):
        if flags & flag:
            _, at = _read_short(data, at)
    if flags & _EXPIRATION:
        found.expiration, at = _read_short(data, at)
    if flags & _MESSAGE_ID:
        found.message_id, at = _read_short(data, at)
    return found


def encode_table(table: Mapping[str, Any]) -> bytes:
    """Return a table.

    Raises
    ------
    BrokerError
        A value is of a type that tables have not, or a name is too long.
    """
    data = b"".join([_short(str(name)) + _encode_value(value) for name, value in table.items()])
    return _U32.pack(len(data)) + data


def _encode_value(value: Any) -> bytes:
    match value:
        case bool():
            return b"t\x01" if value else b"t\x00"
        case str():
            data = value.encode()
            return b"S" + _U32.pack(len(data)) + data
        case int() if -(1 << 63) <= value < 1 << 63:
            return b"l" + _FIXED[b"l"].pack(value) if abs(value) >= 1 << 31 else b"I" + _FIXED[b"I"].pack(value)
        case int():
            return _encode_value(str(value))
        case float():
            return b"d" + _FIXED[b"d"].pack(value)
        case None:
            return b"V"
        case Mapping():
            return b"F" + encode_table(value)
        case list() | tuple():
            data = b"".join([_encode_value(item) for item in value])
            return b"A" + _U32.pack(len(data)) + data
    raise BrokerError(f"a header cannot be a {type(value).__name__}: {value!r}")


def decode_table(data: bytes, at: int, depth: int = 0) -> tuple[dict[str, Any], int]:
    """Return the table that begins at a byte, and where it ends.

    Raises
    ------
    ValueError, struct.error, IndexError, OverflowError
        It is damaged, or tables and lists lie more than 32 deep in each other.
    """
    end = at + 4 + _u32(data, at, depth)
    at += 4
    table: dict[str, Any] = {}
    while at < end:
        name, at = _read_short(data, at)
        table[name], at = _decode_value(data, at, depth)
    return table, end


def _u32(data: bytes, at: int, depth: int) -> int:
    """Return the length of a table, list or text, which must lie within the data."""
    (size,) = _U32.unpack_from(data, at)
    if size > len(data) - at - 4:
        raise ValueError(f"a header of {size} bytes ends after its message")
    if depth > _DEEPEST:
        raise ValueError(f"headers lie more than {_DEEPEST} deep in each other")
    return int(size)


def _decode_value(data: bytes, at: int, depth: int) -> tuple[Any, int]:
    kind, at = data[at : at + 1], at + 1
    fixed = _FIXED.get(kind)
    if fixed is not None:
        return fixed.unpack_from(data, at)[0], at + fixed.size
    match kind:
        case b"V":
            return None, at
        case b"T":
            return _moment(_U64.unpack_from(data, at)[0]), at + 8
        case b"D":
            return struct.unpack_from(">i", data, at + 1)[0] / 10 ** data[at], at + 5
        case b"F":
            return decode_table(data, at, depth + 1)
    end = at + 4 + _u32(data, at, depth)
    at += 4
    if kind in (b"S", b"x"):
        return data[at:end].decode(errors="replace"), end
    if kind == b"A":
        items = []
        while at < end:
            item, at = _decode_value(data, at, depth + 1)
            items.append(item)
        return items, end
    raise ValueError(f"a table holds a value of the unknown type {kind!r}")


def _moment(seconds: int) -> str | int:
    """Return a time as text, or as the number that came if there is no such time."""
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return seconds


def _short(text: str) -> bytes:
    data = text.encode()
    if len(data) > 255:
        raise BrokerError(f"a name of {len(data)} bytes is too long for AMQP, which takes 255: {text[:40]!r}...")
    return bytes((len(data),)) + data


def _read_short(data: bytes, at: int) -> tuple[str, int]:
    end = at + 1 + data[at]
    text = data[at + 1 : end].decode(errors="replace")
    if "\ufffd" in text:  # which is longer than what it stands for, and the text must fit when it is sent again
        text = text.encode()[:255].decode(errors="ignore")
    return text, end


def frame(kind: int, channel: int, payload: bytes) -> bytes:
    """Return one frame."""
    return _FRAME.pack(kind, channel, len(payload)) + payload + b"\xce"


def publish_frames(
    channel: int, exchange: str, routing_key: str, properties: Properties, body: bytes, *, frame_max: int
) -> Iterator[bytes]:
    """Yield the frames of a message; it is mandatory, unless the routing key is empty (a broadcast)."""
    mandatory = b"\x01" if routing_key else b"\x00"
    yield frame(METHOD, channel, _PUBLISH + _short(exchange) + _short(routing_key) + mandatory)
    head = struct.pack(">HHQ", _BASIC, 0, len(body))
    yield frame(HEADER, channel, head + encode_properties(properties))
    size = frame_max - 8
    for start in range(0, len(body), size):
        yield frame(BODY, channel, body[start : start + size])


def ack_frame(channel: int, delivery_tag: int) -> bytes:
    """Return the frame that acknowledges one delivery."""
    return frame(METHOD, channel, _ACK + _U64.pack(delivery_tag) + b"\x00")


def requeue_frame(channel: int, delivery_tag: int) -> bytes:
    """Return the frame that puts one delivery back into its queue."""
    return frame(METHOD, channel, _NACK + _U64.pack(delivery_tag) + b"\x02")


def is_delivery(payload: bytes) -> bool:
    """Say whether a method's payload is that of a delivery to a consumer."""
    return payload[:4] == _DELIVER


def read_confirm(payload: bytes) -> tuple[int, bool, bool] | None:
    """Return number, whether it is for all up to it, and whether taken, of an answer for messages; or ``None``."""
    kind = payload[:4]
    if kind not in (_ACK, _NACK):
        return None
    return _U64.unpack_from(payload, 4)[0], bool(payload[12] & 1), kind == _ACK


def read_delivery(payload: bytes) -> tuple[str, int, bool, str, str]:
    """Return consumer tag, delivery tag, whether it was delivered before, exchange and routing key."""
    tag, at = _read_short(payload, 4)
    delivery_tag, redelivered = _U64.unpack_from(payload, at)[0], bool(payload[at + 8] & 1)
    exchange, at = _read_short(payload, at + 9)
    routing_key, _ = _read_short(payload, at)
    return tag, delivery_tag, redelivered, exchange, routing_key


def content_size(payload: bytes) -> int:
    """Return how large the body will be that a content header announces."""
    size = int(_U64.unpack_from(payload, 4)[0])
    if size > LARGEST_BODY_BYTES:
        raise ValueError(f"a message of {size} bytes is too large")
    return size


def take_frames(buffer: bytearray, *, frame_max: int) -> Iterator[tuple[int, int, bytes]]:
    """Take whole frames from the beginning of a buffer: kind, channel and payload."""
    at, length = 0, len(buffer)
    try:
        while length - at >= 8:
            kind, channel, size = _FRAME.unpack_from(buffer, at)
            if size > frame_max:
                raise ValueError(f"a frame of {size} bytes, where {frame_max} were agreed on")
            end = at + 7 + size
            if end >= length:
                break
            if buffer[end] != _FRAME_END:
                raise ValueError("a frame does not end where it should")
            payload = bytes(buffer[at + 7 : end])
            at = end + 1
            yield kind, channel, payload
    finally:
        del buffer[:at]


def as_header(value: Any) -> str | int | float | bool | None:
    """Return a header's value as one that every broker has; tables and lists become JSON."""
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        return str(value)  # nothing could carry it further
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return json.dumps(value, default=str)
