"""Joins streams by a clock: the first stream's data open the events, the others join the one nearest in time."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from glimt.codecs.protocol import PacketKind
from glimt.pipeline.live_stream import StreamItem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

REFERENCE = 0
"""Index of the stream whose data open the events."""

MAX_CLOCKS = 1 << 17
"""How many of the reference's clocks are remembered: the older half goes first."""

_DATA, _END = PacketKind.DATA, PacketKind.END


class ClockMatch(NamedTuple):
    """An item on its way from the clock join to the events.

    Attributes
    ----------
    stream_index : int
        Its stream.
    item : StreamItem
        The item; ``number`` of a follower's data is that of the reference's.
    is_matched : bool
        ``False`` for data that no event is near enough to; ``number`` is then that of the last one before it.
    """

    stream_index: int
    item: StreamItem
    is_matched: bool = True


class ClockJoin:
    """Gives the data of all other streams the number of the nearest data packet of the first.

    Which is nearest is known when the first stream has shown a clock that is not smaller: until then the packet is
    held, and those after it, so that the result does not depend on which stream is faster.

    Parameters
    ----------
    n_streams : int
        Number of streams; number `REFERENCE` opens the events.
    tolerance : float
        Largest difference to the event that is joined, in the unit of the clocks.
    """

    def __init__(self, n_streams: int, tolerance: float) -> None:
        self._tolerance = tolerance
        self._clocks: list[tuple[float, int]] = []
        self._latest = float("-inf")
        self._is_over = [False] * n_streams
        self._held: list[deque[StreamItem]] = [deque() for _ in range(n_streams)]

    def push(self, stream_index: int, items: Iterable[StreamItem]) -> Iterator[ClockMatch]:
        """Take items of one stream, yield those of all streams that can go on."""
        if stream_index != REFERENCE:
            self._held[stream_index].extend(items)
            yield from self._release(stream_index)
            return
        for item in items:
            if not self._is_over[REFERENCE]:
                self._note(item)
            yield ClockMatch(REFERENCE, item)
        for follower in range(1, len(self._held)):
            yield from self._release(follower)

    def settle(self, created_before_ns: int) -> Iterator[ClockMatch]:
        """Yield what was received before a time and still waits for the reference, matched with what is there."""
        for follower in range(1, len(self._held)):
            yield from self._release(follower, created_before_ns)

    def drain(self) -> Iterator[ClockMatch]:
        """Yield all that is held, unmatched."""
        for index, held in enumerate(self._held):
            while held:
                yield ClockMatch(index, held.popleft(), is_matched=False)

    def _note(self, item: StreamItem) -> None:
        if item.kind is _END:
            self._is_over[REFERENCE] = True
        elif item.kind is _DATA and item.clock is not None:
            insort(self._clocks, (item.clock, item.number))
            self._latest = max(self._latest, item.clock)
            if len(self._clocks) > MAX_CLOCKS:
                del self._clocks[: MAX_CLOCKS // 2]

    def _release(self, follower: int, created_before_ns: int | None = None) -> Iterator[ClockMatch]:
        held = self._held[follower]
        while held:
            item = held[0]
            if item.kind is not _DATA or self._is_over[follower]:
                yield ClockMatch(follower, held.popleft())
                self._is_over[follower] |= item.kind is _END
            elif self._is_decidable(item, created_before_ns):
                yield self._match(follower, held.popleft())
            else:
                return

    def _is_decidable(self, item: StreamItem, created_before_ns: int | None) -> bool:
        if item.clock is None or self._latest >= item.clock or self._is_over[REFERENCE]:
            return True
        return created_before_ns is not None and item.created_ns < created_before_ns

    def _match(self, follower: int, item: StreamItem) -> ClockMatch:
        clock, clocks = item.clock, self._clocks
        if clock is None or not clocks:
            item.number = -1
            return ClockMatch(follower, item, is_matched=False)
        behind = bisect_left(clocks, (clock, -1))
        near = clocks[max(behind - 1, 0) : behind + 1]
        nearest, number = min(near, key=lambda entry: abs(entry[0] - clock))
        if abs(nearest - clock) <= self._tolerance:
            item.number = number
            return ClockMatch(follower, item)
        item.number = clocks[behind - 1][1] if behind else -1
        return ClockMatch(follower, item, is_matched=False)
