"""One stream as the event builder sees it: what is wanted of it, how far it is and what of it waits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from glimt.model.errors import UsageError
from glimt.pipeline.ledger import StreamLedger
from glimt.pipeline.live_stream import StreamItem

ITEM_BYTES = 512
"""What a waiting packet needs beside its frames [bytes]: a million tiny ones must not escape the limit."""


class BuilderStream(msgspec.Struct, frozen=True):
    """A stream of which events are built.

    Attributes
    ----------
    name : str
        The stream.
    ledger : StreamLedger
        Its account.
    optional : bool
        Events do not wait for it: it joins when its part is there before the reorder window of the others has passed.
        In automatic mode only; with a trigger map, that says what is needed.
    several_series : bool
        With a trigger map: its series follow one another through the map's entries, as a counter card does that is
        armed for every line. Without this the first end packet takes the stream's last entry, and a second start
        belongs to the next scan.
    """

    name: str
    ledger: StreamLedger
    optional: bool = False
    several_series: bool = False


@dataclass(slots=True)
class StreamState:
    """How far a stream is within a scan.

    Attributes
    ----------
    index, ledger, is_optional, max_bytes : int, StreamLedger, bool, int
        What it is; ``max_bytes`` is how much of it may wait.
    has_started, has_ended : bool
        Its start packet was there; nothing more of this scan is to be expected of it.
    is_broken_off : bool
        It ended without an end packet.
    is_silent : bool
        It was given up because it showed nothing for too long: no event waits for it until it shows something again.
    shown : int
        Largest position it has shown.
    base : int
        Position of the start packet of its current series.
    held_bytes : int
        What of it waits: frames and `ITEM_BYTES` a packet.
    n_held : int
        How many packets of it wait.
    last_ns : int
        When it showed something last [ns].
    end_item : StreamItem or None
        Its end packet, which waits for those of the others.
    next_scan : list of StreamItem
        What it sent of the next scan.
    """

    index: int
    ledger: StreamLedger
    is_optional: bool
    max_bytes: int
    has_started: bool = False
    has_ended: bool = False
    is_broken_off: bool = False
    is_silent: bool = False
    shown: int = -1
    base: int = 0
    held_bytes: int = 0
    n_held: int = 0
    last_ns: int = 0
    end_item: StreamItem | None = None
    next_scan: list[StreamItem] = field(default_factory=list)

    @property
    def is_full(self) -> bool:
        """Whether as much of it waits as may."""
        return self.held_bytes >= self.max_bytes

    def hold(self, item: StreamItem) -> None:
        """Count an item that waits from now on."""
        self.held_bytes += item.n_bytes + ITEM_BYTES
        self.n_held += bool(item.frames)  # the mark of a series that was broken off is no packet

    def release(self, item: StreamItem) -> None:
        """Count an item that waits no longer."""
        self.held_bytes -= item.n_bytes + ITEM_BYTES
        self.n_held -= bool(item.frames)


def check_streams(
    streams: Sequence[BuilderStream], reorder_events: int, late_s: float | None, stream_bytes: int
) -> None:
    """Raise `UsageError` if no events can be built of these streams with these limits."""
    if all(stream.optional for stream in streams):
        raise UsageError("events need at least one stream that is not optional")
    names = [stream.name for stream in streams]
    if twice := {name for name in names if names.count(name) > 1}:
        raise UsageError(f"stream {min(twice)!r} is there twice; every stream needs its own name")
    if reorder_events < 0:
        raise UsageError(f"reorder_events is {reorder_events}; it must be 0 or more")
    if stream_bytes < 1:
        raise UsageError(f"stream_bytes is {stream_bytes}; at least one byte of each stream must be held")
    if late_s is not None and not 0 < late_s < float("inf"):
        raise UsageError(f"late_s is {late_s}; it must be a positive number of seconds, or none to wait for ever")


def check_clock(streams: Sequence[BuilderStream], tolerance: float, *, has_map: bool) -> None:
    """Raise `UsageError` if these streams cannot be joined by a clock."""
    if has_map:
        raise UsageError("streams are joined by a clock or by a trigger map, not by both: leave one out")
    if streams[0].optional:
        raise UsageError(f"stream {streams[0].name!r} opens the events of a clock join: it cannot be optional")
    if not 0 <= tolerance < float("inf"):
        raise UsageError(f"clock_tolerance is {tolerance}; it must be 0 or more")
