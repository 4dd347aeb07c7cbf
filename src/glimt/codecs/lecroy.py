"""LeCroy oscilloscopes, as MAX IV's MAUI server publishes their traces over ZeroMQ PUB.

JSON messages whose ``what`` is 0 (prepare), 1 (start of a sequence), 2 (its end) or 3 (stop), and ``traces`` of three
parts: JSON, the samples, a pickled list of trigger times. One event is a start, the traces of all channels and an end.
In continuous mode (``ntriggers`` is -1) the start is sent once and stands for all events; in sequence mode every event
has its own. Source: dranspose 0.2.0 (``dranspose.data.lecroy`` and its ingester) and a recording of FemtoMAX.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy.typing as npt

from glimt.codecs.open_record import OpenRecord, chosen, json_object, one_part
from glimt.codecs.pixels import decode_pixels, encode_pixels
from glimt.codecs.protocol import Packet, PacketKind, WireProtocol
from glimt.codecs.restricted_pickle import dumps, loads
from glimt.model.errors import DecodeError

if TYPE_CHECKING:
    from typing_extensions import Buffer

TYP = "lecroy_9fwdWp6Rq7"
MAX_CHANNELS = 64


class What(IntEnum):
    """What a message without traces says."""

    PREPARE = 0
    START = 1
    SEQEND = 2
    STOP = 3


class LecroyMessage(OpenRecord, kw_only=True, eq=False):
    """What all messages have.

    Attributes
    ----------
    frame : int
        How many traces the server had sent before this message.
    """

    typ: ClassVar[str] = TYP
    frame: int

    @classmethod
    def from_frames(cls, frames: Sequence[Buffer]) -> LecroyMessage:
        """Decode a message of this kind."""
        return cls.from_header(one_part(frames, where="lecroy"), where="lecroy, part 0")


class LecroyPrepare(LecroyMessage, kw_only=True, eq=False):
    """First message of a series."""

    htype: Literal["msg"] = "msg"
    what: What = What.PREPARE


class LecroySeqStart(LecroyMessage, kw_only=True, eq=False):
    """Start of a sequence, or of all events in continuous mode.

    Attributes
    ----------
    ntriggers : int
        Triggers in a sequence, -1 in continuous mode.
    seqno : int
        Number of the sequence.
    channels : list of int
        The channels of which traces follow, in that order.
    """

    htype: Literal["msg"] = "msg"
    what: What = What.START
    ntriggers: int
    seqno: int
    channels: list[int]


class LecroySeqEnd(LecroyMessage, kw_only=True, eq=False):
    """End of an event."""

    htype: Literal["msg"] = "msg"
    what: What = What.SEQEND


class LecroyEnd(LecroyMessage, kw_only=True, eq=False):
    """Last message of a series.

    Attributes
    ----------
    frames : int
        How many traces were sent in all.
    """

    frames: int
    what: What = What.STOP


class LecroyData(LecroyMessage, kw_only=True, eq=False):
    """Header of the traces of one channel.

    Attributes
    ----------
    ch : int
        Channel of the oscilloscope, from 1.
    ts : float
        When the server read it, UTC [s].
    shape : list of int
        ``[triggers, samples]``.
    dtype : str
        Element type, such as ``"float64"``.
    horiz_offset, horiz_interval : float
        Time of the first sample after the trigger, and between samples [s].
    """

    htype: Literal["traces"] = "traces"
    ch: int
    ts: float
    shape: list[int]
    dtype: str
    horiz_offset: float
    horiz_interval: float


class LecroyParsed(LecroySeqStart, kw_only=True, eq=False):
    """One event: its start with the traces of all channels.

    Attributes
    ----------
    meta : list of LecroyData
        Header of each channel.
    data : list of ndarray
        Traces of each channel, ``(trigger, sample)`` [V], read-only views of the received bytes.
    timestamps : list of list of float
        Trigger times of each channel, UTC [s].
    """

    @property
    def meta(self) -> list[LecroyData]:
        """Header of each channel."""
        headers: list[LecroyData] = self._column(0)
        return headers

    @meta.setter
    def meta(self, headers: list[LecroyData]) -> None:
        self._set_column(0, headers)

    @property
    def data(self) -> list[npt.NDArray[Any]]:
        """Traces of each channel, ``(trigger, sample)`` [V]."""
        traces: list[npt.NDArray[Any]] = self._column(1)
        return traces

    @data.setter
    def data(self, traces: list[npt.NDArray[Any]]) -> None:
        self._set_column(1, traces)

    @property
    def timestamps(self) -> list[list[float]]:
        """Trigger times of each channel, UTC [s]."""
        times: list[list[float]] = self._column(2)
        return times

    @timestamps.setter
    def timestamps(self, times: list[list[float]]) -> None:
        self._set_column(2, times)

    def _column(self, index: int) -> Any:
        if self._array is None:
            self._array = [[], [], []]
        return self._array[index]

    def _set_column(self, index: int, values: list[Any]) -> None:
        self._column(index)
        self._array[index] = values
        self._payload = None

    def to_frames(self) -> list[bytes]:
        """Return start, header, samples and times of each channel, and end."""
        if self._payload is not None:
            return [self.header_json(), *(bytes(part) for part in self._payload)]
        frames = [self.header_json()]
        for header, traces, times in zip(self.meta, self.data, self.timestamps, strict=True):
            frames += [header.header_json(), encode_pixels(traces, compression="none"), dumps(times)]
        return [*frames, LecroySeqEnd(frame=self.frame + len(self.meta)).header_json()]

    @classmethod
    def from_frames(cls, frames: Sequence[Buffer]) -> LecroyParsed:
        """Decode an event: one start, three parts a channel, one end."""
        record = cls.from_header(frames[0], where="lecroy event, part 0")
        n_parts = 2 + 3 * _n_channels(record, where="lecroy event, part 0")
        if len(frames) != n_parts:
            what = f"{len(frames)} parts, channels {record.channels} give {n_parts}"
            raise DecodeError(what, where="lecroy event")
        channels = [_traces(frames, first) for first in range(1, n_parts - 1, 3)]
        where = f"lecroy event, part {n_parts - 1}"
        if not isinstance(_message(frames[-1], where=where), LecroySeqEnd):
            raise DecodeError("not the end of a sequence", where=where)
        record._array = [[channel[column] for channel in channels] for column in range(3)]
        record._payload = tuple(frames[1:])
        return record

    def _shown(self) -> list[tuple[str, Any]]:
        return [("meta", self.meta), ("data", self.data), ("timestamps", self.timestamps)]


LecroyRecord = LecroyPrepare | LecroySeqStart | LecroySeqEnd | LecroyEnd | LecroyData | LecroyParsed

_MESSAGES: dict[int, Any] = {
    What.PREPARE: LecroyPrepare,
    What.START: LecroySeqStart,
    What.SEQEND: LecroySeqEnd,
    What.STOP: LecroyEnd,
}


def _n_channels(start: LecroySeqStart, *, where: str) -> int:
    if not 1 <= len(start.channels) <= MAX_CHANNELS:
        raise DecodeError(f"{len(start.channels)} channels, 1 to {MAX_CHANNELS} are accepted", where=where)
    return len(start.channels)


def kind_of(values: Mapping[str, Any], *, where: str) -> type[Any]:
    """Return the record class that the header ``values`` belongs to; `DecodeError` if there is none."""
    if values.get("htype") == "traces":
        return LecroyData
    kind: type[Any] = chosen(values, "what", _MESSAGES, where=where)
    return kind


def _message(part: Buffer, *, where: str) -> Any:
    values = json_object(part, where=where)
    return kind_of(values, where=where).from_values(values, where=where, header=part)


def _traces(frames: Sequence[Buffer], first: int) -> tuple[LecroyData, npt.NDArray[Any], list[float]]:
    header = LecroyData.from_header(frames[first], where=f"lecroy traces, part {first}")
    where = f"lecroy traces, part {first + 1}"
    traces = decode_pixels(frames[first + 1], compression="none", shape=header.shape, dtype=header.dtype, where=where)
    where = f"lecroy traces, part {first + 2}"
    times = loads(frames[first + 2], where=where)
    if not isinstance(times, list) or not all(isinstance(time, float | int) for time in times):
        raise DecodeError("the trigger times are no list of numbers", where=where)
    return header, traces, times


def decode(frames: Sequence[Buffer]) -> LecroyRecord:
    """Decode one packet: a message of one part, or an event as the assembler makes it.

    Raises
    ------
    DecodeError
        Not what the server sends; the text names the part.
    """
    if not frames:
        raise DecodeError("a message without parts", where="lecroy")
    record: LecroyRecord = _message(frames[0], where="lecroy, part 0")
    if isinstance(record, LecroySeqStart) and len(frames) > 1:
        return LecroyParsed.from_frames(frames)
    one_part(frames, where="lecroy")
    return record


def encode(record: LecroyRecord) -> list[bytes]:
    """Return the parts of the packet; ``encode(decode(frames)) == frames``."""
    return record.to_frames()


class LecroyAssembler:
    """Collects the messages of an event.

    What cannot become an event because a message of it was lost is returned as a packet of no series.
    """

    def __init__(self) -> None:
        self._prepare: list[Buffer] | None = None
        self._start: LecroySeqStart | None = None
        self._event: list[Buffer] = []

    def push(self, parts: Sequence[Buffer]) -> list[Packet]:
        """Take one message, return the packets that are complete with it.

        Raises
        ------
        DecodeError
            Not a message of the server, or one that does not belong where it stands.
        """
        if not parts:
            raise DecodeError("a message without parts", where="lecroy")
        record = _message(parts[0], where="lecroy, part 0")
        match record:
            case LecroyPrepare():
                return self._prepared(parts)
            case LecroySeqStart():
                return self._started(record, parts)
            case LecroyData():
                return self._extended(record, parts)
            case LecroySeqEnd():
                return self._completed(record, parts)
        lost = self._dropped()
        self._start = self._prepare = None
        return [*lost, Packet(PacketKind.END, list(parts))]

    def _prepared(self, parts: Sequence[Buffer]) -> list[Packet]:
        lost = self._dropped()
        self._start, self._prepare = None, list(parts)
        return lost

    def _started(self, start: LecroySeqStart, parts: Sequence[Buffer]) -> list[Packet]:
        one_part(parts, where="lecroy sequence start")
        _n_channels(start, where="lecroy sequence start, part 0")
        packets = self._dropped()
        if self._prepare is not None:  # the series starts only now: without a sequence it would have no event
            packets.append(Packet(PacketKind.START, self._prepare))
            self._prepare = None
        self._start, self._event = start, list(parts)
        return packets

    def _extended(self, header: LecroyData, parts: Sequence[Buffer]) -> list[Packet]:
        where = f"lecroy traces of channel {header.ch}"
        if len(parts) != 3:
            raise DecodeError(f"{len(parts)} parts, 3 are needed (header, samples and times)", where=where)
        if self._start is None or not self._event:
            raise DecodeError("they come before the start of a sequence", where=where)
        if len(self._event) > 3 * len(self._start.channels):
            lost = len(self._event)
            self._event = self._event[:1]
            raise DecodeError(
                f"more traces than the channels {self._start.channels}: {lost} parts left out", where=where
            )
        self._event += parts
        return []

    def _completed(self, end: LecroySeqEnd, parts: Sequence[Buffer]) -> list[Packet]:
        start, event = self._start, self._event
        if start is None or not event:
            raise DecodeError("comes before the start of a sequence", where="lecroy sequence end")
        continuous = start.ntriggers == -1
        self._event = event[:1] if continuous else []
        if len(event) != 1 + 3 * len(start.channels):
            what = f"event with {(len(event) - 1) // 3} traces, channels {start.channels} were announced"
            raise DecodeError(what, where="lecroy sequence end")
        # The end counts the traces sent so far, lost ones included: that numbers the event without having seen all.
        n_sent, uneven = divmod(end.frame, len(start.channels))
        return [Packet(PacketKind.DATA, [*event, *parts], n_sent - 1 if n_sent and not uneven else None)]

    def _dropped(self) -> list[Packet]:
        event, self._event = self._event, []
        kept = 1 if self._start is not None and self._start.ntriggers == -1 else 0
        return [Packet(PacketKind.OTHER, event)] if len(event) > kept else []


PROTOCOL = WireProtocol("lecroy", TYP, decode, encode, LecroyAssembler)
