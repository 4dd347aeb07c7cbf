"""From the messages of one stream to its numbered items, with an account of everything that is left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from glimt.codecs.protocol import Packet, PacketKind, WireProtocol
from glimt.model.errors import DecodeError, UsageError
from glimt.pipeline.join_field import JoinField
from glimt.pipeline.ledger import ARRIVAL, DropReason, StreamLedger
from glimt.pipeline.series_numbers import SeriesNumbers

if TYPE_CHECKING:
    from typing_extensions import Buffer

JoinBy = Literal["frame", "trigger", "clock"]
FirstFrame = Literal["auto"] | int

START_NUMBER = -1

# A member of an Enum is a dictionary look-up on a metaclass; these are needed for every packet.
_START, _DATA, _END = PacketKind.START, PacketKind.DATA, PacketKind.END


class StreamItem(msgspec.Struct, gc=False):
    """One packet of a stream, numbered.

    Attributes
    ----------
    kind : PacketKind
        ``START``, ``DATA`` or ``END``.
    number : int
        Of a data packet: its position in its series, from 0, whatever number the sender gives the first frame.
        `START_NUMBER` for the start; for the end, one more than the largest of the series.
    frames : list of buffer
        What `StreamData.frames` of the event will hold. Empty for the end of a series that was broken off: there is
        no such packet and no account has it.
    n_bytes : int
        Size of the frames [bytes].
    created_ns : int
        When it was received, UTC [ns].
    clock : float or None
        What joins it with other streams, for ``join="clock"``.
    """

    kind: PacketKind
    number: int
    frames: list[Any]
    n_bytes: int
    created_ns: int
    clock: float | None = None


class LiveStream:
    """The series of one stream, as its messages arrive.

    A series begins with a start packet and ends with an end packet. Data before the first start or behind an end is
    left out (``outside``), as are repeated numbers and those that jump more than `series_numbers.MAX_JUMP` (``bad``).
    A start while a series is open breaks that off, unless it is the same start again and nothing came in between.

    Parameters
    ----------
    name : str
        The stream.
    protocol : WireProtocol
        What its messages speak.
    ledger : StreamLedger
        Its account.
    join : {"frame", "trigger", "clock"}
        What joins it with other streams: the protocol's own number; a whole number in ``number_field`` that counts
        the triggers of the scan; or a time in ``number_field``. Free-running counters are clocks, too.
    number_field : str
        See `JoinField`; needed for ``trigger`` and ``clock``.
    first_frame : "auto" or int
        Number of the first packet of a series. With ``"auto"`` it is what the protocol tells. Where that tells
        nothing it is 0, unless the first number that comes is 1: then it is 1. That guess is wrong if packet 0 of a
        sender that counts from 0 is lost; say 0 or 1 here to be certain.

    Raises
    ------
    UsageError
        ``number_field`` is missing, is not a path, or is given where the protocol's number joins.
    """

    def __init__(
        self,
        name: str,
        protocol: WireProtocol,
        ledger: StreamLedger,
        *,
        join: JoinBy = "frame",
        number_field: str = "",
        first_frame: FirstFrame = "auto",
    ) -> None:
        if bool(number_field) != (join != "frame"):
            raise UsageError(
                f"stream {name!r}: number_field goes with join = 'trigger' or 'clock', and only with these"
            )
        if first_frame != "auto" and (type(first_frame) is not int or first_frame < 0):
            raise UsageError(f"stream {name!r}: first_frame is {first_frame!r}; it may be 'auto', 0, 1 or more")
        self.name = name
        self.typ = protocol.typ
        self.ledger = ledger
        self._join = join
        self._field = JoinField(protocol, number_field) if number_field else None
        self._first_frame = first_frame
        self._assembler = protocol.assembler()
        self._is_open = False
        self._start_frames: list[Any] = []
        self._n_data = 0
        self._base: int | None = None
        self._numbers = SeriesNumbers()

    @property
    def is_open(self) -> bool:
        """Whether a series has begun and not ended."""
        return self._is_open

    def push_many(self, messages: Sequence[Sequence[Buffer]], now_ns: int) -> list[StreamItem]:
        """Take received messages, return the items that are complete with them.

        Parameters
        ----------
        messages : sequence of sequence of buffer
            The parts of each message; ``len`` of a part is its size [bytes].
        now_ns : int
            When they were received, UTC [ns].
        """
        items: list[StreamItem] = []
        append, push, ledger = items.append, self._assembler.push, self.ledger
        n_received = n_bytes = 0
        for message in messages:
            try:
                packets = push(message)
            except DecodeError as error:
                ledger.refuse_bad(error, _size(message))
                continue
            for packet in packets:
                size = _size(packet.frames)
                if packet.kind is not _DATA:
                    item = self._mark(packet, size, now_ns, items)
                else:
                    item = self._data(packet, size, now_ns)
                if item is not None:
                    append(item)
                    n_received += 1
                    n_bytes += size
        ledger.receive(n_received, n_bytes)
        return items

    def _mark(self, packet: Packet, size: int, now_ns: int, items: list[StreamItem]) -> StreamItem | None:
        """Take a packet that is no data; the end of a series it breaks off is appended to ``items``."""
        ledger = self.ledger
        if packet.kind is _START:
            if self._is_open:
                if not self._n_data and self._is_same_start(packet):
                    ledger.refuse("repeated", size)
                    return None
                ledger.n_broken_off += 1
                items.append(StreamItem(_END, self._numbers.next_number, [], 0, now_ns))
            self._is_open, self._start_frames, self._n_data = True, packet.frames, 0
            self._base, self._numbers = None, SeriesNumbers()
            ledger.n_series += 1
            return StreamItem(_START, START_NUMBER, packet.frames, size, now_ns)
        if packet.kind is _END and self._is_open:
            self._is_open = False
            ledger.n_ended += 1
            return StreamItem(_END, self._numbers.next_number, packet.frames, size, now_ns)
        if packet.kind is _END:
            ledger.refuse("outside", size)
        else:
            ledger.refuse("stale" if packet.is_stale else "other", size)
        return None

    def _is_same_start(self, packet: Packet) -> bool:
        old, new = self._start_frames, packet.frames
        return len(old) == len(new) and all(bytes(a) == bytes(b) for a, b in zip(old, new, strict=True))

    def _data(self, packet: Packet, size: int, now_ns: int) -> StreamItem | None:
        if not self._is_open:
            self.ledger.refuse("outside", size)
            return None
        base, number, numbers = self._base, packet.frame_number, self._numbers
        # The usual case, written out: the next number of a stream that is joined by it.
        if base is not None and number is not None and number - base == numbers.next_number and self._field is None:
            numbers.next_number += 1
            return StreamItem(_DATA, number - base, packet.frames, size, now_ns)
        try:
            clock = self._field.clock(packet) if self._field is not None and self._join == "clock" else None
            placed = self._place(packet)
        except DecodeError as error:
            self.ledger.refuse_bad(error, size)
            return None
        if isinstance(placed, str):
            self.ledger.refuse(placed, size)
            return None
        if not self._n_data:
            self._n_data, self._start_frames = 1, []
        return StreamItem(_DATA, placed, packet.frames, size, now_ns, clock)

    def _place(self, packet: Packet) -> int | DropReason:
        """Return the number of a data packet in its series, or why it is left out."""
        own = packet.frame_number
        if self._field is not None and self._join == "trigger":
            own = self._field.integer(packet)
        if own is None:
            number = base = None
        else:
            base = self._find_base(own, packet.index_in_series) if self._base is None else self._base
            number = own - base
        position = self._numbers.next_number if number is None else number
        reason = self._numbers.place(position)
        if base is not None:
            self._base = base  # only now: a damaged first number must not shift those after it
        if not self._n_data or own is None:
            self.ledger.joined_by = self._joined_by(own)
        return position if reason is None else reason

    def _find_base(self, own: int, index: int | None) -> int:
        if isinstance(self._first_frame, int):
            return self._first_frame
        if index is not None and self._join != "trigger" and 0 <= index <= own:
            return own - index
        return 1 if own == 1 else 0

    def _joined_by(self, own: int | None) -> str:
        if self._join == "frame" or self._field is None:
            return ARRIVAL if own is None else "frame number"
        return f"{self._join} {self._field.path}"


def _size(frames: Sequence[Any]) -> int:
    """Return the size of all parts [bytes]."""
    return sum(map(len, frames))
