"""PandABox position capture over TCP: the text that the box sends on its data port (8888 or 8889).

A header (``arm_time: …``, then one line for each field with its name, type and capture mode, then an empty line), one
line of numbers a trigger, and ``END``. A line means something only together with the header before it, hence
`PositionCapParser`. Source: PandABlocks-server, ``docs/capture.rst``; dranspose 0.2.0 (``dranspose.data.positioncap``).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from glimt.codecs.open_record import json_text, one_part
from glimt.codecs.protocol import Packet, PacketKind, WireProtocol
from glimt.model.errors import DecodeError
from glimt.model.event import StreamData, frame_bytes

if TYPE_CHECKING:
    from typing_extensions import Buffer

TYP = "PCAP_RAW"

MAX_LINE_BYTES = 1 << 16
MAX_HEADER_BYTES = 1 << 20

_ARM_TIME = "arm_time: "
_NUMBER_TYPES = {
    "double": float, "float": float, "uint32": int, "int32": int, "uint64": int, "int64": int,
}  # fmt: skip


class PositionCapField(msgspec.Struct, kw_only=True):
    """One captured field.

    Attributes
    ----------
    name : str
        Signal and capture mode, such as ``"INENC1.VAL.Mean"``.
    type : str
        How the box writes it, such as ``"double"`` or ``"uint32"``.
    value : int, float or None
        What it captured; ``None`` in the header.
    """

    name: str
    type: str
    value: int | float | None = None

    def parse(self, value: str) -> PositionCapField:
        """Return the field with the number that ``value`` spells.

        Raises
        ------
        DecodeError
            Not a number of the field's type.
        """
        number = _NUMBER_TYPES.get(self.type)
        if number is None:
            raise DecodeError(
                f"type {self.type[:40]!r} of field {self.name[:80]!r} is not known", where="pandabox text"
            )
        try:
            return PositionCapField(name=self.name, type=self.type, value=number(value))
        except ValueError:
            what = f"{value[:40]!r} is no {self.type}, which field {self.name[:80]!r} is"
            raise DecodeError(what, where="pandabox text") from None


class _Text(msgspec.Struct, kw_only=True):
    typ: ClassVar[str] = TYP

    def to_frames(self) -> list[bytes]:
        """Return the parts of the message as they go over the wire."""
        raise NotImplementedError

    def to_stream_data(self) -> StreamData:
        """Return the message as the `StreamData` an event carries."""
        return StreamData(self.typ, list(self.to_frames()))

    def model_dump(self) -> dict[str, Any]:
        """Return everything in the message as a dict: what a pydantic model of it would."""
        return {name: _dumped(getattr(self, name)) for name in self.__struct_fields__ if not name.startswith("_")}

    def model_dump_json(self) -> str:
        """Return `model_dump` as JSON text."""
        return json_text(self.model_dump()).decode()

    def __str__(self) -> str:
        names = [name for name in self.__struct_fields__ if not name.startswith("_")]
        return " ".join(f"{name}={getattr(self, name)!r}" for name in names)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self!s})"


def _dumped(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _dumped(item) for key, item in value.items()}
    return msgspec.structs.asdict(value) if isinstance(value, msgspec.Struct) else value


class PositionCapStart(_Text, kw_only=True):
    """Header of a capture.

    Attributes
    ----------
    arm_time : datetime
        When the box was armed, UTC but without a time zone, as dranspose has it.
    """

    arm_time: datetime
    _fields: list[PositionCapField] = msgspec.field(default_factory=list)
    _text: bytes = b""

    @property
    def fields(self) -> list[PositionCapField]:
        """The captured fields in the order of the numbers in a line."""
        return self._fields

    def to_frames(self) -> list[bytes]:
        """Return the header: as received, or made of ``arm_time`` and the fields."""
        return [self._text or _header_text(self.arm_time, self._fields)]

    def to_stream_data(self, fields: Sequence[PositionCapField] | None = None) -> StreamData:
        """Return the header as `StreamData`, with ``fields`` if they are given."""
        frames = self.to_frames() if fields is None else [_header_text(self.arm_time, fields)]
        return StreamData(self.typ, list(frames))


class PositionCapLine(_Text, kw_only=True):
    """One line of numbers, before the header says what they are."""

    text: str

    def to_frames(self) -> list[bytes]:
        """Return the line."""
        return [self.text.encode()]

    def values(self, fields: Sequence[PositionCapField]) -> PositionCapValues:
        """Return what the line says about ``fields``.

        Raises
        ------
        DecodeError
            More or fewer numbers than fields, or something that is no number.
        """
        texts = self.text.split()
        if len(texts) != len(fields):
            what = f"{len(texts)} numbers in a line, the header has {len(fields)} fields"
            raise DecodeError(what, where="pandabox text")
        parsed = [field.parse(text) for field, text in zip(fields, texts, strict=True)]
        return PositionCapValues(fields={field.name: field for field in parsed})


class PositionCapValues(_Text, kw_only=True):
    """What one trigger captured.

    Attributes
    ----------
    fields : dict of str to PositionCapField
        By name, each with its value.
    """

    fields: dict[str, PositionCapField] = msgspec.field(default_factory=dict)

    def to_frames(self) -> list[bytes]:
        """Return the line of numbers."""
        return [f" {' '.join(str(field.value) for field in self.fields.values())}\n".encode()]


class PositionCapEnd(_Text, kw_only=True):
    """End of a capture."""

    _text: bytes = b"END 0 Disarmed\n"

    def to_frames(self) -> list[bytes]:
        """Return the line that ends the capture: the received one, or that of a box that was disarmed."""
        return [self._text]


PositionCapRecord = PositionCapStart | PositionCapLine | PositionCapValues | PositionCapEnd


def _header_text(arm_time: datetime, fields: Sequence[PositionCapField]) -> bytes:
    lines = [f"{_ARM_TIME}{arm_time:%Y-%m-%dT%H:%M:%S.%fZ}", "missed: 0", "process: Scaled", "format: ASCII", "fields:"]
    for field in fields:
        signal, _, mode = field.name.rpartition(".")
        lines.append(f" {signal} {field.type} {mode}")
    return "\n".join([*lines, "", ""]).encode()


def _parse_header(text: str, raw: bytes) -> PositionCapStart:
    where = "pandabox text, header"
    lines = text.split("\n")
    try:
        arm_time = datetime.fromisoformat(lines[0].removeprefix(_ARM_TIME).strip().removesuffix("Z"))
    except ValueError:
        raise DecodeError(f"arm time {lines[0][:80]!r} is no date", where=where) from None
    fields = []
    for line in lines[1:]:
        if not line.startswith(" "):
            continue
        words = line.split()
        if len(words) < 3:
            raise DecodeError(f"field {line[:80]!r} has no name, type and capture mode", where=where)
        fields.append(PositionCapField(name=f"{words[0]}.{words[2]}", type=words[1]))
    return PositionCapStart(arm_time=arm_time, _fields=fields, _text=raw)


def decode(frames: Sequence[Buffer]) -> PositionCapRecord:
    """Decode one packet on its own; lines of numbers stay text (`PositionCapLine`).

    Raises
    ------
    DecodeError
        Not ASCII text, or a header without date or with a damaged field.
    """
    raw = frame_bytes(one_part(frames, where="pandabox text"))
    if len(raw) > MAX_HEADER_BYTES:
        raise DecodeError(f"{len(raw)} bytes; at most {MAX_HEADER_BYTES} are accepted", where="pandabox text")
    try:
        text = raw.decode("ascii")
    except UnicodeDecodeError as error:
        raise DecodeError(f"not ASCII text ({error.reason} at byte {error.start})", where="pandabox text") from None
    if text.startswith("arm_time:"):
        return _parse_header(text, raw)
    if text.startswith("END"):
        return PositionCapEnd(_text=raw)
    if not text.strip():
        raise DecodeError("an empty line", where="pandabox text")
    return PositionCapLine(text=text)


def encode(record: PositionCapRecord) -> list[bytes]:
    """Return the parts of the packet; ``encode(decode(frames)) == frames``."""
    return record.to_frames()


class PositionCapParser:
    """Understands the lines of a capture with the header before them.

    Attributes
    ----------
    arm_time : datetime or None
        Of the last header, ``None`` before the first.
    fields : list of PositionCapField
        Of the last header.
    """

    def __init__(self) -> None:
        self.arm_time: datetime | None = None
        self.fields: list[PositionCapField] = []

    def read(self, frames: Sequence[Buffer]) -> PositionCapStart | PositionCapValues | PositionCapEnd:
        """Decode one packet; packets must come in the order of the capture, the header first.

        Raises
        ------
        DecodeError
            No header yet, or a line that does not fit it.
        """
        record = decode(frames)
        if isinstance(record, PositionCapStart):
            self.arm_time, self.fields = record.arm_time, list(record.fields)
        if not isinstance(record, PositionCapLine):
            return record
        if self.arm_time is None:
            raise DecodeError("numbers without the header that says what they are", where="pandabox text")
        return record.values(self.fields)


class PositionCapAssembler:
    """Cuts the text into packets: the header with its empty line, each line of numbers, the end.

    Takes pieces of the text of any length, such as a socket gives them. Lines outside a capture are of no series. Of a
    line too long to be one, the beginning becomes the packet: the trigger it stands for keeps its place among the
    events, and fails where it is parsed.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._skips_rest_of_line = False
        self._header: list[bytes] | None = None
        self._header_bytes = 0
        self._in_capture = False

    def push(self, parts: Sequence[Buffer]) -> list[Packet]:
        """Take the next piece, return the packets that are complete with it; text never breaks the protocol."""
        lines = b"".join([self._rest, *(frame_bytes(part) for part in parts)]).split(b"\n")
        self._rest = lines.pop()
        if lines and self._skips_rest_of_line:
            self._skips_rest_of_line = False
            del lines[0]
        if self._skips_rest_of_line:
            self._rest = b""
        elif len(self._rest) > MAX_LINE_BYTES:
            lines.append(self._rest)
            self._rest, self._skips_rest_of_line = b"", True
        return [packet for line in lines if (packet := self._take(line[:MAX_LINE_BYTES] + b"\n")) is not None]

    def _take(self, line: bytes) -> Packet | None:
        if line.startswith(_ARM_TIME.encode()):
            self._header, self._header_bytes, self._in_capture = [line], len(line), False
            return None
        if self._header is not None:
            return self._take_header(self._header, line)
        if not self._in_capture:
            return Packet(PacketKind.OTHER, [line]) if line.strip() else None
        if line.startswith(b"END"):
            self._in_capture = False
            return Packet(PacketKind.END, [line])
        return Packet(PacketKind.DATA, [line])

    def _take_header(self, header: list[bytes], line: bytes) -> Packet | None:
        header.append(line)
        self._header_bytes += len(line)
        if self._header_bytes > MAX_HEADER_BYTES:
            self._header = None
            return Packet(PacketKind.OTHER, header[:1])
        if line.strip():
            return None
        self._header, self._in_capture = None, True
        return Packet(PacketKind.START, [b"".join(header)])


PROTOCOL = WireProtocol("pandabox-text", TYP, decode, encode, PositionCapAssembler)
