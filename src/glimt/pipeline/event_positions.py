"""Which packet of a stream belongs to which event: by number in automatic mode, by the trigger map in explicit mode.

The *position* of a packet counts the packets of its stream over the scan: 0 is the start packet, 1 the first data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from glimt.model.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

OUTSIDE = -1
"""`event_of` a packet that no event is for."""


class MapEventPattern(Protocol):
    """One event of a trigger map."""

    @property
    def pattern(self) -> Sequence[tuple[int, Sequence[Any]]]:
        """Index of the stream in the map and its targets' shapes, for every stream with a packet; none: discard."""
        ...


class EventMap(Protocol):
    """What the event builder needs of a trigger map."""

    @property
    def streams(self) -> Sequence[str]:
        """Names of the streams."""
        ...

    @property
    def n_events(self) -> int:
        """Number of events."""
        ...

    @property
    def is_wrapped(self) -> bool:
        """Whether the last event is that of the end packets."""
        ...

    def event(self, number: int, /) -> MapEventPattern:
        """Return one event."""
        ...

    def n_frames(self, stream: int, /) -> int:
        """Return how many entries of a stream are not null."""
        ...

    def frame_index(self, stream: int, event: int, /) -> int | None:
        """Return which of the entries of a stream that are not null is that of ``event``, ``None`` if it is null."""
        ...

    def event_of_frame(self, stream: int, frame: int, /) -> int | None:
        """Return the event of the ``frame``-th entry that is not null, ``None`` if there are not so many."""
        ...


class AutomaticPositions:
    """Automatic mode: every stream has a packet for every event, at the position that is the event's number."""

    last_event: int | None = None

    def __init__(self, n_streams: int) -> None:
        self._all = tuple(range(n_streams))

    def event_of(self, _stream: int, position: int) -> int:
        """Return the event of a packet."""
        return position

    def position_of(self, _stream: int, event: int) -> int:
        """Return where in its stream the packet of an event is."""
        return event

    def look_up(self, _event: int) -> tuple[None, tuple[int, ...]]:
        """Return what the trigger map says (nothing), and the streams that have a packet for the event."""
        return None, self._all

    def needed_at_front(self, _event: int) -> tuple[int, ...]:
        """Return the streams that have a packet for the event which is the next to be closed."""
        return self._all

    def last_position(self, _stream: int, position: int) -> int:
        """Return where the end packet of a stream is, whose own number says ``position``."""
        return position

    def is_for_data(self, _stream: int, _position: int) -> bool:
        """Return whether a data packet may be at this position."""
        return True


class MapPositions:
    """Explicit mode: the packets of a stream take the entries of the trigger map that are not null, in order.

    Parameters
    ----------
    trigger_map : EventMap
        The map.
    streams : sequence of str
        The streams as the event builder counts them. One that the map does not name has no packets.

    Raises
    ------
    UsageError
        The map names a stream that is not there.
    """

    def __init__(self, trigger_map: EventMap, streams: Sequence[str]) -> None:
        names = list(trigger_map.streams)
        if unknown := set(names) - set(streams):
            raise UsageError(f"streams {unknown} not available")
        self._map = trigger_map
        self._map_index = {streams.index(name): index for index, name in enumerate(names)}
        self._stream_of = [streams.index(name) for name in names]
        self._n = {index: trigger_map.n_frames(number) for index, number in self._map_index.items()}
        self.last_event: int | None = trigger_map.n_events - 1
        self._ends_with_end = trigger_map.is_wrapped
        self._pattern: Sequence[tuple[int, Sequence[Any]]] | None = None
        self._needed: tuple[int, ...] = ()
        self._front = -1
        self._front_needed: tuple[int, ...] = ()
        self._looked_up = -1
        self._known: tuple[MapEventPattern, tuple[int, ...]]

    def event_of(self, stream: int, position: int) -> int:
        """Return the event of a packet, `OUTSIDE` if the map has none for it."""
        index = self._map_index.get(stream)
        event = None if index is None else self._map.event_of_frame(index, position)
        return OUTSIDE if event is None else event

    def position_of(self, stream: int, event: int) -> int:
        """Return where in its stream the packet of an event is."""
        position = self._map.frame_index(self._map_index[stream], event)
        return OUTSIDE if position is None else position

    def look_up(self, event: int) -> tuple[MapEventPattern, tuple[int, ...]]:
        """Return what the trigger map says, and the streams that have a packet for the event that is not left out."""
        if self._looked_up != event:
            map_event = self._map.event(event)
            pattern = map_event.pattern
            if pattern is not self._pattern:  # most events have the very same
                self._pattern = pattern
                self._needed = tuple(self._stream_of[index] for index, shape in pattern if shape)
            self._looked_up, self._known = event, (map_event, self._needed)
        return self._known

    def needed_at_front(self, event: int) -> tuple[int, ...]:
        """Return the streams that have a packet for the event which is the next to be closed.

        It is asked for again and again while another stream is far ahead; a trigger map is fast in order only.
        """
        if self._front != event:
            self._front, self._front_needed = event, self.look_up(event)[1]
        return self._front_needed

    def last_position(self, stream: int, position: int) -> int:
        """Return where the end packet of a stream is, whose own number says ``position``.

        It is the stream's last entry, however many packets before it were lost. Without the wrap a map may have no
        entry for it: if all entries are taken, it is behind them.
        """
        last = self._n.get(stream, 0) - 1
        return last if self._ends_with_end else max(last, position)

    def is_for_data(self, stream: int, position: int) -> bool:
        """Return whether a data packet may be at this position: the last of a wrapped map is for the end packet."""
        return position < self._n.get(stream, 0) - self._ends_with_end
