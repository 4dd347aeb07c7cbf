"""Gives the packets of a stream their event numbers, and keeps the account of what was wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from glimt.codecs.protocol import Packet, PacketKind, WireProtocol
from glimt.model.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_JUMP = 1_000_000
"""Most frames that may be missing at once. A number farther ahead is damage, not a gap: if it were believed, every
frame after it would seem to come too late."""

_SHOWN_GAPS = 5


class NumberedPacket(NamedTuple):
    """A packet as the event it becomes."""

    event_number: int
    kind: PacketKind
    frames: list[Any]


@dataclass(slots=True)
class SeriesAccount:
    """What came of the messages of one stream.

    Attributes
    ----------
    n_messages, n_bad : int
        Messages received, and how many of them broke the protocol; ``first_bad`` says how.
    n_events : int
        Packets that became events, start and end packets among them.
    n_series, n_ended : int
        Start packets, and how many of the series ended with an end packet.
    n_missing : int
        Numbers that were skipped inside series; ``gaps`` has the first few as ``(first, last)`` event number.
    n_repeated : int
        Data packets left out because their number, or a later one, had been there already.
    n_outside : int
        Packets left out because they were before the first start or behind an end.
    n_other : int
        Heartbeats and the like.
    """

    n_messages: int = 0
    n_bad: int = 0
    first_bad: str = ""
    n_events: int = 0
    n_series: int = 0
    n_ended: int = 0
    n_missing: int = 0
    gaps: list[tuple[int, int]] = field(default_factory=list)
    n_repeated: int = 0
    n_outside: int = 0
    n_other: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether no message was bad and none is missing."""
        return not self.n_bad and not self.n_missing

    def add_bad(self, error: DecodeError) -> None:
        """Count a bad message; the first is remembered."""
        self.n_bad += 1
        self.first_bad = self.first_bad or f"{error} (message {self.n_messages})"

    def add_gap(self, first: int, last: int) -> None:
        """Count missing events."""
        self.n_missing += last - first + 1
        if len(self.gaps) < _SHOWN_GAPS:
            self.gaps.append((first, last))

    def remarks(self) -> list[str]:
        """Return a line for everything that was not as it should be."""
        lines = []
        if self.n_bad:
            lines.append(f"{self.n_bad:,} bad messages left out, the first: {self.first_bad}")
        if self.n_missing:
            shown = ", ".join(str(first) if first == last else f"{first} to {last}" for first, last in self.gaps)
            more = ", ..." if sum(last - first + 1 for first, last in self.gaps) < self.n_missing else ""
            lines.append(f"{self.n_missing:,} events are missing: {shown}{more}")
        if self.n_repeated:
            lines.append(f"{self.n_repeated:,} packets left out: their number had passed (repeated or late)")
        if self.n_outside:
            lines.append(f"{self.n_outside:,} packets left out: before the first start or behind the end of a series")
        if self.n_ended < self.n_series:
            lines.append(f"{self.n_series - self.n_ended} of {self.n_series} series without an end packet")
        return lines


class SeriesNumbering:
    """Numbers the packets of one stream: start packets are event 0, data packets count from 1, the end is the last.

    A data packet with a frame number gets event ``1 + frame - first frame of the series``, so that a lost message
    leaves a gap and does not shift what follows; one without gets the next number.

    Parameters
    ----------
    protocol : WireProtocol
        What the messages speak.
    """

    def __init__(self, protocol: WireProtocol) -> None:
        self.account = SeriesAccount()
        self._assembler = protocol.assembler()
        self._is_open = False
        self._last = 0
        self._first_frame: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether a series has begun and not ended."""
        return self._is_open

    def events(self, parts: Sequence[Any]) -> Iterator[NumberedPacket]:
        """Take one message, yield the events that are complete with it; a bad message is counted and gives none."""
        self.account.n_messages += 1
        try:
            packets = self._assembler.push(parts)
        except DecodeError as error:
            self.account.add_bad(error)
            return
        for packet in packets:
            number = self._place(packet)
            if number is not None:
                self.account.n_events += 1
                yield NumberedPacket(number, packet.kind, packet.frames)

    def _place(self, packet: Packet) -> int | None:
        if packet.kind is PacketKind.OTHER:
            self.account.n_other += 1
            return None
        if packet.kind is PacketKind.START:
            self.account.n_series += 1
            self._is_open, self._last, self._first_frame = True, 0, None
            return 0
        if not self._is_open:
            self.account.n_outside += 1
            return None
        if packet.kind is PacketKind.END:
            self._is_open = False
            self.account.n_ended += 1
            self._last += 1
            return self._last
        return self._place_data(packet.frame_number)

    def _place_data(self, frame_number: int | None) -> int | None:
        number = self._last + 1
        if frame_number is not None:
            if self._first_frame is None:
                self._first_frame = frame_number - self._last
            number = 1 + frame_number - self._first_frame
        if number <= self._last:
            self.account.n_repeated += 1
            return None
        if number - self._last > MAX_JUMP:
            jump = number - self._last
            self.account.add_bad(
                DecodeError(f"frame number {frame_number} is {jump} ahead of the one before", where="data packet")
            )
            return None
        if number > self._last + 1:
            self.account.add_gap(self._last + 1, number - 1)
        self._last = number
        return number
