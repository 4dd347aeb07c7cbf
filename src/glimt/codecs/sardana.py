"""Sardana: what MAX IV's scan recorder posts over HTTP, one JSON object a step of the scan.

``DataDescription``, ``RecordData`` for each point, ``RecordEnd``. Source: dranspose 0.2.0 (``dranspose.data.sardana``
and its HTTP ingester, whose three addresses say what a body is, so that bodies may lack ``type``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from glimt.codecs.open_record import OpenRecord, chosen, json_object, one_part
from glimt.codecs.protocol import PacketKind, SingleMessageAssembler, WireProtocol

if TYPE_CHECKING:
    from typing_extensions import Buffer

TYP = "sardana"

S = TypeVar("S", bound="SardanaMessage")


class SardanaMessage(OpenRecord, kw_only=True, eq=False):
    """Base of the three kinds of message."""

    typ: ClassVar[str] = TYP

    @classmethod
    def from_values(cls: type[S], values: Mapping[str, Any], *, where: str, header: Any = b"") -> S:
        """Make the record; without a ``type`` in the message it gets that of the class."""
        return super().from_values(values, where=where, header=header if "type" in values else b"")

    @classmethod
    def from_frames(cls: type[S], frames: Sequence[Buffer]) -> S:
        """Decode a message of this kind, such as the body of a POST to the address of this kind."""
        return cls.from_header(one_part(frames, where="sardana"), where="sardana, part 0")


class SardanaDataDescription(SardanaMessage, kw_only=True, eq=False):
    """Start of a scan.

    Attributes
    ----------
    serialno : int
        Number of the scan.
    scandir, title : str
        Where the scan is written; the macro with its arguments.
    """

    type: Literal["DataDescription"] = "DataDescription"
    serialno: int
    scandir: str
    title: str


class SardanaRecordData(SardanaMessage, kw_only=True, eq=False):
    """One point of the scan; motors and counters are keys of the beamline.

    Attributes
    ----------
    timestamp : float
        Seconds since the scan started.
    """

    type: Literal["RecordData"] = "RecordData"
    timestamp: float


class SardanaRecordEnd(SardanaMessage, kw_only=True, eq=False):
    """End of the scan."""

    type: Literal["RecordEnd"] = "RecordEnd"


SardanaRecord = SardanaDataDescription | SardanaRecordData | SardanaRecordEnd

KINDS: dict[str, type[SardanaDataDescription] | type[SardanaRecordData] | type[SardanaRecordEnd]] = {
    "DataDescription": SardanaDataDescription,
    "RecordData": SardanaRecordData,
    "RecordEnd": SardanaRecordEnd,
}


def decode(frames: Sequence[Buffer]) -> SardanaRecord:
    """Decode one message, which must say its ``type``.

    Raises
    ------
    DecodeError
        Not a message of the recorder; the text says why.
    """
    part = one_part(frames, where="sardana")
    values = json_object(part, where="sardana, part 0")
    kind = chosen(values, "type", KINDS, where="sardana, part 0")
    return kind.from_values(values, where=f"sardana {values['type']}, part 0", header=part)


def encode(record: SardanaRecord) -> list[bytes]:
    """Return the parts of the message; ``encode(decode(frames)) == frames``."""
    return record.to_frames()


def _classify(parts: Sequence[Any]) -> tuple[PacketKind, int | None]:
    record = decode(parts)
    if isinstance(record, SardanaRecordData):
        point = record.extra.get("point_nb")  # what Sardana's own scans call it; other macros may not send it
        return PacketKind.DATA, point if type(point) is int else None
    return (PacketKind.START if isinstance(record, SardanaDataDescription) else PacketKind.END), None


PROTOCOL = WireProtocol("sardana", TYP, decode, encode, partial(SingleMessageAssembler, _classify))
