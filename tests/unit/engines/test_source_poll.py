"""Which sources wake up the loop: those of which something can be taken, and no others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import zmq

from glimt.engines.source_poll import SourcePoll
from glimt.pipeline.builder_stream import ITEM_BYTES
from glimt.sources.message_queue import MessageQueue
from stins_intake import SECOND, Bench, ListSource, image, start


class QueueSource(ListSource):
    """A source that can be polled, as those with threads of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = MessageQueue()
        self.socket = self.queue.descriptor

    def arrive(self, *messages: list[bytes]) -> None:
        for message in messages:
            assert self.queue.reserve(1)
            assert self.queue.put(message, 1)

    def receive_ready(self, limit: int) -> list[list[Any]]:
        return self.queue.take(limit)[0]

    def close(self) -> None:
        self.queue.close()


class Loop:
    """What a loop does with two streams that are joined."""

    def __init__(self, **building: Any) -> None:
        self.bench = Bench(2, make=QueueSource, **building)
        self.poller = zmq.Poller()
        self.sources = SourcePoll(self.bench.intake, self.poller)

    @property
    def received(self) -> list[int]:
        """Messages taken from each."""
        return [ledger.received for ledger in self.bench.ledgers]

    def source(self, index: int) -> QueueSource:
        source = self.bench.sources[index]
        assert isinstance(source, QueueSource)
        return source

    def readable(self) -> list[int]:
        """Return the streams that wake up the loop now."""
        self.sources.update()
        descriptors = [source.socket for source in self.bench.sources]
        return sorted(descriptors.index(one) for one, _ in self.poller.poll(0))

    def turn(self) -> None:
        """Wait for nothing, read what is there, and leave complete events where they are."""
        self.sources.update()
        self.sources.read(dict(self.poller.poll(0)), self.bench.now)

    def read_all(self) -> list[int]:
        """Go on until nothing more can be read; return the events that were taken."""
        taken: list[int] = []
        for _ in range(20):
            if not self.readable():
                return taken
            self.turn()
            taken += self.bench.take()
        raise AssertionError(f"streams {self.readable()} still wake up the loop")

    def close(self) -> None:
        self.bench.intake.close()


@pytest.fixture
def loop() -> Iterator[Loop]:
    with closing(Loop()) as made:
        yield made


def test_sources_that_have_nothing_do_not_wake_up_the_loop_and_those_that_have_something_do(loop: Loop) -> None:
    assert loop.readable() == []
    assert loop.sources.polled == {0, 1}
    loop.source(1).arrive(start())
    assert loop.readable() == [1]


def test_nothing_is_polled_before_the_first_update(loop: Loop) -> None:
    loop.source(0).arrive(start())
    assert loop.sources.polled == set()
    assert loop.poller.poll(0) == []
    loop.sources.read({loop.source(0).socket: zmq.POLLIN}, loop.bench.now)
    assert loop.received == [0, 0]


def test_only_the_source_that_was_found_is_read(loop: Loop) -> None:
    loop.source(0).arrive(start())
    loop.source(1).arrive(start())
    loop.sources.update()
    loop.sources.read({loop.source(1).socket: zmq.POLLIN}, loop.bench.now)
    assert loop.received == [0, 1]
    assert loop.readable() == [0]


def test_what_else_the_loop_polls_is_left_alone(loop: Loop) -> None:
    loop.source(0).arrive(start())
    own = MessageQueue()
    loop.poller.register(own.descriptor, zmq.POLLIN)
    try:
        loop.sources.update()
        loop.sources.read({own.descriptor: zmq.POLLIN}, loop.bench.now)
        assert loop.received == [0, 0]
        loop.turn()
        loop.source(1).arrive(start())
        loop.turn()
        loop.sources.update()
        assert loop.sources.polled == set()
        assert loop.poller.sockets == [(own.descriptor, zmq.POLLIN)]
    finally:
        own.close()


def test_while_complete_events_wait_no_source_wakes_up_the_loop_and_afterwards_all_do(loop: Loop) -> None:
    for index in (0, 1):
        loop.source(index).arrive(start())
    loop.turn()
    assert loop.bench.intake.n_ready == 1
    for index in (0, 1):
        loop.source(index).arrive(image(0))
    assert loop.readable() == []
    assert loop.sources.polled == set()
    loop.turn()
    assert loop.received == [1, 1]
    assert loop.bench.take() == [0]
    assert loop.readable() == [0, 1]
    assert loop.sources.polled == {0, 1}
    loop.turn()
    assert loop.bench.take() == [1]


def test_a_stream_that_is_too_far_ahead_is_not_polled_until_the_others_have_come_up() -> None:
    with closing(Loop(stream_bytes=2 * ITEM_BYTES)) as loop:
        loop.source(0).arrive(start(), image(0))
        assert loop.read_all() == []
        loop.source(0).arrive(image(1))
        assert loop.readable() == []
        assert loop.sources.polled == {1}
        loop.source(1).arrive(start())
        assert loop.readable() == [1]
        loop.turn()
        assert loop.bench.take() == [0]
        assert loop.readable() == [0]
        assert loop.sources.polled == {0, 1}


def test_an_update_without_news_changes_nothing(loop: Loop) -> None:
    loop.sources.update()
    before = list(loop.poller.sockets)
    loop.sources.update()
    assert loop.poller.sockets == before
    assert sorted(before) == sorted((source.socket, zmq.POLLIN) for source in loop.bench.sources)


def test_time_passes_for_parts_that_are_late_though_no_source_has_anything(loop: Loop) -> None:
    loop.source(0).arrive(start(), image(0))
    loop.source(1).arrive(start())
    assert loop.read_all() == [0]
    loop.sources.read({}, loop.bench.now + 31 * SECOND)
    assert loop.bench.ledgers[0].dropped == {"incomplete": 1}
    assert loop.bench.ledgers[1].n_missing == 1
