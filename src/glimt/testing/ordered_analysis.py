"""A worker and a reducer whose results show every difference between engines: order, losses, copies, start packets.

They are written as users write theirs, and take any streams.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from glimt.codecs.registry import parse
from glimt.model.event import EventData, ResultData, frame_bytes
from glimt.model.parameters import IntParameter

_MARKS = ("Start", "Started", "Header", "End", "Finished", "SeriesEnd")


class FailingEventError(ValueError):
    """Raised for the events that the parameter ``fails_every`` chooses."""


class OrderedWorker:
    """Makes one number of all frames of an event, and of the start packets: it must have seen them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.seal = 0
        self.n_starts = 0

    @staticmethod
    def describe_parameters() -> list[Any]:
        """Describe what can be changed while it runs."""
        return [
            IntParameter(name="scale", default=1, description="factor of every value"),
            IntParameter(name="fails_every", default=0, description="such events raise; 0: none"),
        ]

    def process_event(self, event: EventData, parameters: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Return a dict for events with data, ``None`` for start and end packets."""
        seal = self.seal
        for name in sorted(event.streams):
            seal = zlib.crc32(name.encode(), seal)
            for frame in event.streams[name].frames:
                seal = zlib.crc32(frame_bytes(frame), seal)
        if event.event_number == 0:
            self.seal, self.n_starts = seal, self.n_starts + 1
            return None
        if all(type(parse(stream)).__name__.endswith(_MARKS) for stream in event.streams.values()):
            return None
        every = parameters["fails_every"].value
        if every and event.event_number % every == 0:
            raise FailingEventError(f"event {event.event_number} was chosen to fail")
        return {
            "value": seal / 2**32 * parameters["scale"].value,
            "scale": parameters["scale"].value,
            "n_starts": self.n_starts,
            "n_bytes": sum(len(frame) for stream in event.streams.values() for frame in stream.frames),
            "streams": np.array([len(event.streams), sum(stream.length for stream in event.streams.values())]),
        }


class OrderedReducer:
    """Keeps what came in the order in which it came, and a chain of numbers that any other order changes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.publish: dict[str, Any] = {}
        self.columns: dict[str, list[Any]] = {
            name: [] for name in ("number", "chain", "value", "scale", "n_starts", "n_bytes", "streams")
        }
        self.hashes: list[str] = []

    def process_result(self, result: ResultData, parameters: Any = None) -> None:
        """Add a result."""
        columns, payload = self.columns, result.payload
        before = columns["chain"][-1] if columns["chain"] else 0.5
        columns["number"].append(result.event_number)
        columns["chain"].append((before * 1.618 + payload["value"]) % 1.0)
        for name in ("value", "scale", "n_starts", "n_bytes", "streams"):
            columns[name].append(payload[name])
        if not self.hashes or self.hashes[-1] != result.parameters_hash:
            self.hashes.append(str(result.parameters_hash))

    def finish(self, parameters: Any = None) -> None:
        """Publish everything."""
        for name, column in self.columns.items():
            self.publish[name] = np.array(column)
        self.publish["n_hashes"] = len(self.hashes)
