"""Numbers that streams carry beside the images, such as I0: found in an event's small frames, decoded when asked for.

A worker only passes the small frames on (`small_frames`); `scalars_of` decodes them where somebody looks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from glimt.codecs import albaem, contrast, pandabox, sardana, stins
from glimt.model.event import EventData, frame_bytes

SmallFrames = list[tuple[str, str, list[bytes]]]
"""Name and type of each stream with small frames, and the frames."""

MAX_NAMES = 32
"""Most numbers that are taken of one stream, the first ones of its message."""
MAX_EVENT_BYTES = 32 << 10
"""Most that the small frames of one event may have [bytes]; further streams are left out."""

_MAX_NAME = 100
_MAX_DEPTH = 4
_LONGEST: dict[str, tuple[int, ...]] = {
    albaem.TYP: (8 << 10,),
    contrast.TYP: (16 << 10,),
    pandabox.TYP: (8 << 10,),
    sardana.TYP: (8 << 10,),
    stins.TYP: (4 << 10, 64),  # one number; an image has more
}
"""Longest parts [bytes] of a message that may carry scalars, by type; of other types none does."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(SmallFrames).decode


def small_frames(event: EventData) -> bytes | None:
    """Return the frames of an event that may carry scalars, packed; ``None`` if there are none.

    Nothing is decoded: this runs for every event. Frames of images are not touched. What is returned is one object for
    Python's garbage collector, which would otherwise look through thousands of lists that are kept.
    """
    found: SmallFrames = []
    room = MAX_EVENT_BYTES
    try:
        for name, data in event.streams.items():
            longest = _LONGEST.get(data.typ)
            if longest is None or len(data.frames) != len(longest) or not isinstance(name, str):
                continue
            sizes = [len(frame) for frame in data.frames]
            if all(map(int.__le__, sizes, longest)) and sum(sizes) <= room:
                found.append((name, data.typ, [frame_bytes(frame) for frame in data.frames]))
                room -= sum(sizes)
        return _encode(found) if found else None
    except (AttributeError, TypeError, ValueError):  # events of a user's own source may be anything
        return None


def unpacked(packed: bytes) -> SmallFrames:
    """Return what `small_frames` packed."""
    return _decode(packed)


def joined(packed: bytes, other: bytes) -> tuple[bytes, int, int]:
    """Return what two workers passed on of one event, and how many streams the first one and both have.

    Each stream counts once; those that only the other one has come behind.
    """
    first = unpacked(packed)
    names = {name for name, _, _ in first}
    both = [*first, *(stream for stream in unpacked(other) if stream[0] not in names)]
    return _encode(both), len(first), len(both)


def scalars_of(typ: str, frames: Sequence[bytes]) -> dict[str, float]:
    """Return the numbers in a stream's message, by name; nothing if the frames are damaged or of another type.

    Names are those of the message, ``/`` between the levels of nested ones. At most `MAX_NAMES`; integers become
    floats; arrays count where they have one element.
    """
    read = _READERS.get(typ)
    found: dict[str, float] = {}
    if read is None:
        return found
    try:
        for name, number in _numbers(read(frames), ""):
            found[name] = number
            if len(found) >= MAX_NAMES:
                break
    except Exception:  # noqa: BLE001  it came from outside: the page does without the numbers of this event
        return {}
    return found


def _numbers(values: Mapping[Any, Any], prefix: str) -> Iterator[tuple[str, float]]:
    for key, value in values.items():
        name = key if isinstance(key, str) else repr(key)
        if not name or len(name) > _MAX_NAME or not name.isprintable():
            continue
        path = prefix + name.replace("/", "_")
        if isinstance(value, Mapping):
            if path.count("/") < _MAX_DEPTH - 1:
                yield from _numbers(value, f"{path}/")
        elif (number := _number(value)) is not None:
            yield path, number


def _number(value: Any) -> float | None:
    if isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    if isinstance(value, np.ndarray | np.generic):
        if value.size != 1 or value.dtype.kind not in "biuf":
            return None
        return float(value.item())
    if not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.nan


def _data_keys(decode: Callable[[Sequence[Any]], Any], kind: type[Any]) -> Callable[[Sequence[Any]], Mapping[str, Any]]:
    """Return a reader of the keys that the beamline chose in messages of one kind."""

    def read(frames: Sequence[Any]) -> Mapping[str, Any]:
        record = decode(frames)
        return record.extra if isinstance(record, kind) else {}

    return read


def _stins_value(frames: Sequence[Any]) -> Mapping[str, Any]:
    record = stins.decode(frames)
    is_one = isinstance(record, stins.StinsImage) and math.prod(record.shape) == 1
    return {"value": record.data} if is_one else {}


_READERS: dict[str, Callable[[Sequence[Any]], Mapping[str, Any]]] = {
    albaem.TYP: _data_keys(albaem.decode, albaem.AlbaemData),
    contrast.TYP: _data_keys(contrast.decode, contrast.ContrastRunning),
    pandabox.TYP: _data_keys(pandabox.decode, pandabox.PcapData),
    sardana.TYP: _data_keys(sardana.decode, sardana.SardanaRecordData),
    stins.TYP: _stins_value,
}
