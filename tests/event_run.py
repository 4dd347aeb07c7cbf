"""An event builder with its accounts, checked after every call, and items to push."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from glimt.codecs.protocol import PacketKind
from glimt.model.trigger_map import TriggerMap
from glimt.pipeline.builder_stream import BuilderStream
from glimt.pipeline.built_event import BuiltEvent
from glimt.pipeline.event_builder import EventBuilder
from glimt.pipeline.ledger import StreamLedger
from glimt.pipeline.live_stream import START_NUMBER, StreamItem

START, DATA, END = PacketKind.START, PacketKind.DATA, PacketKind.END
SECOND = 1_000_000_000
ONE = [{"constraint": 0}]


class Run:
    """A builder with its ledgers; every call is followed by a check of the accounts."""

    def __init__(self, n_streams: int = 2, *, streams: dict[int, dict[str, Any]] | None = None, **options: Any) -> None:
        self.ledgers = [StreamLedger("abcdef"[index]) for index in range(n_streams)]
        given = streams or {}
        self.builder = EventBuilder(
            [BuilderStream(ledger.name, ledger, **given.get(i, {})) for i, ledger in enumerate(self.ledgers)], **options
        )
        self.now = SECOND
        self.delivered: list[BuiltEvent] = []

    def push(self, stream: int, items: Iterable[StreamItem]) -> list[tuple[int, str]]:
        """Push items, return the events that are ready with them: number and streams."""
        items = list(items)
        packets = [item for item in items if item.frames]
        self.ledgers[stream].receive(len(packets), sum(item.n_bytes for item in packets))
        self.builder.push(stream, items, self.now)
        return self.events()

    def events(self) -> list[tuple[int, str]]:
        ready = self.builder.ready()
        self.delivered += ready
        for index, ledger in enumerate(self.ledgers):
            ledger.check()
            with_caller = sum(part == index for event in self.delivered for part, _ in event.parts)
            assert ledger.pending == self.builder.n_held(index) + with_caller
        return [(event.event_number, "".join("abcdef"[index] for index, _ in event.parts)) for event in ready]

    def tick(self, seconds: float = 0) -> list[tuple[int, str]]:
        self.now += round(seconds * SECOND)
        self.builder.tick(self.now)
        return self.events()

    def stop(self, **options: Any) -> list[tuple[int, str]]:
        self.builder.stop(self.now, **options)
        return self.events()

    def dropped(self, stream: int) -> dict[str, int]:
        return self.ledgers[stream].dropped


def start() -> list[StreamItem]:
    return [StreamItem(START, START_NUMBER, [b"start"], 5, 3)]


def data(*numbers: int, size: int = 4, clocks: list[float] | None = None) -> list[StreamItem]:
    return [
        StreamItem(DATA, number, [b"%d" % number], size, 4, None if clocks is None else clocks[index])
        for index, number in enumerate(numbers)
    ]


def end(number: int) -> list[StreamItem]:
    return [StreamItem(END, number, [b"end"], 3, 5)]


def broken_off(number: int) -> list[StreamItem]:
    return [StreamItem(END, number, [], 0, 5)]


def started(n_streams: int = 2, **options: Any) -> Run:
    run = Run(n_streams, **options)
    for stream in range(n_streams):
        run.push(stream, start())
    run.tick()
    return run


def mapped(parts: dict[str, list[Any]], *, all_wrap: bool = True, **options: Any) -> Run:
    trigger_map = TriggerMap.from_json({"parts": {"main": parts}, "sequence": ["main"]}, all_wrap=all_wrap)
    return Run(len(parts), trigger_map=trigger_map, **options)
