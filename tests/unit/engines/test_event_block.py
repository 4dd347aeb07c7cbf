"""Blocks of events and of results come back as they were, whatever is in them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glimt.codecs.protocol import PacketKind
from glimt.engines.event_block import (
    BLOCK_MARK,
    LARGE_BYTES,
    RESULT_MARK,
    QueuedEvent,
    ResultHead,
    pack_block,
    pack_results,
    unpack_events,
    unpack_head,
    unpack_results,
)
from glimt.engines.event_queue import EventQueue
from glimt.engines.frame_memory import FrameMemory
from glimt.model.event import EventData
from glimt.pipeline.built_event import BuiltEvent

STREAMS = [("det", "STINS"), ("scan", "contrast"), ("panda", "PCAP")]
ROOM = 64 << 20

frame_sizes = st.sampled_from([0, 1, 7, 300, LARGE_BYTES - 1, LARGE_BYTES, LARGE_BYTES + 5])
layouts = st.dictionaries(st.integers(0, 2), st.lists(frame_sizes, min_size=1, max_size=3), min_size=1, max_size=3)


def built(number: int, layout: dict[int, list[int]]) -> BuiltEvent:
    """Return an event whose frames are all different."""
    parts = [
        (stream, [bytes([(number * 37 + stream * 5 + index) % 256]) * size for index, size in enumerate(sizes)])
        for stream, sizes in sorted(layout.items())
    ]
    n_bytes = sum(len(frame) for _, frames in parts for frame in frames)
    return BuiltEvent(number, PacketKind.DATA, parts, n_bytes, 1000 + number)


def plain(event: BuiltEvent, streams: Sequence[int] | None = None) -> dict[str, tuple[str, list[bytes]]]:
    return {
        STREAMS[stream][0]: (STREAMS[stream][1], list(frames))
        for stream, frames in event.parts
        if streams is None or stream in streams
    }


def content_of(event: EventData) -> dict[str, tuple[str, list[bytes]]]:
    return {name: (data.typ, [bytes(frame) for frame in data.frames]) for name, data in event.streams.items()}


def sent(parts: list[Any]) -> list[bytes]:
    """Return the parts as they arrive elsewhere."""
    return [bytes(part) for part in parts]


@given(
    st.lists(st.tuples(layouts, st.none() | st.sets(st.integers(0, 2), min_size=1)), min_size=1, max_size=8),
    st.sampled_from(["shared", "not shared", "no memory"]),
)
def test_a_block_comes_back_as_it_was(
    given_events: list[tuple[dict[int, list[int]], set[int] | None]], where: str
) -> None:
    with closing(FrameMemory(ROOM)) as memory:
        queue = EventQueue(ROOM, None if where == "no memory" else memory, is_shared=where != "not shared")
        deliveries, expected = [], []
        for number, (layout, chosen) in enumerate(given_events):
            event = built(number, layout)
            queued = queue.take(event)
            assert queued is not None
            streams = None if chosen is None else sorted(chosen & layout.keys()) or None
            deliveries.append((100 + number, queued if streams is None else queued.only(streams)))
            expected.append(plain(event, streams))
        mark, head_part, body, *extra = sent(pack_block(3, 9, 4, deliveries))
        head = unpack_head(head_part)
        lent: list[int] = []

        def lend(place: int, size: int) -> bytes:
            lent.append(size)
            return bytes(memory.view(place, size))

        events = list(unpack_events(head, body, extra, STREAMS, lend))
    assert (mark, head.scan, head.number, head.version, head.is_primer) == (BLOCK_MARK, 3, 9, 4, False)
    assert head.serials == [serial for serial, _ in deliveries]
    assert [content_of(event) for event in events] == expected
    assert [event.event_number for event in events] == head.event_numbers == list(range(len(events)))
    assert head.created_ns == [1000 + number for number in range(len(events))]
    assert head.previous_ns == [-1, *head.created_ns[:-1]]
    large = [len(f) for streams in expected for _, frames in streams.values() for f in frames if len(f) >= LARGE_BYTES]
    assert sorted(lent) == sorted(large if where == "shared" else [])
    assert sorted(map(len, extra)) == sorted(large if where == "not shared" else [])


def test_events_of_one_kind_say_so_once() -> None:
    queue = EventQueue(ROOM, None)
    events = [queue.take(built(number, {0: [10, 20], 1: [5]})) for number in range(100)]
    deliveries = [(number, event) for number, event in enumerate(events) if event is not None]
    head = unpack_head(pack_block(0, 0, 0, deliveries)[1])
    assert len(deliveries) == 100
    assert head.layouts == [((0, 2), (1, 1))]
    assert head.places == []


def test_only_some_streams_of_an_event_leave_the_whole_as_it_was() -> None:
    event = QueuedEvent(5, 6, 4, ((0, 2), (1, 1)), [b"a", b"bc", b"def"], [1, 2, 3], None)
    part = event.only([1])
    assert (part.layout, part.frames, part.sizes, part.n_bytes) == (((1, 1),), [b"def"], [3], 3)
    assert (part.event_number, part.created_ns, part.previous_ns) == (5, 6, 4)
    assert (event.layout, event.frames, event.sizes) == (((0, 2), (1, 1)), [b"a", b"bc", b"def"], [1, 2, 3])
    assert event.only([]).layout == ()


def test_an_event_is_not_held_while_the_next_one_is_waited_for() -> None:
    alive: list[int] = []

    class Watched:
        def __init__(self) -> None:
            alive.append(1)

        def __del__(self) -> None:
            alive.pop()

    with closing(FrameMemory(ROOM)) as memory:
        queue = EventQueue(ROOM, memory)
        deliveries = [(n, event) for n in range(3) if (event := queue.take(built(n, {0: [LARGE_BYTES]}))) is not None]
        _, head_part, body = pack_block(0, 0, 0, deliveries)
        events = unpack_events(unpack_head(head_part), body, [], STREAMS, lambda place, size: Watched())
        for expected in range(3):
            found = next(events)
            assert found.event_number == expected
            assert len(alive) == 1
            del found
            assert not alive


payloads = st.none() | st.binary(min_size=1, max_size=40) | st.just(b"x" * LARGE_BYTES) | st.just(b"y" * LARGE_BYTES)


@given(st.lists(payloads, max_size=8))
def test_results_come_back_as_they_were(contents: list[bytes | None]) -> None:
    serials = list(range(7, 7 + len(contents)))
    head = ResultHead(1, 2, 3, "worker-0", "hash", serials, [n + 1 for n in serials], contents, serials[::2])
    mark, *parts = sent(pack_results(head))
    assert mark == RESULT_MARK
    assert unpack_results(parts) == head
    assert len(parts) == 1 + sum(content is not None and len(content) >= LARGE_BYTES for content in contents)


def test_a_head_that_is_none_is_an_error_of_msgspec() -> None:
    with pytest.raises(msgspec.DecodeError):
        unpack_head(b"\x93\x01")
    with pytest.raises(msgspec.ValidationError):
        unpack_head(msgspec.msgpack.encode([1, 2, 3]))
