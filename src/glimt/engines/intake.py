"""From the sources to complete events, scan after scan; the same in every engine."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from glimt.codecs.protocol import PacketKind
from glimt.model.errors import DecodeError, UsageError
from glimt.model.trigger_map import TriggerMap

if TYPE_CHECKING:
    from glimt.pipeline.built_event import BuiltEvent
    from glimt.pipeline.event_builder import EventBuilder
    from glimt.pipeline.live_stream import LiveStream, StreamItem

READ_MESSAGES = 256
"""Most messages taken from a source at a time: other sources, workers and the operator must be heard, too."""
READ_BYTES = 16 << 20
"""Most that is taken at a time, going by what came before [bytes]: it does not count for the queue yet."""
_EARLY_ITEMS, _EARLY_BYTES = 1024, 64 << 20
_KEPT_BAD = 4


class MessageSource(Protocol):
    """What the ingester needs of a source; see `glimt.sources.message_source`."""

    @property
    def address(self) -> str:
        """Where messages come from, with the port that was taken."""
        ...

    @property
    def socket(self) -> Any:
        """What can be polled: readable while a message is there."""
        ...

    def receive_ready(self, limit: int) -> list[list[Any]]:
        """Return what is there, without waiting."""
        ...

    def state(self) -> Any:
        """Return counters and what is known about the connection, as a struct."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


@dataclass(slots=True)
class StreamInput:
    """One stream of the run.

    Attributes
    ----------
    live : LiveStream
        Its series, and its account.
    source : MessageSource
        Where its messages come from.
    when_full : str
        What happens when its events find no room: ``"block"``, ``"drop-oldest"`` or ``"spill"``.
    describe : callable or None
        Given the frames of a series' start packet and of a data packet, what is worth telling the operator of them, as
        plain values; asked once a series.
    described : dict
        What it returned last.
    bad_messages : list
        The first messages that broke the protocol, for the doctor.
    """

    live: LiveStream
    source: MessageSource
    when_full: str = "block"
    describe: Callable[[Sequence[Any], Sequence[Any]], dict[str, Any]] | None = None
    described: dict[str, Any] = field(default_factory=dict)
    bad_messages: list[list[Any]] = field(default_factory=list)
    start_frames: Sequence[Any] | None = None
    # Explicit mode, while no scan runs: what has come of a series that began after the last scan.
    early: deque[StreamItem] = field(default_factory=deque)
    early_bytes: int = 0
    leaves_out: bool = False
    read_limit: int = 1  # messages to be taken next time


class Intake:
    """Reads sources and builds events.

    Parameters
    ----------
    streams : sequence of StreamInput
        All streams; the index in here is the stream index everywhere.
    make_builder : callable
        Returns the builder of a scan, given its trigger map or ``None``.
    automatic : bool
        A scan begins with the start packets of the streams; otherwise with `begin`.

    Attributes
    ----------
    builder : EventBuilder or None
        Of the scan that runs.
    is_stopped : bool
        The operator ended the scan.
    is_closed : bool
        No scan begins any more; whatever comes is counted as dropped.
    """

    def __init__(
        self,
        streams: Sequence[StreamInput],
        make_builder: Callable[[TriggerMap | None], EventBuilder],
        *,
        automatic: bool,
    ) -> None:
        self.streams = list(streams)
        self._make_builder = make_builder
        self.automatic = automatic
        self.is_stopped = False
        self.is_closed = False
        self.trigger_map: TriggerMap | None = None
        self.builder: EventBuilder | None = make_builder(None) if automatic else None
        self._events: deque[BuiltEvent] = deque()
        self._is_held_up = False
        self._ticked_ns = 0

    @property
    def names(self) -> list[str]:
        """Names of the streams."""
        return [stream.live.name for stream in self.streams]

    @property
    def is_ended(self) -> bool:
        """Whether every event of the scan has been taken."""
        return self.builder is not None and self.builder.is_ended and not self._events

    def may_read(self, index: int) -> bool:
        """Tell whether messages of a stream can be taken now."""
        return not self._events and (self.builder is None or self.builder.may_read(index))

    def read(self, index: int, now_ns: int) -> int:
        """Take what a source has; return how many messages that was."""
        stream = self.streams[index]
        try:
            messages = stream.source.receive_ready(stream.read_limit)
        except DecodeError as error:
            stream.live.ledger.refuse_bad(error)
            return 1
        if messages:
            ledger = stream.live.ledger
            bad, before = ledger.dropped.get("bad", 0), ledger.received_bytes
            items = stream.live.push_many(messages, now_ns)
            n_fitting = READ_BYTES * len(messages) // max(1, ledger.received_bytes - before)
            stream.read_limit = max(1, min(READ_MESSAGES, 2 * stream.read_limit, n_fitting))
            if len(stream.bad_messages) < _KEPT_BAD and not items:
                _keep_bad(stream, messages, ledger.dropped.get("bad", 0) - bad)
            if items:
                if stream.start_frames is not None or items[0].kind is PacketKind.START:
                    _describe(stream, items)
                self._push(index, items, now_ns)
        return len(messages)

    def _push(self, index: int, items: list[StreamItem], now_ns: int) -> None:
        stream, builder = self.streams[index], self.builder
        if self.is_closed and (builder is None or builder.is_ended):
            for item in items:
                _drop(stream, item, "stopped")
            return
        if builder is None:
            self._hold_early(stream, items)
            return
        if stream.leaves_out:
            items = self._behind_stop(stream, items)
        builder.push(index, items, now_ns)
        self._events.extend(builder.ready())

    def _behind_stop(self, stream: StreamInput, items: list[StreamItem]) -> list[StreamItem]:
        """Leave out what is still coming of a series whose scan was stopped."""
        for position, item in enumerate(items):
            if item.kind is PacketKind.START:
                stream.leaves_out = False
                return items[position:]
            _drop(stream, item, "stopped")
        return []

    def _hold_early(self, stream: StreamInput, items: list[StreamItem]) -> None:
        """Keep the beginning of a series for the map that is about to come; without a start packet it is of no use."""
        for item in items:
            if item.kind is PacketKind.START:
                self._drop_early(stream)
                stream.early.append(item)
                stream.early_bytes = item.n_bytes
            elif 0 < len(stream.early) < _EARLY_ITEMS and stream.early_bytes + item.n_bytes <= _EARLY_BYTES:
                stream.early.append(item)
                stream.early_bytes += item.n_bytes
            else:
                self._drop_early(stream)
                _drop(stream, item, "no_scan")

    def _drop_early(self, stream: StreamInput) -> None:
        while stream.early:
            _drop(stream, stream.early.popleft(), "no_scan")

    def tick(self, now_ns: int) -> None:
        """Give up what is late; to be called several times a second.

        While events wait for room no stream is read: what is not there then is not late.
        """
        if self.builder is not None:
            if self._is_held_up:
                self.builder.hold_up(max(0, now_ns - self._ticked_ns))
            self.builder.tick(now_ns)
            self._events.extend(self.builder.ready())
        self._is_held_up, self._ticked_ns = bool(self._events), now_ns

    def peek(self) -> BuiltEvent | None:
        """Return the next complete event, ``None`` if there is none."""
        return self._events[0] if self._events else None

    def pop(self) -> None:
        """Remove the event that `peek` returned."""
        self._events.popleft()
        self._is_held_up = self._is_held_up and bool(self._events)

    @property
    def n_ready(self) -> int:
        """Complete events that wait for room."""
        return len(self._events)

    def begin(self, trigger_map: TriggerMap, slots: Sequence[frozenset[str]], now_ns: int) -> None:
        """Begin a scan with a trigger map; the one before must have ended.

        Parameters
        ----------
        trigger_map : TriggerMap
            The map.
        slots : sequence of frozenset of str
            Tags of the workers that there are.
        now_ns : int
            UTC [ns].

        Raises
        ------
        UsageError
            The run is in automatic mode, or the map does not fit its streams or workers.
        """
        if self.automatic:
            raise UsageError(
                'scans begin with the detectors (events.mode = "automatic"): this run takes no trigger map'
            )
        trigger_map.check(self.names, slots)
        self.trigger_map = trigger_map
        self.builder = builder = self._make_builder(trigger_map)
        self.is_stopped = False
        for index, stream in enumerate(self.streams):
            stream.leaves_out = False
            early = list(stream.early)
            stream.early.clear()
            if early:
                builder.push(index, early, now_ns)
        self._events.extend(builder.ready())

    def stop(self, now_ns: int, *, last: bool = False) -> None:
        """End the scan with what is complete; after the ``last`` none begins any more."""
        self.is_closed = self.is_closed or last
        if last:
            for stream in self.streams:
                while stream.early:
                    _drop(stream, stream.early.popleft(), "stopped")
        if self.builder is None or self.builder.is_ended:
            return
        self.is_stopped = True
        self.builder.stop(now_ns)
        self._events.extend(self.builder.ready())
        for index, stream in enumerate(self.streams):
            stream.leaves_out = stream.live.is_open and not self.builder.has_next_scan(index)

    def end_scan(self, now_ns: int) -> None:
        """Forget the scan that has ended; in automatic mode be ready for the next, which may have begun."""
        old, self.builder, self.trigger_map = self.builder, None, None
        self.is_stopped = False
        later = old.next_scan() if old is not None else []
        if self.automatic and not self.is_closed:
            self.builder = self._make_builder(None)
        for index, items in enumerate(later):
            if items:
                self._push(index, items, now_ns)

    def close(self) -> None:
        """Close the sources."""
        for stream in self.streams:
            stream.source.close()


def _drop(stream: StreamInput, item: StreamItem, reason: Any) -> None:
    if item.frames:  # the mark of a series that was broken off is no packet
        stream.live.ledger.drop(reason)


def _describe(stream: StreamInput, items: Sequence[StreamItem]) -> None:
    """Look once a series at what its header and its first frame say."""
    for item in items:
        if item.kind is PacketKind.START:
            stream.start_frames = item.frames
        elif stream.start_frames is not None:
            if stream.describe is not None and item.kind is PacketKind.DATA:
                stream.described = stream.describe(stream.start_frames, item.frames)
            stream.start_frames = None


def _keep_bad(stream: StreamInput, messages: Sequence[list[Any]], n_bad: int) -> None:
    """Keep messages as examples, if all that came together were bad: then it is certain which ones."""
    if n_bad == len(messages):
        stream.bad_messages += messages[: _KEPT_BAD - len(stream.bad_messages)]
