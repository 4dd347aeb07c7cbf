"""Blocks of events on their way from the ingester to a worker, and of results on their way to the reducer.

A block is one multipart message. Its head has a column for each property of its events, which MessagePack reads and
writes faster than a struct for each event; small frames follow one another in one part; large ones lie in shared memory
(`glimt.engines.frame_memory`) or are parts of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from glimt.model.event import EventData, StreamData

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

BLOCK_MARK = b"B"
RESULT_MARK = b"R"
LARGE_BYTES = 32 << 10
"""Frames and results from this size on are not copied into the block."""

_IN_BODY, OWN_PART = -1, -2

Layout = tuple[tuple[int, int], ...]
"""Which streams an event has, by index, and with how many frames each."""


class QueuedEvent:
    """A complete event that waits for a worker, or for its acknowledgement.

    Parameters
    ----------
    event_number : int
        Its number.
    created_ns, previous_ns : int
        When it was complete, and the event before it [ns, UTC]: by these ticks are decided.
    layout : tuple
        Its streams by index, and with how many frames each.
    frames : list of buffer
        All frames, in that order; ``None`` for one that is in shared memory.
    sizes : list of int
        Their sizes [bytes].
    places : list of int or None
        Offsets in shared memory, `OWN_PART` for one that is sent as a part of its own, -1 for the others; ``None`` if
        there are only others.

    Attributes
    ----------
    n_bytes : int
        What it counts for in its queue.
    version : int
        Of the parameters that it is for.
    first_serial : int
        Of its first delivery; negative without any.
    n_keepers : int
        Workers whose user's object still holds frames of it.
    is_released : bool
        It is finished; its frames are only there for those.
    """

    __slots__ = (
        "created_ns",
        "event_number",
        "first_serial",
        "frames",
        "is_released",
        "layout",
        "n_bytes",
        "n_keepers",
        "places",
        "previous_ns",
        "sizes",
        "version",
    )

    def __init__(
        self,
        event_number: int,
        created_ns: int,
        previous_ns: int,
        layout: Layout,
        frames: list[Any],
        sizes: list[int],
        places: list[int] | None,
    ) -> None:
        self.event_number = event_number
        self.first_serial = -1
        self.created_ns = created_ns
        self.previous_ns = previous_ns
        self.layout = layout
        self.frames = frames
        self.sizes = sizes
        self.places = places
        self.n_bytes = sum(sizes)
        self.version = 0
        self.n_keepers = 0
        self.is_released = False

    def only(self, streams: Sequence[int]) -> QueuedEvent:
        """Return the event with these streams alone."""
        layout, frames, sizes, places = [], [], [], []
        first = 0
        for index, n_frames in self.layout:
            here = slice(first, first + n_frames)
            first += n_frames
            if index in streams:
                layout.append((index, n_frames))
                frames += self.frames[here]
                sizes += self.sizes[here]
                places += [_IN_BODY] * n_frames if self.places is None else self.places[here]
        return QueuedEvent(self.event_number, self.created_ns, self.previous_ns, tuple(layout), frames, sizes, places)


class BlockHead(msgspec.Struct, array_like=True, frozen=True):
    """Everything about a block but its frames.

    Attributes
    ----------
    scan, number, version : int
        The scan, the block's own number, the version of the parameters it is for.
    is_primer : bool
        Its results are known already: the worker only has to have seen the events.
    serials, event_numbers, created_ns, previous_ns : list of int
        One for each delivery.
    layouts : list
        One for each delivery, or a single one that all have.
    sizes : list of int
        One for each frame [bytes].
    places : list of int
        One for each frame: an offset in shared memory, -1 for the next bytes of the body, -2 for a part of its own.
        Empty if all are in the body.
    """

    scan: int
    number: int
    version: int
    is_primer: bool
    serials: list[int]
    event_numbers: list[int]
    created_ns: list[int]
    previous_ns: list[int]
    layouts: list[Layout]
    sizes: list[int]
    places: list[int]


class ResultHead(msgspec.Struct, array_like=True, frozen=True):
    """Results of a block, but for the large ones.

    Attributes
    ----------
    scan, block, version : int
        As in `BlockHead`.
    worker : str
        The slot.
    parameters_hash : str
        Content hash of the parameters that were used.
    serials, event_numbers : list of int
        One for each delivery of the block.
    payloads : list of bytes or None
        One for each delivery: as `glimt.pipeline.result_codec.encode_result` makes it, ``None`` for no result, empty
        for one that is a part of its own.
    failed : list of int
        Serials of the deliveries whose ``process_event`` raised.
    small_frames : list of bytes or None
        One for each delivery: what may carry scalars for the page, as `glimt.pipeline.stream_scalars.small_frames`
        packs it. Empty if no event has any.
    """

    scan: int
    block: int
    version: int
    worker: str
    parameters_hash: str
    serials: list[int]
    event_numbers: list[int]
    payloads: list[bytes | None]
    failed: list[int]
    small_frames: list[bytes | None] = []


_encode = msgspec.msgpack.Encoder().encode
_decode_head = msgspec.msgpack.Decoder(BlockHead).decode
_decode_result = msgspec.msgpack.Decoder(ResultHead).decode


def pack_block(
    scan: int,
    number: int,
    version: int,
    deliveries: Sequence[tuple[int, QueuedEvent]],
    *,
    is_primer: bool = False,
) -> list[Any]:
    """Return the parts of the message.

    Parameters
    ----------
    scan, number, version : int
        As in `BlockHead`.
    deliveries : sequence of (int, QueuedEvent)
        Serial and event.
    is_primer : bool
        As in `BlockHead`.
    """
    events = [event for _, event in deliveries]
    layout = events[0].layout
    layouts = [layout] if all(event.layout is layout for event in events) else [event.layout for event in events]
    sizes: list[int] = []
    inline: list[Any] = []
    extra: list[Any] = []
    places: list[int] = []
    for event in events:
        sizes += event.sizes
        if event.places is None:
            inline += event.frames
            if places:
                places += [_IN_BODY] * len(event.sizes)
            continue
        if not places:
            places = [_IN_BODY] * (len(sizes) - len(event.sizes))
        for frame, place in zip(event.frames, event.places, strict=True):
            places.append(place)
            if place == _IN_BODY:
                inline.append(frame)
            elif place == OWN_PART:
                extra.append(frame)
    head = BlockHead(
        scan,
        number,
        version,
        is_primer,
        [serial for serial, _ in deliveries],
        [event.event_number for event in events],
        [event.created_ns for event in events],
        [event.previous_ns for event in events],
        layouts,
        sizes,
        places,
    )
    return [BLOCK_MARK, _encode(head), b"".join(inline), *extra]


def unpack_head(part: Any) -> BlockHead:
    """Return the head of a block."""
    return _decode_head(part)


def unpack_events(
    head: BlockHead,
    body: bytes,
    extra: Sequence[Any],
    streams: Sequence[tuple[str, str]],
    lend: Callable[[int, int], Any],
) -> Iterator[EventData]:
    """Yield the events of a block, one at a time.

    Parameters
    ----------
    head, body, extra
        The parts of the message behind the mark.
    streams : sequence of (str, str)
        Name and type of each stream.
    lend : callable
        Makes a frame of an offset and a size in shared memory.
    """
    layouts, sizes, places = head.layouts, head.sizes, head.places
    same = len(layouts) == 1
    index = start = n_extra = 0
    for position, number in enumerate(head.event_numbers):
        data: dict[str, StreamData] = {}
        for stream_index, n_frames in layouts[0 if same else position]:
            frames: list[Any] = []
            for _ in range(n_frames):
                size = sizes[index]
                place = places[index] if places else _IN_BODY
                index += 1
                if place == _IN_BODY:
                    frames.append(body[start : start + size])
                    start += size
                elif place == OWN_PART:
                    frames.append(extra[n_extra])
                    n_extra += 1
                else:
                    frames.append(lend(place, size))
            name, typ = streams[stream_index]
            data[name] = StreamData(typ, frames)
        made = [EventData(number, data)]
        # While this waits for the next event it must not hold this one: who still has a lent frame is found out.
        data, frames = {}, []
        yield made.pop()


def pack_results(head: ResultHead) -> list[bytes]:
    """Return the parts of the message; large results are parts of their own."""
    extra = [payload for payload in head.payloads if payload is not None and len(payload) >= LARGE_BYTES]
    if extra:
        small = [b"" if payload is not None and len(payload) >= LARGE_BYTES else payload for payload in head.payloads]
        head = msgspec.structs.replace(head, payloads=small)
    return [RESULT_MARK, _encode(head), *extra]


def unpack_results(parts: Sequence[bytes]) -> ResultHead:
    """Return the results of a message made by `pack_results`, from its parts behind the mark."""
    head = _decode_result(parts[0])
    if len(parts) > 1:
        extra = iter(parts[1:])
        payloads = [next(extra) if payload == b"" else payload for payload in head.payloads]
        head = msgspec.structs.replace(head, payloads=payloads)
    return head
