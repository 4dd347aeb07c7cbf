"""Complete events in memory, bounded in bytes, from the moment they are built until they are acknowledged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from glimt.engines.event_block import LARGE_BYTES, OWN_PART, Layout, QueuedEvent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glimt.engines.frame_memory import FrameMemory
    from glimt.pipeline.built_event import BuiltEvent

EVENT_BYTES = 600
"""What an event takes beside its frames, about [bytes]."""


class EventQueue:
    """Takes in events as far as there is room: large frames into shared memory, small ones as they are.

    Parameters
    ----------
    n_bytes : int
        How much the events may take.
    memory : FrameMemory or None
        For large frames; without it all are kept as they came.
    is_shared : bool
        Whether all workers are where the memory is. Otherwise large frames are kept and sent as they came: a message
        that waits for a slow or vanished worker keeps its frames, whatever becomes of the event.

    Attributes
    ----------
    n_bytes : int
        The bound.
    used_bytes : int
        What is taken.
    """

    def __init__(self, n_bytes: int, memory: FrameMemory | None, *, is_shared: bool = True) -> None:
        self.n_bytes = n_bytes
        self.used_bytes = 0
        self.memory = memory if is_shared else None
        self._is_shared = is_shared
        self._layouts: dict[Layout, Layout] = {}
        self._previous_ns = -1

    def begin_scan(self) -> None:
        """Note that the next event is the first of its scan."""
        self._previous_ns = -1

    @property
    def is_full(self) -> bool:
        """Whether there is no room even for a small event."""
        return self.used_bytes >= self.n_bytes

    def take(self, event: BuiltEvent) -> QueuedEvent | None:
        """Return the event as it is kept, ``None`` if there is no room; one event always fits into an empty queue."""
        parts = event.parts
        layout: Layout
        if len(parts) == 1:  # the usual case, written out: generators cost more than what they do here
            ((index, only),) = parts
            frames, layout = list(only), ((index, len(only)),)
        else:
            layout = tuple([(index, len(frames)) for index, frames in parts])
            frames = [frame for _, several in parts for frame in several]
        layout = self._layouts.setdefault(layout, layout)
        sizes = list(map(len, frames))
        n_bytes = sum(sizes) + EVENT_BYTES
        if self.used_bytes and self.used_bytes + n_bytes > self.n_bytes:
            return None
        places: list[int] | None = None
        if max(sizes, default=0) < LARGE_BYTES:
            pass
        elif not self._is_shared:
            places = [OWN_PART if size >= LARGE_BYTES else -1 for size in sizes]
        elif self.memory is not None:
            places = self._place(frames, sizes)
            if places is None and self.used_bytes:
                return None
        self.used_bytes += n_bytes
        previous_ns, self._previous_ns = self._previous_ns, event.created_ns
        queued = QueuedEvent(event.event_number, event.created_ns, previous_ns, layout, frames, sizes, places)
        queued.n_bytes = n_bytes
        return queued

    def _place(self, frames: list[Any], sizes: list[int]) -> list[int] | None:
        """Put the large frames into shared memory; all or, if one does not fit, none."""
        assert self.memory is not None
        places: list[int] = []
        for frame, size in zip(frames, sizes, strict=True):
            place = self.memory.put(frame) if size >= LARGE_BYTES else -1
            if place is None:
                self._free(places)
                return None
            places.append(place)
        for index, place in enumerate(places):
            if place >= 0:
                frames[index] = None
        return places

    def release(self, event: QueuedEvent) -> None:
        """Forget a finished event; its frames stay where they are as long as somebody keeps them."""
        self.used_bytes -= event.n_bytes
        event.is_released = True
        if event.places is not None and not event.n_keepers:
            self._free(event.places)

    def keep(self, event: QueuedEvent) -> None:
        """Leave the frames of an event alone: a user's object in a worker holds them."""
        event.n_keepers += 1

    def give_back(self, event: QueuedEvent) -> None:
        """Note that one of those who keep its frames is gone."""
        event.n_keepers -= 1
        if event.is_released and event.places is not None and not event.n_keepers:
            self._free(event.places)

    def _free(self, places: Sequence[int]) -> None:
        for place in places:
            if place >= 0 and self.memory is not None:
                self.memory.free(place)
