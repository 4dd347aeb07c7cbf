"""Builds events from the items of several streams: joined by number, given out strictly in the order of events.

In automatic mode event 0 is the start packets of all streams, data number k of every stream is event k + 1, and the
end packets are the last event, one behind the largest data event. With a trigger map the packets of a stream take its
entries that are not null, in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from typing import Any, Literal

from glimt.codecs.protocol import PacketKind
from glimt.pipeline.builder_stream import BuilderStream, StreamState, check_clock, check_streams
from glimt.pipeline.built_event import BuiltEvent, OpenEvent
from glimt.pipeline.clock_join import ClockJoin, ClockMatch
from glimt.pipeline.event_positions import OUTSIDE, AutomaticPositions, EventMap, MapPositions
from glimt.pipeline.ledger import DropReason
from glimt.pipeline.live_stream import StreamItem

STREAM_BYTES = 256 << 20
"""How much of a stream may wait for the others by default [bytes]."""

_START, _DATA, _END = PacketKind.START, PacketKind.DATA, PacketKind.END


class EventBuilder:
    """Builds the events of one scan; the next scan needs a new one, which gets `next_scan`.

    An event waits until every stream has its part, or the part has been given up: the stream has shown a number that
    is ``reorder_events`` larger, has ended, is full (so that two streams can never wait for each other), or ``late_s``
    have passed since the event's first part. A part given up is counted as missing. A stream that was given up
    because it was late, and is not ahead, holds up no further event until it shows something again.

    In automatic mode the end event waits for the end packets of all streams that are not optional. If one never
    comes, it closes ``late_s`` after that stream showed something last, and with what end packets there are, whatever
    ``incomplete``. If none comes at all, the scan goes on until a start packet follows, or `stop`.

    With ``clock_tolerance`` the items carry clocks: the data of the first stream open the events, those of the others
    join the nearest (see `ClockJoin`) or are dropped as ``incomplete`` if none is near enough.

    Parameters
    ----------
    streams : sequence of BuilderStream
        At least one that is not optional; with a clock the first must be such.
    trigger_map : EventMap, optional
        Which packet belongs to which event.
    reorder_events : int
        A part is given up when its stream has shown a number larger by so many; 0 and 1 for streams that keep order.
    late_s : float or None
        How long an event waits for a stream that shows nothing [s]; ``None`` waits for ever. A start packet that comes
        when its scan has ended without it is taken for that of the next scan.
    incomplete : {"drop", "deliver"}
        What becomes of the other parts of an event of which one was given up.
    stream_bytes : int
        How much of each stream may wait [bytes], with `ITEM_BYTES` for each packet. A push may exceed it.
    clock_tolerance : float, optional
        Largest difference to the event that is joined, in the unit of the clocks.

    Attributes
    ----------
    is_ended : bool
        The last event has been closed.
    n_delivered, n_incomplete, n_missed : int
        Events given out; dropped because a part was given up; of which no part came at all.

    Raises
    ------
    UsageError
        These do not go together; the text says why.
    """

    def __init__(
        self,
        streams: Sequence[BuilderStream],
        *,
        trigger_map: EventMap | None = None,
        reorder_events: int = 8,
        late_s: float | None = 30.0,
        incomplete: Literal["drop", "deliver"] = "drop",
        stream_bytes: int = STREAM_BYTES,
        clock_tolerance: float | None = None,
    ) -> None:
        self._has_map = trigger_map is not None
        check_streams(streams, reorder_events, late_s, stream_bytes)
        if clock_tolerance is not None:
            check_clock(streams, clock_tolerance, has_map=self._has_map)
        self._states = [
            StreamState(index, stream.ledger, stream.optional and not self._has_map, stream_bytes)
            for index, stream in enumerate(streams)
        ]
        self._required = [state for state in self._states if not state.is_optional]
        self._several_series = [stream.several_series and self._has_map for stream in streams]
        names = [stream.name for stream in streams]
        self._positions: AutomaticPositions | MapPositions = (
            AutomaticPositions(len(names)) if trigger_map is None else MapPositions(trigger_map, names)
        )
        self._clock = None if clock_tolerance is None else ClockJoin(len(names), clock_tolerance)
        self._reorder = max(1, reorder_events)
        self._late_ns = None if late_s is None else round(late_s * 1e9)
        self._keeps_incomplete = incomplete == "deliver"
        self._passes_through = len(names) == 1 and not self._has_map
        self._next = 0
        self._open: dict[int, OpenEvent] = {}
        self._order: list[int] = []
        self._ready: list[BuiltEvent] = []
        self._first_end_ns: int | None = None
        self._held_up_ns = 0
        self.is_ended = False
        self.n_delivered = self.n_incomplete = self.n_missed = 0

    @property
    def last_number(self) -> int:
        """The largest event number that is closed, -1 for none."""
        return self._next - 1

    @property
    def n_events_closed(self) -> int:
        """Number of events that are closed, whatever became of them."""
        return self._next

    def held_bytes(self, stream_index: int) -> int:
        """Return how much of a stream waits here [bytes], with `ITEM_BYTES` for each packet."""
        return self._states[stream_index].held_bytes

    def n_held(self, stream_index: int) -> int:
        """Return how many packets of a stream wait here."""
        return self._states[stream_index].n_held

    def may_read(self, stream_index: int) -> bool:
        """Return whether more of a stream may be read: one that is too far ahead waits for the others."""
        return not self._states[stream_index].is_full

    def push(self, stream_index: int, items: Sequence[StreamItem], now_ns: int) -> None:
        """Take items of one stream, in the order in which `LiveStream` gave them."""
        if not items:
            return
        now_ns -= self._held_up_ns
        state = self._states[stream_index]
        state.last_ns = now_ns
        if self._clock is not None:
            for item in items:
                state.hold(item)
            self._take_matches(self._clock.push(stream_index, items), now_ns)
        elif self._passes_through and not self.is_ended:
            self._pass_through(state, items, now_ns)
        else:
            for item in items:
                self._take(state, item, now_ns)
        self._advance(now_ns)

    def ready(self) -> list[BuiltEvent]:
        """Return the events that have been completed since the last call, in order; they are the caller's now."""
        events, self._ready = self._ready, []
        return events

    def tick(self, now_ns: int) -> None:
        """Give up what is late; call it now and then, whether something comes or not."""
        late_ns = self._late_ns
        if self.is_ended or late_ns is None:
            return
        if self._clock is not None:
            self._take_matches(self._clock.settle(now_ns - late_ns // 2), now_ns - self._held_up_ns)
        now_ns -= self._held_up_ns
        if self._first_end_ns is not None:
            for state in self._required:
                if not state.has_ended and now_ns - max(self._first_end_ns, state.last_ns) >= late_ns:
                    state.has_ended = True
        self._advance(now_ns)

    def hold_up(self, duration_ns: int) -> None:
        """Note that no stream could be read for so long [ns]: nothing is late because of that."""
        self._held_up_ns += duration_ns

    def stop(self, now_ns: int, *, deliver_waiting: bool = True) -> None:
        """End the scan now.

        Complete events that wait behind one that is not are given out if ``deliver_waiting``, incomplete ones only if
        ``incomplete="deliver"``; the rest is dropped as ``stopped``. What was sent of the next scan stays.
        """
        if self.is_ended:
            return
        self._advance(now_ns - self._held_up_ns)
        if self._clock is not None:
            for match in self._clock.drain():
                state = self._states[match.stream_index]
                state.release(match.item)
                self._drop(state, match.item, "stopped")
        for number in sorted(self._open):
            event = self._open.pop(number)
            self._next = number + 1
            is_complete = not any(i not in event.parts and not self._states[i].is_optional for i in event.needed)
            if deliver_waiting and (is_complete or self._keeps_incomplete):
                self._deliver(number, event.parts, event.map_event)
            else:
                self._drop_parts(event.parts, "stopped")
        self._drop_parts(self._take_ends(), "stopped")
        self.is_ended = True

    def next_scan(self) -> list[list[StreamItem]]:
        """Return what each stream has sent of the next scan; push it to its builder. It is no longer held here."""
        later = []
        for state in self._states:
            for item in state.next_scan:
                state.release(item)
            later.append(state.next_scan)
            state.next_scan = []
        return later

    def has_next_scan(self, stream_index: int) -> bool:
        """Tell whether a stream has begun the next scan, which is kept for `next_scan`."""
        return bool(self._states[stream_index].next_scan)

    # From here on: one item into the open events.

    def _pass_through(self, state: StreamState, items: Iterable[StreamItem], now_ns: int) -> None:
        """Take items of the only stream: those in order are events as they are."""
        append, number = self._ready.append, self._next
        for item in items:
            if item.kind is _DATA and item.number + 1 == number and not self._open and number and not state.has_ended:
                append(BuiltEvent(number, _DATA, [(0, item.frames)], item.n_bytes, item.created_ns))
                state.shown = number
                number += 1
            else:
                self.n_delivered += number - self._next
                self._next = number
                self._take(state, item, now_ns)
                self._advance(now_ns)
                number = self._next
        self.n_delivered += number - self._next
        self._next = number

    def _take_matches(self, matches: Iterable[ClockMatch], now_ns: int) -> None:
        for match in matches:
            state = self._states[match.stream_index]
            state.release(match.item)
            if match.is_matched:
                self._take(state, match.item, now_ns)
            else:
                state.shown = max(state.shown, match.item.number + 1)
                self._drop(state, match.item, "incomplete")

    def _take(self, state: StreamState, item: StreamItem, now_ns: int) -> None:
        goes_on = self._several_series[state.index] and not state.has_ended
        is_next = item.kind is _START and state.has_started and not goes_on
        if is_next or state.next_scan or (item.kind is _START and self.is_ended):
            state.hold(item)
            state.next_scan.append(item)
        elif not state.has_started and item.kind is not _START:
            self._drop(state, item, "outside")
        elif self.is_ended and not self._has_map:
            self._drop(state, item, "late")
        elif item.kind is _END and not self._has_map:
            self._end_series(state, item, now_ns)
        else:
            self._put(state, item, self._position(state, item), now_ns)

    def _end_series(self, state: StreamState, item: StreamItem, now_ns: int) -> None:
        state.has_ended = True
        state.is_broken_off = not item.frames
        if not state.is_optional and self._first_end_ns is None:
            self._first_end_ns = now_ns
        if item.frames:
            state.hold(item)
            state.end_item = item

    def _position(self, state: StreamState, item: StreamItem) -> int:
        """Return the position of a packet in the scan; a start begins a series, an end may be the end of its stream."""
        if item.kind is _START:
            state.has_started = True
            return state.base
        position = state.base + 1 + item.number
        if item.kind is _DATA:
            return position if self._positions.is_for_data(state.index, position) else OUTSIDE
        last = self._positions.last_position(state.index, position)
        if not self._several_series[state.index]:
            position = last
        state.base = position + 1
        state.has_ended = position >= last
        state.is_broken_off = not item.frames
        return position

    def _put(self, state: StreamState, item: StreamItem, position: int, now_ns: int) -> None:
        if not item.frames and item.kind is _END:  # the mark of a series that was broken off is no packet
            return
        state.shown = max(state.shown, position)
        number = self._positions.event_of(state.index, position)
        if number == OUTSIDE:
            self._drop(state, item, "outside")
            return
        event = self._open.get(number)
        if event is None:
            map_event, needed = self._positions.look_up(number)
            event = OpenEvent(now_ns, map_event, needed)
        if state.index not in event.needed:
            self._drop(state, item, "discarded")
        elif number < self._next or self.is_ended:
            self._drop(state, item, "late")
        elif state.index in event.parts:
            self._drop(state, item, "repeated")
        else:
            if not event.parts:
                self._open[number] = event
                heappush(self._order, number)
            event.parts[state.index] = item
            state.is_silent = False
            state.hold(item)

    # From here on: open events out, in order.

    def _advance(self, now_ns: int) -> None:
        last = self._positions.last_event
        while not self.is_ended:
            number = self._next
            if last is not None and number > last:
                self.is_ended = True
                return
            event = self._open.get(number)
            if event is None:
                if not self._skip(number, now_ns):
                    break
            elif len(event.parts) == len(event.needed) or self._is_given_up(number, event, now_ns):
                self._close(number, event)
            else:
                return
        if not self._has_map and not self.is_ended and all(state.has_ended for state in self._required):
            self._close_end()

    def _is_given_up(self, number: int, event: OpenEvent, now_ns: int) -> bool:
        """Return whether an event need not wait for any part that it does not have."""
        absent = [self._states[index] for index in event.needed if index not in event.parts]
        return all(
            self._given_up_before(state, number, number + 1, event.first_ns, now_ns) > number for state in absent
        )

    def _given_up_before(self, state: StreamState, number: int, end: int, first_ns: int | None, now_ns: int) -> int:
        """Return up to which event, from ``number`` to before ``end``, nothing more is expected of a stream."""
        if state.has_ended or state.is_silent or state.is_full:
            return end
        position = self._positions.position_of(state.index, number)
        if self._late_ns is not None and first_ns is not None and now_ns - first_ns >= self._late_ns:
            state.is_silent = state.shown < position
            return end
        shown = state.shown
        if state.is_optional:
            if number and not state.has_started:
                return end
            shown = min((other.shown for other in self._required if not other.has_ended), default=end + self._reorder)
        return min(end, number + max(0, shown - self._reorder - position + 1))

    def _skip(self, number: int, now_ns: int) -> bool:
        """Give up events of which nothing is there, as far as that is known; return whether there was one."""
        order = self._order
        while order and order[0] < number:
            heappop(order)
        first = self._open[order[0]] if order else None
        if not self._has_map and first is None:
            return False
        needed = self._positions.needed_at_front(number) if self._has_map else [state.index for state in self._required]
        end = number + 1 if self._has_map else order[0]
        first_ns = None if first is None else first.first_ns
        for index in needed:
            end = min(end, self._given_up_before(self._states[index], number, end, first_ns, now_ns))
        if end <= number:
            return False
        for index in needed:
            self._states[index].ledger.miss(number, end - 1)
        self.n_missed += end - number if needed else 0
        self._next = end
        return True

    def _close(self, number: int, event: OpenEvent) -> None:
        del self._open[number]
        self._next = number + 1
        parts = event.parts
        if len(parts) < len(event.needed):
            absent = [self._states[index] for index in event.needed if index not in parts]
            missing = [state for state in absent if not state.is_optional]
            for state in missing:
                state.ledger.miss(number, number)
            if missing and not self._keeps_incomplete:
                self.n_incomplete += 1
                self._drop_parts(parts, "aborted" if any(state.is_broken_off for state in missing) else "incomplete")
                return
        self._deliver(number, parts, event.map_event)

    def _close_end(self) -> None:
        number = self._next
        for state in self._required:
            if state.end_item is None:
                state.ledger.miss(number, number)
        parts = self._take_ends()
        self._next = number + 1
        if parts:
            self._deliver(number, parts, None)
        self.is_ended = True

    def _take_ends(self) -> dict[int, StreamItem]:
        ends = {state.index: state.end_item for state in self._states if state.end_item is not None}
        for state in self._states:
            state.end_item = None
        return ends

    def _deliver(self, number: int, parts: dict[int, StreamItem], map_event: Any) -> None:
        indexes = sorted(parts) if len(parts) > 1 else parts
        size, created_ns, out = 0, 0, []
        for index in indexes:
            item = parts[index]
            self._states[index].release(item)
            size += item.n_bytes
            created_ns = min(created_ns or item.created_ns, item.created_ns)
            out.append((index, item.frames))
        self._ready.append(BuiltEvent(number, item.kind, out, size, created_ns, map_event))
        self.n_delivered += 1

    def _drop_parts(self, parts: dict[int, StreamItem], reason: DropReason) -> None:
        for index, item in parts.items():
            self._states[index].release(item)
            self._drop(self._states[index], item, reason)

    @staticmethod
    def _drop(state: StreamState, item: StreamItem, reason: DropReason) -> None:
        if item.frames:  # the mark of a series that was broken off is no packet
            state.ledger.drop(reason)
