"""What an intake holds while nobody takes its events: nothing is lost for want of room, and no memory without end."""

from __future__ import annotations

import json
from collections import deque
from typing import Any

import pytest

from glimt.codecs.protocol import PacketKind
from glimt.codecs.registry import protocol_named
from glimt.engines.intake import Intake, StreamInput
from glimt.model.trigger_map import TriggerMap
from glimt.pipeline.builder_stream import BuilderStream
from glimt.pipeline.event_builder import EventBuilder
from glimt.pipeline.ledger import StreamLedger
from glimt.pipeline.live_stream import LiveStream

SECOND = 1_000_000_000
MB = 1 << 20


class Waiting:
    """A source with messages that wait."""

    address = "waiting"
    socket: Any = None

    def __init__(self) -> None:
        self.messages: deque[list[bytes]] = deque()

    def receive_ready(self, limit: int) -> list[list[Any]]:
        return [self.messages.popleft() for _ in range(min(limit, len(self.messages)))]

    def state(self) -> Any:
        return {}

    def close(self) -> None:
        self.messages.clear()


def start() -> list[bytes]:
    return [json.dumps({"htype": "header", "msg_number": 0, "filename": "a"}).encode()]


def image(frame: int, content: bytes = b"\1\2\3\4") -> list[bytes]:
    head = {"htype": "image", "msg_number": frame + 1, "frame": frame, "shape": [1, len(content) // 2]}
    return [json.dumps(head | {"type": "uint16", "compression": "none"}).encode(), content]


class Bench:
    """An intake of STINS streams."""

    def __init__(self, n_streams: int, *, automatic: bool = True, late_s: float = 30.0) -> None:
        self.ledgers = [StreamLedger("abc"[index]) for index in range(n_streams)]
        self.sources = [Waiting() for _ in self.ledgers]
        streams = [
            StreamInput(LiveStream(ledger.name, protocol_named("stins"), ledger), source)
            for ledger, source in zip(self.ledgers, self.sources, strict=True)
        ]
        built = [BuilderStream(ledger.name, ledger) for ledger in self.ledgers]
        self.intake = Intake(
            streams, lambda given: EventBuilder(built, trigger_map=given, late_s=late_s), automatic=automatic
        )
        self.now = SECOND

    def turn(self, duration_s: float = 0.1) -> None:
        """Do what an ingester does in a turn but for taking events."""
        readable = [index for index in range(len(self.sources)) if self.intake.may_read(index)]
        self.now += round(duration_s * SECOND)
        for index in readable:
            self.intake.read(index, self.now)
        self.intake.tick(self.now)

    def take(self) -> list[int]:
        """Take all complete events."""
        taken = []
        while (event := self.intake.peek()) is not None:
            self.intake.pop()
            taken.append(event.event_number)
        return taken


def test_what_cannot_be_read_because_the_queue_is_full_is_not_late() -> None:
    bench = Bench(2)
    bench.sources[0].messages.extend([start(), image(0), image(1)])
    bench.sources[1].messages.append(start())
    for _ in range(4):
        bench.turn()  # stream a is ahead; event 0 is complete, and nobody takes it
    bench.sources[1].messages.extend([image(0), image(1)])  # there, but not read
    for _ in range(1000):
        bench.turn()
    assert bench.take() == [0]
    for _ in range(4):
        bench.turn()
    assert bench.take() == [1, 2]
    assert [ledger.dropped for ledger in bench.ledgers] == [{}, {}]
    assert [ledger.n_missing for ledger in bench.ledgers] == [0, 0]


def test_what_is_read_all_the_time_and_does_not_come_is_late_however_busy_it_is() -> None:
    bench = Bench(2)
    bench.sources[0].messages.extend([start(), image(0)])
    bench.sources[1].messages.append(start())
    taken = []
    for frame in range(1, 320):
        bench.turn()
        taken += bench.take()
        bench.sources[0].messages.append(image(frame))
    assert taken == [0]
    assert bench.ledgers[0].dropped["incomplete"] > 0


def test_a_slow_queue_that_moves_now_and_then_makes_nothing_late() -> None:
    bench = Bench(2, late_s=5.0)
    bench.sources[0].messages.extend([start(), *map(image, range(40))])
    bench.sources[1].messages.extend([start(), *map(image, range(40))])
    taken = []
    for turn in range(2000):
        bench.turn()
        if turn % 20 == 0 and (event := bench.intake.peek()) is not None:  # one event every two seconds
            bench.intake.pop()
            taken.append((event.event_number, len(event.parts)))
    assert taken == [(number, 2) for number in range(41)]
    assert [ledger.n_missing for ledger in bench.ledgers] == [0, 0]


@pytest.mark.parametrize(("frame_bytes", "n_kept"), [(8, 1024), (8 * MB, 8), (80 * MB, 1)])
def test_of_a_series_without_a_map_only_so_much_is_kept(frame_bytes: int, n_kept: int) -> None:
    bench = Bench(1, automatic=False)
    content = bytes(frame_bytes)
    stream = bench.intake.streams[0]
    bench.sources[0].messages.append(start())
    most = 0
    for frame in range(n_kept + 2):
        bench.sources[0].messages.append(image(frame, content))
        while bench.sources[0].messages:
            bench.turn()
            most = max(most, len(stream.early))
    assert most == n_kept
    assert not stream.early  # its beginning is lost, so that the rest is of no use
    assert bench.ledgers[0].dropped == {"no_scan": n_kept + 3}
    assert bench.ledgers[0].pending == 0
    bench.ledgers[0].check()


def test_a_series_that_began_before_its_map_is_all_there() -> None:
    bench = Bench(1, automatic=False)
    bench.sources[0].messages.extend([start(), image(0), image(1)])
    for _ in range(4):
        bench.turn()
    given = {"parts": {"main": {"a": [[{"constraint": 0}]] * 2}}, "sequence": ["main"]}
    bench.intake.begin(TriggerMap.from_json(given, all_wrap=True), [frozenset({"generic"})], bench.now)
    first = bench.intake.peek()
    assert first is not None
    assert first.kind is PacketKind.START
    assert bench.take() == [0, 1, 2]
