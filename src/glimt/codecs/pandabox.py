"""PandABox position capture over ZeroMQ, as MAX IV's Tango device publishes it: JSON messages with a list a channel.

``series-start``, ``data`` for several triggers at once, ``series-end``. Source: dranspose 0.2.0
(``dranspose.data.pcap`` and its ingester, which makes one event an element) and a recording of MAX IV.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, Literal

from glimt.codecs.open_record import OpenRecord, chosen, json_object, json_text, one_part
from glimt.codecs.protocol import Packet, PacketKind, WireProtocol
from glimt.model.errors import DecodeError

if TYPE_CHECKING:
    from typing_extensions import Buffer

TYP = "PCAP"

MAX_SPLIT_BYTES = 256 << 20
"""Most that one message may become when it is split [bytes]: each element repeats what is no list."""


class PcapMessage(OpenRecord, kw_only=True, eq=False):
    """What all messages have: a running number of the sender, and the version of the format."""

    typ: ClassVar[str] = TYP
    message_id: int
    version: Literal[1]

    @classmethod
    def from_frames(cls, frames: Sequence[Buffer]) -> PcapMessage:
        """Decode a message of this kind."""
        return cls.from_header(one_part(frames, where="pandabox"), where="pandabox, part 0")


class PcapStart(PcapMessage, kw_only=True, eq=False):
    """Start of a series.

    Attributes
    ----------
    arm_time : datetime
        When the box was armed.
    """

    message_type: Literal["series-start"] = "series-start"
    arm_time: datetime


class PcapData(PcapMessage, kw_only=True, eq=False):
    """What the box captured; the channels are keys of the beamline.

    Attributes
    ----------
    frame_number : int
        Number of the trigger, from 0; of the first one if the channels are lists.
    """

    message_type: Literal["data"] = "data"
    frame_number: int

    def split(self) -> list[PcapData]:
        """Return one message a trigger: every channel that is a list gives its elements one after the other.

        Raises
        ------
        DecodeError
            The lists differ in length, or what they share would be repeated too often.
        """
        lists = {key: value for key, value in self.extra.items() if isinstance(value, list)}
        if not lists:
            return [self]
        lengths = {key: len(value) for key, value in lists.items()}
        length = min(lengths.values())
        if max(lengths.values()) != length:
            text = ", ".join(f"{key} {n}" for key, n in [*lengths.items()][:8])
            raise DecodeError(f"channels differ in length ({text[:200]})", where="pandabox data, part 0")
        shared = {key: value for key, value in self.values().items() if key not in lists}
        if length * len(json_text(shared | dict.fromkeys(lists, 0))) > MAX_SPLIT_BYTES:
            raise DecodeError(
                f"{length} elements that become more than {MAX_SPLIT_BYTES} bytes", where="pandabox data, part 0"
            )
        first = self.frame_number
        return [
            PcapData.from_values(
                shared | {"frame_number": first + index} | dict(zip(lists, row, strict=True)), where="pandabox data"
            )
            for index, row in enumerate(zip(*lists.values(), strict=True))
        ]


class PcapEnd(PcapMessage, kw_only=True, eq=False):
    """End of a series."""

    message_type: Literal["series-end"] = "series-end"


PcapRecord = PcapStart | PcapData | PcapEnd

KINDS: dict[str, type[PcapStart] | type[PcapData] | type[PcapEnd]] = {
    "series-start": PcapStart,
    "data": PcapData,
    "series-end": PcapEnd,
}


def decode(frames: Sequence[Buffer]) -> PcapRecord:
    """Decode one message.

    Raises
    ------
    DecodeError
        Not a message of the box; the text says why.
    """
    part = one_part(frames, where="pandabox")
    values = json_object(part, where="pandabox, part 0")
    kind = chosen(values, "message_type", KINDS, where="pandabox, part 0")
    return kind.from_values(values, where=f"pandabox {values['message_type']}, part 0", header=part)


def encode(record: PcapRecord) -> list[bytes]:
    """Return the parts of the message; ``encode(decode(frames)) == frames``."""
    return record.to_frames()


class PcapAssembler:
    """Makes one packet a trigger of messages that carry several; a message without lists is one packet."""

    def push(self, parts: Sequence[Buffer]) -> list[Packet]:
        """Take one message, return its packets.

        Raises
        ------
        DecodeError
            Not a message of the box, or its channels differ in length.
        """
        record = decode(parts)
        if not isinstance(record, PcapData):
            kind = PacketKind.START if isinstance(record, PcapStart) else PacketKind.END
            return [Packet(kind, list(parts))]
        rows = record.split()
        if rows and rows[0] is record:
            return [Packet(PacketKind.DATA, list(parts), record.frame_number)]
        return [Packet(PacketKind.DATA, row.to_frames(), row.frame_number) for row in rows]


PROTOCOL = WireProtocol("pandabox", TYP, decode, encode, PcapAssembler)
