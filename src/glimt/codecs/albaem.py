"""AlbaEM: what the Alba electrometer sends over ZeroMQ PUB, one JSON message a sample.

``series-start``, ``data`` with one value a channel, ``series-end``. Source: dranspose 0.2.0 (``dranspose.data.albaem``)
and a recording of MAX IV.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from glimt.codecs.open_record import OpenRecord, chosen, json_object, one_part
from glimt.codecs.protocol import PacketKind, SingleMessageAssembler, WireProtocol

if TYPE_CHECKING:
    from typing_extensions import Buffer

TYP = "albaem"


class AlbaemMessage(OpenRecord, kw_only=True, eq=False):
    """What all messages have: a running number of the sender, and the version of the format."""

    typ: ClassVar[str] = TYP
    message_id: int
    version: Literal[1]

    @classmethod
    def from_frames(cls, frames: Sequence[Buffer]) -> AlbaemMessage:
        """Decode a message of this kind."""
        return cls.from_header(one_part(frames, where="albaem"), where="albaem, part 0")


class AlbaemStart(AlbaemMessage, kw_only=True, eq=False):
    """Start of a series."""

    message_type: Literal["series-start"] = "series-start"


class AlbaemData(AlbaemMessage, kw_only=True, eq=False):
    """One sample of all channels.

    Attributes
    ----------
    frame_number : int
        Number of the sample in its series, from 0.
    timestamp : float
        Seconds since the series started, by the device's clock.
    acquisition_timestamp : int
        UTC [ns].
    channel1, channel2, … : float
        Currents [A]; keys of the device, not of the protocol.
    """

    message_type: Literal["data"] = "data"
    frame_number: int
    timestamp: float
    acquisition_timestamp: int


class AlbaemEnd(AlbaemMessage, kw_only=True, eq=False):
    """End of a series."""

    message_type: Literal["series-end"] = "series-end"


AlbaemRecord = AlbaemStart | AlbaemData | AlbaemEnd

KINDS: dict[str, type[AlbaemStart] | type[AlbaemData] | type[AlbaemEnd]] = {
    "series-start": AlbaemStart,
    "data": AlbaemData,
    "series-end": AlbaemEnd,
}


def decode(frames: Sequence[Buffer]) -> AlbaemRecord:
    """Decode one message.

    Raises
    ------
    DecodeError
        Not an AlbaEM message; the text says why.
    """
    part = one_part(frames, where="albaem")
    values = json_object(part, where="albaem, part 0")
    kind = chosen(values, "message_type", KINDS, where="albaem, part 0")
    return kind.from_values(values, where=f"albaem {values['message_type']}, part 0", header=part)


def encode(record: AlbaemRecord) -> list[bytes]:
    """Return the parts of the message; ``encode(decode(frames)) == frames``."""
    return record.to_frames()


def _classify(parts: Sequence[Any]) -> tuple[PacketKind, int | None]:
    record = decode(parts)
    if isinstance(record, AlbaemData):
        return PacketKind.DATA, record.frame_number
    return (PacketKind.START if isinstance(record, AlbaemStart) else PacketKind.END), None


PROTOCOL = WireProtocol("albaem", TYP, decode, encode, partial(SingleMessageAssembler, _classify))
