"""A bounded reader of CBOR (RFC 8949) that leaves payloads where they are.

General CBOR libraries copy every byte string, follow shared references and build whatever a tag asks for. A message
from a socket is walked here first, without making an object for any item, and refused if it is cut, too deep or has
too many items; then only what is asked for is read, and the bytes inside array tags stay views of the message.
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from typing import Any

import cbor2

from glimt.codecs.typed_array import ARRAY_TAGS, COMPRESSED_TAG, array_of_tag
from glimt.model.errors import DecodeError

MAX_DEPTH = 32
"""Deepest nesting of arrays, maps and tags; a DECTRIS image needs 6."""

MAX_ITEMS = 250_000
"""Most items in one message; a DECTRIS message has 30 to 200, one with a thousand spots some 20,000."""

MAX_BIGNUM_BYTES = 64

SELF_DESCRIBED = b"\xd9\xd9\xf7"
"""Tag 55799, which says "this is CBOR" and nothing else."""

_BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = 2, 3, 4, 5, 6, 7
_INDEFINITE = -1
_BREAK = 0xFF
_SHORT_ENDS = 24
_REFERENCE_TAGS = frozenset({25, 28, 29, 256})
_SCALARS: dict[int, Any] = {20: False, 21: True, 22: None, 23: cbor2.undefined}
_FLOATS = {25: struct.Struct(">e"), 26: struct.Struct(">f"), 27: struct.Struct(">d")}
_KEY_TYPES = (str, int, bytes, float)

# What an open container still expects: a number of items, or one of these.
_OPEN_ARRAY, _OPEN_MAP_KEY, _OPEN_MAP_VALUE, _OPEN_BYTES, _OPEN_TEXT = -1, -2, -3, -4, -5
_OPENED = {_ARRAY: _OPEN_ARRAY, _MAP: _OPEN_MAP_KEY, _BYTES: _OPEN_BYTES, _TEXT: _OPEN_TEXT}
_AFTER = {opened: opened for opened in _OPENED.values()} | {
    _OPEN_MAP_KEY: _OPEN_MAP_VALUE,
    _OPEN_MAP_VALUE: _OPEN_MAP_KEY,
}
_CHUNKS = {_OPEN_BYTES: _BYTES, _OPEN_TEXT: _TEXT}


def _head(view: memoryview, at: int, where: str) -> tuple[int, int, int]:
    """Return major type, argument and the offset behind the head of the item at ``at``."""
    if at >= len(view):
        raise DecodeError(f"ends at byte {at} where an item should start", where=where)
    major, info = view[at] >> 5, view[at] & 31
    if info < 24:
        return major, info, at + 1
    if info == 31 and major in (_BYTES, _TEXT, _ARRAY, _MAP):
        return major, _INDEFINITE, at + 1
    if info > 27:
        raise DecodeError(f"byte {view[at]:#04x} at {at} starts no item", where=where)
    end = at + 1 + (1 << (info - 24))
    if end > len(view):
        raise DecodeError(f"ends inside the item at byte {at}", where=where)
    return major, int.from_bytes(view[at + 1 : end], "big"), end


def _behind_string(view: memoryview, at: int, length: int, where: str) -> int:
    """Return the offset behind a string of ``length`` bytes that begins at ``at``."""
    if length > len(view) - at:
        raise DecodeError(
            f"a string of {length} bytes at byte {at}, {len(view) - at} bytes are left: the message is cut", where=where
        )
    return at + length


def _contents(view: memoryview, at: int, major: int, argument: int, where: str) -> int:
    """Return what the array, map, tag or string in chunks whose head ends at ``at`` expects."""
    if argument == _INDEFINITE:
        return _OPENED[major]
    if major == _TAG:
        if argument in _REFERENCE_TAGS:
            raise DecodeError(f"tag {argument} (references to other values) is not accepted", where=where)
        return 1
    count = argument if major == _ARRAY else 2 * argument
    if count > len(view) - at:
        raise DecodeError(f"{count} items announced at byte {at}, {len(view) - at} bytes are left", where=where)
    return count


def skip_item(view: memoryview, at: int, *, where: str, budget: int = MAX_ITEMS) -> tuple[int, int]:
    """Walk over one item without reading it.

    Parameters
    ----------
    view : memoryview
        The whole message, bytes.
    at : int
        Offset of the item's first byte.
    where : str
        For the error text.
    budget : int
        How many items it may have.

    Returns
    -------
    tuple of int
        ``(offset behind the item, what is left of the budget)``.

    Raises
    ------
    DecodeError
        Not CBOR, cut, nested deeper than `MAX_DEPTH`, more items than ``budget``, or references between values.
    """
    expected = [1]
    while expected:
        awaited = expected[-1]
        if awaited == 0:
            expected.pop()
            continue
        if awaited < 0 and at < len(view) and view[at] == _BREAK:
            if awaited == _OPEN_MAP_VALUE:
                raise DecodeError(f"a map ends at byte {at} after a key without value", where=where)
            expected.pop()
            at += 1
            continue
        expected[-1] = awaited - 1 if awaited > 0 else _AFTER[awaited]
        budget -= 1
        # A small whole number, the most frequent item, needs nothing of what follows.
        if budget >= 0 and awaited > _OPEN_BYTES and at < len(view) and view[at] < _SHORT_ENDS:
            at += 1
            continue
        major, argument, at = _head(view, at, where)
        if awaited <= _OPEN_BYTES and (major != _CHUNKS[awaited] or argument == _INDEFINITE):
            raise DecodeError(f"a string in chunks has something else before byte {at}", where=where)
        if argument == _INDEFINITE or major in (_ARRAY, _MAP, _TAG):
            expected.append(_contents(view, at, major, argument, where))
        elif major in (_BYTES, _TEXT):
            at = _behind_string(view, at, argument, where)
        if budget < 0 or len(expected) > MAX_DEPTH + 1:
            raise DecodeError(f"more than {MAX_ITEMS} items or {MAX_DEPTH} levels at byte {at}", where=where)
    return at, budget


def scan_map(message: Any, *, where: str) -> dict[str, memoryview]:
    """Return the encoded value under each key of a message that is one map, tag 55799 before it or not.

    Every value is walked, none is read: see `read_item`.

    Raises
    ------
    DecodeError
        As `skip_item`; also for a key that is no text or occurs twice, and for bytes behind the map.
    """
    view = memoryview(message).cast("B")
    at = len(SELF_DESCRIBED) if view[:3] == SELF_DESCRIBED else 0
    major, count, at = _head(view, at, where)
    if major != _MAP:
        raise DecodeError("not a CBOR map", where=where)
    if count > len(view) - at:
        raise DecodeError(f"a map of {count} keys, {len(view) - at} bytes are left", where=where)
    spans: dict[str, memoryview] = {}
    budget = MAX_ITEMS
    while len(spans) != count:
        if count == _INDEFINITE and at < len(view) and view[at] == _BREAK:
            at += 1
            break
        key, start, budget = _key(view, at, where, budget)
        if key in spans:
            raise DecodeError(f"key {key!r:.60} at byte {at} occurs twice", where=where)
        at, budget = skip_item(view, start, where=where, budget=budget)
        spans[key] = view[start:at]
    if at != len(view):
        raise DecodeError(f"{len(view) - at} bytes behind the map", where=where)
    return spans


def _key(view: memoryview, at: int, where: str, budget: int) -> tuple[str, int, int]:
    """Return the text at ``at``, the offset behind it and what is left of the budget."""
    if at < len(view) and view[at] >> 5 != _TEXT:
        raise DecodeError(f"a key that is no text at byte {at}", where=where)
    end, budget = skip_item(view, at, where=where, budget=budget)
    return read_item(view[at:end], where=where), end, budget


def read_item(span: memoryview, *, where: str) -> Any:
    """Return the value of one item that `skip_item` or `scan_map` has walked.

    Arrays are lists, maps are dicts. Dates (tags 0 and 1) are `datetime`, arrays of numbers (tags 40, 1040 and 64 to
    87) are `glimt.codecs.typed_array.EncodedArray` over the bytes of ``span``, any other tag is a ``cbor2.CBORTag``.

    Raises
    ------
    DecodeError
        Text is not UTF-8, a date is none, a number is too long, an array tag has a malformed content, a map key
        cannot be one.
    """
    return _Reader(span, where).read(0)[0]


class _Reader:
    """One value being read. Recursive: depth and size were checked by `skip_item`."""

    __slots__ = ("_view", "_where", "_zero_copy")

    def __init__(self, view: memoryview, where: str) -> None:
        self._view = view
        self._where = where
        self._zero_copy = False

    def read(self, at: int) -> tuple[Any, int]:
        major, argument, behind = _head(self._view, at, self._where)
        if major < _BYTES:
            return (-1 - argument if major else argument), behind
        if major == _TEXT:
            return self._text(argument, behind)
        if major == _SIMPLE:
            return self._simple(self._view[at] & 31, argument, at), behind
        if major == _BYTES:
            return self._bytes(argument, behind)
        if major == _TAG:
            return self._tag(argument, behind)
        return (self._array if major == _ARRAY else self._map)(argument, behind)

    def _string(self, length: int, at: int) -> tuple[memoryview, int]:
        if length != _INDEFINITE:
            return self._view[at : at + length], at + length
        chunks = []
        while self._view[at] != _BREAK:
            _, length, at = _head(self._view, at, self._where)
            chunks.append(self._view[at : at + length])
            at += length
        return memoryview(b"".join(chunks)), at + 1

    def _bytes(self, length: int, at: int) -> tuple[Any, int]:
        content, end = self._string(length, at)
        return (content if self._zero_copy else bytes(content)), end

    def _text(self, length: int, at: int) -> tuple[str, int]:
        content, end = self._string(length, at)
        try:
            return str(content, "utf-8"), end
        except UnicodeDecodeError as error:
            raise DecodeError(f"text that is not UTF-8 ({error.reason})", where=self._where) from None

    def _array(self, count: int, at: int) -> tuple[list[Any], int]:
        items: list[Any] = []
        while len(items) != count:
            if count == _INDEFINITE and self._view[at] == _BREAK:
                return items, at + 1
            item, at = self.read(at)
            items.append(item)
        return items, at

    def _map(self, count: int, at: int) -> tuple[dict[Any, Any], int]:
        pairs: dict[Any, Any] = {}
        while len(pairs) != count:
            if count == _INDEFINITE and self._view[at] == _BREAK:
                return pairs, at + 1
            key, at = self.read(at)
            if not isinstance(key, _KEY_TYPES) or key in pairs:
                raise DecodeError(f"key {key!r:.60} cannot be one or occurs twice", where=self._where)
            pairs[key], at = self.read(at)
        return pairs, at

    def _simple(self, info: int, argument: int, at: int) -> Any:
        if info in _FLOATS:
            return _FLOATS[info].unpack_from(self._view, at + 1)[0]
        if argument in _SCALARS:
            return _SCALARS[argument]
        try:
            return cbor2.CBORSimpleValue(argument)
        except (TypeError, ValueError):
            raise DecodeError(f"simple value {argument} is reserved", where=self._where) from None

    def _tag(self, number: int, at: int) -> tuple[Any, int]:
        outer, self._zero_copy = self._zero_copy, number in ARRAY_TAGS or number == COMPRESSED_TAG
        content, end = self.read(at)
        self._zero_copy = outer
        if number in ARRAY_TAGS:
            return array_of_tag(number, content, where=self._where), end
        if number in (0, 1):
            return self._date(content), end
        if number in (2, 3):
            return self._bignum(number, content), end
        return cbor2.CBORTag(number, content), end

    def _date(self, content: Any) -> datetime:
        try:
            if isinstance(content, str):
                return datetime.fromisoformat(content)
            return datetime.fromtimestamp(content, UTC)
        except (TypeError, ValueError, OverflowError, OSError):
            raise DecodeError(f"{content!r:.60} is not a date", where=self._where) from None

    def _bignum(self, number: int, content: Any) -> int:
        if not isinstance(content, bytes) or len(content) > MAX_BIGNUM_BYTES:
            raise DecodeError(f"a big number that is not {MAX_BIGNUM_BYTES} bytes or fewer", where=self._where)
        value = int.from_bytes(content, "big")
        return value if number == 2 else -1 - value
