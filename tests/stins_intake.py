"""An intake of STINS streams over sources that have what a test puts into them."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable
from typing import Any

from glimt.codecs.registry import protocol_named
from glimt.engines.intake import Intake, StreamInput
from glimt.model.errors import DecodeError
from glimt.model.trigger_map import TriggerMap
from glimt.pipeline.builder_stream import BuilderStream
from glimt.pipeline.event_builder import EventBuilder
from glimt.pipeline.ledger import StreamLedger
from glimt.pipeline.live_stream import LiveStream
from glimt.sources.message_source import SourceState

GENERIC = [frozenset({"generic"})]
SECOND = 1_000_000_000


class ListSource:
    """A source that has what a test puts into it."""

    address = "list"
    socket: Any = None

    def __init__(self) -> None:
        self.messages: deque[list[Any] | DecodeError] = deque()
        self.is_closed = False
        self.is_connected: bool | None = None

    def receive_ready(self, limit: int) -> list[list[Any]]:
        ready: list[list[Any]] = []
        while self.messages and len(ready) < limit:
            message = self.messages.popleft()
            if isinstance(message, DecodeError):
                raise message
            ready.append(message)
        return ready

    def state(self) -> SourceState:
        return SourceState(connected=self.is_connected)

    def close(self) -> None:
        self.is_closed = True


def start(name: str = "a") -> list[bytes]:
    return [json.dumps({"htype": "header", "msg_number": 0, "filename": name}).encode()]


def image(frame: int) -> list[bytes]:
    head = {"htype": "image", "msg_number": frame + 1, "frame": frame, "shape": [1, 2], "type": "uint16"}
    return [json.dumps(head | {"compression": "none"}).encode(), b"%04d" % frame]


def end(n_frames: int) -> list[bytes]:
    return [json.dumps({"htype": "series_end", "msg_number": n_frames + 1}).encode()]


def series(n_frames: int, name: str = "a") -> list[list[bytes]]:
    return [start(name), *map(image, range(n_frames)), end(n_frames)]


class Bench:
    """An intake of STINS streams; every step is followed by a look at the accounts.

    ``building`` is for the builders of its scans.
    """

    def __init__(
        self, n_streams: int = 1, *, automatic: bool = True, make: type[ListSource] = ListSource, **building: Any
    ) -> None:
        names = "abcdef"[:n_streams]
        self.sources = [make() for _ in names]
        self.ledgers = [StreamLedger(name) for name in names]
        streams = [
            StreamInput(LiveStream(name, protocol_named("stins"), ledger), source)
            for name, ledger, source in zip(names, self.ledgers, self.sources, strict=True)
        ]
        built = [BuilderStream(ledger.name, ledger) for ledger in self.ledgers]
        self.intake = Intake(
            streams, lambda trigger_map: EventBuilder(built, trigger_map=trigger_map, **building), automatic=automatic
        )
        self.now = SECOND

    def feed(self, stream: int, messages: Iterable[list[bytes] | DecodeError]) -> list[int]:
        """Let a stream read these; return the events that are complete with them, which are taken."""
        self.sources[stream].messages.extend(messages)
        taken: list[int] = []
        while self.sources[stream].messages:
            assert self.intake.may_read(stream)
            self.intake.read(stream, self.now)
            taken += self.take()
        return taken

    def take(self) -> list[int]:
        """Take all complete events; they count as reduced."""
        taken = []
        while (event := self.intake.peek()) is not None:
            self.intake.pop()
            for index, _ in event.parts:
                self.ledgers[index].reduce()
            taken.append(event.event_number)
        self.check()
        return taken

    def check(self) -> None:
        for ledger in self.ledgers:
            ledger.check()

    def begin(self, parts: dict[str, list[Any]]) -> None:
        trigger_map = TriggerMap.from_json({"parts": {"main": parts}, "sequence": ["main"]}, all_wrap=True)
        self.intake.begin(trigger_map, GENERIC, self.now)

    @property
    def is_ended(self) -> bool:
        return self.intake.is_ended

    def end_scan(self) -> None:
        assert self.is_ended
        self.intake.end_scan(self.now)
        self.check()


def entries(n: int) -> list[Any]:
    return [[{"constraint": number}] for number in range(n)]
