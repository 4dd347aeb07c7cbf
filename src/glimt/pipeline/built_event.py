"""One event while its parts are collected, and as it is given out."""

from __future__ import annotations

from typing import Any

import msgspec

from glimt.codecs.protocol import PacketKind
from glimt.pipeline.live_stream import StreamItem


class BuiltEvent(msgspec.Struct, gc=False):
    """One event, complete as far as it will be.

    Attributes
    ----------
    event_number : int
        Position in the scan, from 0.
    kind : PacketKind
        ``START`` for start packets, ``END`` for end packets.
    parts : list of (int, list)
        Index of the stream and its frames, in the order of the streams. The packet of each part is pending in the
        account of its stream.
    n_bytes : int
        Size of all frames [bytes].
    created_ns : int
        When its first part was received, UTC [ns].
    map_event : object or None
        What the trigger map says of it; ``None`` without one.
    """

    event_number: int
    kind: PacketKind
    parts: list[tuple[int, list[Any]]]
    n_bytes: int
    created_ns: int
    map_event: Any = None


class OpenEvent:
    """One event whose parts are being collected.

    Attributes
    ----------
    first_ns : int
        When its first part came, UTC [ns].
    map_event : object or None
        What the trigger map says of it.
    needed : tuple of int
        Indexes of the streams that have a part.
    parts : dict
        What is there, by index of the stream.
    """

    __slots__ = ("first_ns", "map_event", "needed", "parts")

    def __init__(self, first_ns: int, map_event: Any, needed: tuple[int, ...]) -> None:
        self.first_ns = first_ns
        self.map_event = map_event
        self.needed = needed
        self.parts: dict[int, StreamItem] = {}
