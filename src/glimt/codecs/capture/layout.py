"""Where things are in one item of a capture: reads the CBOR heads, skips the payloads.

This is what `glimt.codecs.capture.run` is held against, and what reads every item that is not one of many alike. Only
what the format allows is accepted: no indefinite lengths, no nesting, no other tags.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from glimt.model.errors import DecodeError
from glimt.model.frame import MAX_ARRAY_BYTES

if TYPE_CHECKING:
    from glimt.codecs.capture.window import Window

SELF_DESCRIBED = 55799
MESSAGE_TAG = 42877
STREAM_TAG = 42878

MAX_STREAMS = 4096
MAX_FRAMES = 1 << 20
MAX_NAME_BYTES = 4096

_UINT, _BYTES, _TEXT, _ARRAY, _MAP, _TAG = 0, 2, 3, 4, 5, 6
_MAJOR_NAMES = ("a number", "a negative number", "bytes", "text", "an array", "a map", "a tag", "a simple value")
_BLOCK = 4096


class ItemError(DecodeError):
    """One item of a capture cannot be read.

    Parameters
    ----------
    what : str
        What was found instead of what.
    offset : int
        Byte offset of the offending head.
    truncated : bool
        The data end inside the item.
    """

    def __init__(self, what: str, *, offset: int, truncated: bool = False) -> None:
        super().__init__(what, where=f"capture item, byte {offset}")
        self.offset = offset
        self.truncated = truncated


class StreamLayout(NamedTuple):
    """One stream of an item: name, protocol, and offset and length [bytes] of each frame."""

    name: str
    typ: str
    frames: list[tuple[int, int]]


class ItemLayout(NamedTuple):
    """One item: it begins at ``offset``, the next one at ``end``; ``created`` is where its time stamp's text lies."""

    offset: int
    end: int
    event_number: int
    streams: list[StreamLayout]
    created: tuple[int, int] | None


class _Heads:
    """Reads CBOR heads through a small block of bytes, so that payloads are never touched."""

    def __init__(self, window: Window, offset: int) -> None:
        self._window = window
        self._start = offset
        self._block = window.read(offset, _BLOCK)
        self.offset = offset

    def at_end(self) -> bool:
        return not self._bytes(1)

    def _bytes(self, length: int) -> bytes:
        first = self.offset - self._start
        data = self._block[first : first + length]
        if len(data) < length:
            self._start = self.offset
            self._block = self._window.read(self.offset, max(_BLOCK, length))
            data = self._block[:length]
        return data

    def head(self, what: str) -> tuple[int, int]:
        """Return major type and argument of the next head."""
        at = self.offset
        data = self._bytes(9)
        if not data:
            raise ItemError(f"the data end where {what} should be", offset=at, truncated=True)
        major, info = data[0] >> 5, data[0] & 31
        if info < 24:
            self.offset += 1
            return major, info
        if info > 27:
            raise ItemError(f"{what} has an indefinite or reserved length", offset=at)
        size = 1 << (info - 24)
        if len(data) < 1 + size:
            raise ItemError(f"the data end inside {what}", offset=at, truncated=True)
        self.offset += 1 + size
        return major, int.from_bytes(data[1 : 1 + size], "big")

    def expect(self, wanted: int, what: str, limit: int) -> int:
        """Return the argument of the next head, which must be of the major type ``wanted`` and at most ``limit``."""
        at = self.offset
        major, argument = self.head(what)
        if major != wanted:
            raise ItemError(f"{what} should be {_MAJOR_NAMES[wanted]}, found {_MAJOR_NAMES[major]}", offset=at)
        if argument > limit:
            raise ItemError(f"{what} announces {argument}, at most {limit} are accepted", offset=at)
        return argument

    def tag(self, number: int, what: str) -> None:
        at = self.offset
        major, argument = self.head(what)
        if (major, argument) != (_TAG, number):
            found = f"tag {argument}" if major == _TAG else _MAJOR_NAMES[major]
            raise ItemError(f"{what} should be tag {number}, found {found}", offset=at)

    def skip(self, length: int, what: str) -> tuple[int, int]:
        """Step over a payload and return its offset and length."""
        if not self._window.holds(self.offset, length):
            raise ItemError(f"the data end inside {what} of {length} bytes", offset=self.offset, truncated=True)
        place = self.offset, length
        self.offset += length
        return place

    def text(self, what: str) -> str:
        length = self.expect(_TEXT, what, MAX_NAME_BYTES)
        at, _ = self.skip(length, what)
        self.offset = at
        data = self._bytes(length)
        self.offset = at + length
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise ItemError(f"{what} is not UTF-8 ({error})", offset=at) from None


def _read_stream(heads: _Heads) -> StreamLayout:
    name = heads.text("a stream's name")
    heads.tag(STREAM_TAG, f"stream {name!r}")
    at = heads.offset
    if heads.expect(_ARRAY, f"stream {name!r}", 2) != 2:
        raise ItemError(f"stream {name!r} needs a type and frames", offset=at)
    typ = heads.text(f"the type of stream {name!r}")
    n_frames = heads.expect(_ARRAY, f"the frames of stream {name!r}", MAX_FRAMES)
    frames = []
    for number in range(n_frames):
        what = f"frame {number} of stream {name!r}"
        at = heads.offset
        major, length = heads.head(what)
        if major not in {_BYTES, _TEXT}:
            raise ItemError(f"{what} should be bytes, found {_MAJOR_NAMES[major]}", offset=at)
        if length > MAX_ARRAY_BYTES:
            raise ItemError(f"{what} announces {length} bytes, at most {MAX_ARRAY_BYTES} are accepted", offset=at)
        frames.append(heads.skip(length, what))
    return StreamLayout(name, typ, frames)


def read_layout(window: Window, offset: int) -> ItemLayout | None:
    """Return where things are in the item at ``offset``, or ``None`` where the data end.

    Raises
    ------
    ItemError
        Not an item of a capture, or the data end inside it.
    """
    heads = _Heads(window, offset)
    if heads.at_end():
        return None
    _read_tags(heads)
    at = heads.offset
    n_fields = heads.expect(_ARRAY, "an event", 3)
    if n_fields < 2:
        raise ItemError(f"an event has 2 or 3 fields, found {n_fields}", offset=at)
    event_number = heads.expect(_UINT, "the event number", (1 << 63) - 1)
    n_streams = heads.expect(_MAP, "the streams", MAX_STREAMS)
    streams = [_read_stream(heads) for _ in range(n_streams)]
    if len({stream.name for stream in streams}) != n_streams:
        raise ItemError("a stream occurs twice in one event", offset=at)
    created = None
    if n_fields == 3:
        heads.tag(0, "the time stamp")
        created = heads.skip(heads.expect(_TEXT, "the time stamp", 64), "the time stamp")
    return ItemLayout(offset, heads.offset, event_number, streams, created)


def _read_tags(heads: _Heads) -> None:
    at = heads.offset
    major, argument = heads.head("a capture item")
    if (major, argument) == (_TAG, SELF_DESCRIBED):
        at = heads.offset
        major, argument = heads.head("a capture item")
    if (major, argument) == (_TAG, MESSAGE_TAG):
        return
    if major == _ARRAY and argument and not heads.at_end() and heads.head("a part")[0] == _BYTES:
        raise ItemError(
            "not a capture; if it is a raw recording of multipart messages, convert it with glimt convert", offset=at
        )
    found = f"tag {argument}" if major == _TAG else _MAJOR_NAMES[major]
    raise ItemError(f"not a capture: an item begins with tag {MESSAGE_TAG}, found {found}", offset=at)
