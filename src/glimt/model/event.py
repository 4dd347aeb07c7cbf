"""Events as a user's worker sees them, and results as a user's reducer sees them.

Field names and printed form are those of dranspose 0.2 (``dranspose.event``), whose classes run here unmodified.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec


def frame_bytes(frame: Any) -> bytes:
    """Return the content of ``frame`` (`bytes`, `memoryview` or ``zmq.Frame``) as `bytes`, without a copy if it is."""
    if type(frame) is bytes:
        return frame
    content = getattr(frame, "bytes", None)  # zmq.Frame keeps its own cached copy
    return content if isinstance(content, bytes) else bytes(frame)


class StreamData(msgspec.Struct):
    """Everything one stream contributed to one event.

    Attributes
    ----------
    typ : str
        Which protocol the frames speak, such as ``"STINS"``: tells which parser understands them.
    frames : list of bytes or zmq.Frame
        The parts of the message in wire order. `bytes` in replay, ``zmq.Frame`` or `bytes` live.
    """

    typ: str
    frames: list[Any]

    @property
    def length(self) -> int:
        """Number of frames."""
        return len(self.frames)

    def get_bytes(self) -> StreamData:
        """Return the same data with every frame as `bytes`."""
        return StreamData(self.typ, [frame_bytes(frame) for frame in self.frames])

    def __repr__(self) -> str:
        return f"StreamData(typ={self.typ!r}, frames={self.frames!r}, length={self.length})"


class EventData(msgspec.Struct):
    """What every stream recorded for one trigger.

    Attributes
    ----------
    event_number : int
        Position in the scan, from 0. Start packets are event 0, the first trigger is event 1. Several workers may
        get the same event (start and end packets go to all), so it identifies a trigger, not a call.
    streams : dict of str to StreamData
        The streams that have something for this event.
    """

    event_number: int
    streams: dict[str, StreamData]

    @classmethod
    def from_internals(cls, messages: Sequence[InternalWorkerMessage]) -> EventData:
        """Join partial events of the same number and disjoint streams into one.

        Raises
        ------
        ValueError
            No message, different event numbers, or a stream that occurs twice.
        """
        if not messages:
            raise ValueError("an event needs at least one message")
        if len({message.event_number for message in messages}) != 1:
            raise ValueError(f"cannot join different events {[message.event_number for message in messages]}")
        streams: dict[str, StreamData] = {}
        for message in messages:
            if twice := streams.keys() & message.streams.keys():
                raise ValueError(f"stream {sorted(twice)[0]!r} occurs twice in event {message.event_number}")
            streams.update(message.streams)
        return cls(messages[0].event_number, streams)

    def __str__(self) -> str:
        return f"event_number={self.event_number} streams={self.streams!r}"


class InternalWorkerMessage(EventData):
    """One item of a capture: the part of an event that one ingester saw.

    Attributes
    ----------
    created_at : datetime or None
        When the ingester made it, UTC. ``None`` in captures written before October 2024.
    """

    streams: dict[str, StreamData] = {}
    created_at: datetime | None = None

    def get_all_frames(self) -> list[Any]:
        """Return the frames of all streams, in order."""
        return [frame for stream in self.streams.values() for frame in stream.frames]


class ResultData(msgspec.Struct):
    """What one call of a worker returned for one event.

    Attributes
    ----------
    event_number : int
        The event. Several results may carry the same number, one from each worker that had the event.
    worker : str
        Name of the worker that made it.
    parameters_hash : str or None
        Content hash of the parameters the worker used.
    payload : object
        What ``process_event`` returned; never ``None``.
    """

    event_number: int
    worker: str
    parameters_hash: str | None
    payload: Any

    def __str__(self) -> str:
        return (
            f"event_number={self.event_number} worker={self.worker!r} "
            f"parameters_hash={self.parameters_hash!r} payload={self.payload!r}"
        )


def time_ns(when: datetime | None) -> int:
    """Return a time in nanoseconds since 1970 UTC, -1 for none."""
    return -1 if when is None else round(when.timestamp() * 1e6) * 1000
