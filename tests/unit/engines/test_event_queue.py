"""The queue of events is bounded in bytes and knows who still holds a frame."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from glimt.codecs.protocol import PacketKind
from glimt.engines.event_block import LARGE_BYTES, OWN_PART, QueuedEvent
from glimt.engines.event_queue import EVENT_BYTES, EventQueue
from glimt.engines.frame_memory import FrameMemory
from glimt.pipeline.built_event import BuiltEvent

LARGE = 2 * LARGE_BYTES
ROOM = 8 * LARGE


def event(number: int, *sizes: int) -> BuiltEvent:
    frames = [bytes([number % 256]) * size for size in sizes]
    return BuiltEvent(number, PacketKind.DATA, [(0, frames)], sum(sizes), 10 + number)


def test_an_event_counts_until_it_is_released() -> None:
    queue = EventQueue(10_000, None)
    first, second = queue.take(event(0, 100)), queue.take(event(1, 200))
    assert first is not None
    assert second is not None
    assert queue.used_bytes == 300 + 2 * EVENT_BYTES
    queue.release(first)
    assert queue.used_bytes == second.n_bytes == 200 + EVENT_BYTES
    queue.release(second)
    assert queue.used_bytes == 0


def test_what_does_not_fit_is_refused_but_one_event_always_fits() -> None:
    queue = EventQueue(1000, None)
    first = queue.take(event(0, 5000))
    assert first is not None
    assert queue.is_full
    assert queue.take(event(1, 1)) is None
    queue.release(first)
    assert queue.take(event(1, 1)) is not None


def test_large_frames_go_into_memory_and_small_ones_stay() -> None:
    with closing(FrameMemory(ROOM)) as memory:
        queue = EventQueue(ROOM, memory)
        queued = queue.take(event(3, 50, LARGE, 60))
        assert queued is not None
        assert queued.places == [-1, 0, -1]
        assert queued.frames == [b"\3" * 50, None, b"\3" * 60]
        assert bytes(memory.view(0, LARGE)) == b"\3" * LARGE
        queue.release(queued)
        assert memory.used_bytes == 0


def test_an_event_whose_frames_find_no_place_leaves_none_taken() -> None:
    with closing(FrameMemory(3 * LARGE)) as memory:
        queue = EventQueue(100 * LARGE, memory)
        first = queue.take(event(0, LARGE, LARGE))
        assert first is not None
        assert queue.take(event(1, LARGE, LARGE)) is None
        assert memory.used_bytes == 2 * LARGE
        assert queue.used_bytes == first.n_bytes


def test_an_event_larger_than_the_memory_is_kept_as_it_came() -> None:
    with closing(FrameMemory(LARGE)) as memory:
        queue = EventQueue(LARGE, memory)
        queued = queue.take(event(0, LARGE, LARGE))
        assert queued is not None
        assert queued.places is None
        assert queued.frames == [b"\0" * LARGE] * 2
        assert memory.used_bytes == 0


def test_times_before_are_those_of_the_same_scan() -> None:
    queue = EventQueue(10_000, None)
    queue.begin_scan()
    taken = [queue.take(event(number, 1)) for number in range(2)]
    queue.begin_scan()
    taken.append(queue.take(event(0, 1)))
    assert [each.previous_ns for each in taken if each is not None] == [-1, 10, -1]


def test_events_of_one_layout_share_it() -> None:
    queue = EventQueue(10_000, None)
    first, second = queue.take(event(0, 1, 2)), queue.take(event(1, 3, 4))
    assert first is not None
    assert second is not None
    assert first.layout is second.layout


def test_for_workers_elsewhere_large_frames_stay_and_are_parts_of_their_own() -> None:
    with closing(FrameMemory(ROOM)) as memory:
        queue = EventQueue(ROOM, memory, is_shared=False)
        queued = queue.take(event(3, 50, LARGE))
        assert queued is not None
        assert queued.places == [-1, OWN_PART]
        assert queued.frames == [b"\3" * 50, b"\3" * LARGE]
        assert memory.used_bytes == 0
        queue.release(queued)
        assert queue.used_bytes == 0


@dataclass
class Held:
    """What a test knows of an event."""

    queued: QueuedEvent
    keepers: int = 0
    is_released: bool = False
    content: bytes = field(default=b"", repr=False)


@given(st.lists(st.tuples(st.sampled_from(["take", "release", "keep", "give back"]), st.integers(0, 99)), max_size=80))
def test_frames_stay_as_long_as_somebody_keeps_them_and_are_freed_once(steps: list[tuple[str, int]]) -> None:
    with closing(FrameMemory(ROOM)) as memory:
        queue = EventQueue(ROOM, memory)
        held: list[Held] = []
        for number, (what, which) in enumerate(steps):
            _step(queue, held, what, number, which)
            held = [each for each in held if each.keepers or not each.is_released]
            assert queue.used_bytes == sum(each.queued.n_bytes for each in held if not each.is_released)
            assert memory.used_bytes == len(held) * LARGE
            for each in held:
                assert each.queued.places is not None
                assert bytes(memory.view(each.queued.places[0], LARGE)) == each.content
        for each in held:
            for _ in range(each.keepers):
                queue.give_back(each.queued)
            if not each.is_released:
                queue.release(each.queued)
        assert (queue.used_bytes, memory.used_bytes) == (0, 0)


def _step(queue: EventQueue, held: list[Held], what: str, number: int, which: int) -> None:
    if what == "take":
        queued = queue.take(event(number, LARGE))
        if queued is not None:
            held.append(Held(queued, content=bytes([number % 256]) * LARGE))
        return
    open_ones = [each for each in held if what == "give back" or not each.is_released]
    if not open_ones:
        return
    chosen = open_ones[which % len(open_ones)]
    if what == "keep":
        queue.keep(chosen.queued)
        chosen.keepers += 1
    elif what == "release":
        queue.release(chosen.queued)
        chosen.is_released = True
    elif chosen.keepers:
        queue.give_back(chosen.queued)
        chosen.keepers -= 1
