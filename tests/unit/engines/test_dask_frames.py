"""Events for workers on other machines: large frames are sent as they came."""

from __future__ import annotations

from glimt.codecs.protocol import PacketKind
from glimt.engines.event_block import LARGE_BYTES, pack_block, unpack_events, unpack_head
from glimt.engines.event_queue import EventQueue
from glimt.pipeline.built_event import BuiltEvent

HEADER, LARGE = b"{}", bytes(LARGE_BYTES)


def built(number: int, *frames: bytes) -> BuiltEvent:
    n_bytes = sum(map(len, frames))
    return BuiltEvent(number, PacketKind.DATA, [(0, list(frames))], n_bytes=n_bytes, created_ns=number)


def test_a_large_frame_is_a_part_of_its_own_and_not_a_copy() -> None:
    queue = EventQueue(1 << 20, None, is_shared=False)
    event = queue.take(built(1, HEADER, LARGE))
    assert event is not None
    parts = pack_block(1, 0, 0, [(0, event)])
    assert parts[3] is LARGE
    assert parts[2] == HEADER


def test_small_and_large_events_in_one_block_arrive_as_they_were() -> None:
    queue = EventQueue(1 << 20, None, is_shared=False)
    frames = [(HEADER, b"small"), (HEADER, LARGE), (b"", LARGE, b"tail"), (HEADER, b"last")]
    events = [queue.take(built(number, *each)) for number, each in enumerate(frames)]
    parts = pack_block(1, 0, 0, [(event.event_number, event) for event in events if event is not None])
    head = unpack_head(parts[1])

    def lend(place: int, size: int) -> bytes:
        raise AssertionError("no memory is shared")

    found = list(unpack_events(head, parts[2], parts[3:], [("det", "STINS")], lend))
    assert [tuple(event.streams["det"].frames) for event in found] == frames


def test_frames_that_are_sent_as_they_came_count_until_they_are_released() -> None:
    queue = EventQueue(LARGE_BYTES + 2000, None, is_shared=False)
    event = queue.take(built(1, HEADER, LARGE))
    assert event is not None
    assert queue.take(built(2, HEADER, LARGE)) is None
    queue.release(event)
    assert queue.used_bytes == 0
    assert queue.take(built(2, HEADER, LARGE)) is not None
