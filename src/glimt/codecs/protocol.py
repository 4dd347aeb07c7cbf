"""What a wire protocol is to the rest of glimt: decode, encode, and how its messages become packets of a stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

if TYPE_CHECKING:
    from typing_extensions import Buffer


class PacketKind(Enum):
    """Where in its series a packet stands."""

    START = "start"
    """First packet of a series, sent before the first trigger."""
    DATA = "data"
    """What one trigger gave."""
    END = "end"
    """Last packet of a series."""
    OTHER = "other"
    """Part of no series: heartbeats, remarks. Counted, never an event."""


class Packet(msgspec.Struct, frozen=True):
    """What becomes one event of one stream.

    Attributes
    ----------
    kind : PacketKind
        Where in its series it stands.
    frames : list of buffer
        The parts that `StreamData.frames` of the event will hold.
    frame_number : int or None
        The protocol's own running number of a data packet, ``None`` where the protocol has none.
    index_in_series : int or None
        Position of a data packet in its series, from 0, where the protocol tells it beside ``frame_number``: the
        first ``frame_number`` of the series is then known even if the packet that had it is lost.
    is_stale : bool
        The packet, of kind ``OTHER``, is what was left of an older series when a new one began.
    """

    kind: PacketKind
    frames: list[Any]
    frame_number: int | None = None
    index_in_series: int | None = None
    is_stale: bool = False


class Assembler(Protocol):
    """Turns received multipart messages into packets; keeps what spans several messages. One per connection."""

    def push(self, parts: Sequence[Buffer]) -> list[Packet]:
        """Take one received message, return the packets that are complete with it.

        Raises
        ------
        DecodeError
            The message breaks the protocol. The assembler stays usable: the next message may be good.
        """
        ...


@dataclass(frozen=True, slots=True)
class WireProtocol:
    """A wire protocol by name.

    Attributes
    ----------
    name : str
        What a configuration file says, such as ``"stins"``.
    typ : str
        `StreamData.typ` in captures, as dranspose writes it.
    decode : callable
        Frames of one packet to a `glimt.codecs.record.Record`; `DecodeError` for anything else.
    encode : callable
        The inverse.
    assembler : callable
        Makes a fresh `Assembler`.
    """

    name: str
    typ: str
    decode: Callable[[Sequence[Any]], Any]
    encode: Callable[[Any], list[bytes]]
    assembler: Callable[[], Assembler]


class SingleMessageAssembler:
    """Assembler of protocols in which every message is one packet.

    Parameters
    ----------
    classify : callable
        Parts of a message to ``(kind, frame_number)``; raises `DecodeError` for a message that is none.
    """

    def __init__(self, classify: Callable[[Sequence[Any]], tuple[PacketKind, int | None]]) -> None:
        self._classify = classify

    def push(self, parts: Sequence[Buffer]) -> list[Packet]:
        """Return the message as its one packet."""
        kind, frame_number = self._classify(parts)
        return [Packet(kind, list(parts), frame_number)]
