"""Trigger maps as JSON: what dranspose's clients send to ``/sequence`` and ``/mapping``, and what they get back.

Also known here, in place of a stream's list: rules, for maps too big to be listed (`TriggerMap.from_json`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NoReturn

import msgspec

from glimt.model.errors import UsageError
from glimt.model.trigger_map_column import GENERIC, SIMPLE, Column, EntryShape, RuleColumn
from glimt.model.trigger_map_entries import MAX_LISTED_ENTRIES, SPACE, STRING, ListReader, clipped, rule_column
from glimt.model.trigger_map_part import Part

MAX_MAP_BYTES = 256 << 20
"""Largest body that is read [bytes]; a million triggers of two streams, listed, have 52 MB."""

MAX_PARTS = 1024
MAX_STREAMS = 1024
MAX_INSTANCES = 1 << 20
"""Longest sequence."""

MAX_COMPARED = 8
"""A stream's entries are compared with those of so many others of its part: a thousand streams would take minutes."""

MAX_NAME_CHARACTERS = 200
MAX_RULE_BYTES = 1 << 16

SINGLE_PART = "main"
"""Name of the part of a map that has no parts."""

_FLAT = rb'(?:[^{}"]++|%b)' % STRING
_OBJECT_START = re.compile(rb"%b\{%b(\}?)" % (SPACE, SPACE))
_KEY = re.compile(rb"(%b)%b:%b" % (STRING, SPACE, SPACE), re.DOTALL)
_MEMBER_END = re.compile(rb"%b([,}])%b" % (SPACE, SPACE))
_RULE = re.compile(rb"\{(?:%b|\{%b*+\})*+\}" % (_FLAT, _FLAT), re.DOTALL)
_NAMES = re.compile(rb"\[%b(?:%b%b(?:,%b|(?=\])))*+\]" % (SPACE, STRING, SPACE, SPACE), re.DOTALL)
_END = re.compile(rb"%b\Z" % SPACE)
# GET answers {"mapping": {stream: [...]}} for a part; a stream of that name is followed by a list or a rule.
_STREAMS_OBJECT = re.compile(rb'\{%b(?!"repeat"|"tags")(?:\}|%b%b:%b[\[{])' % (SPACE, STRING, SPACE, SPACE), re.DOTALL)

_BLOCK = 4096


def read_map(
    data: bytes | str | Mapping[str, Any], *, max_bytes: int = MAX_MAP_BYTES, max_entries: int = MAX_LISTED_ENTRIES
) -> tuple[dict[str, Part], list[str]]:
    """Return the parts and the sequence of a map, see `TriggerMap.from_json`.

    Parameters
    ----------
    data : bytes, str or mapping
        The map.
    max_bytes, max_entries : int
        Longest JSON, and most entries listed in it, that are accepted.

    Raises
    ------
    UsageError
        It is not one; the text says where.
    """
    return _Reader(_body(data, max_bytes), max_entries).read()


def _body(data: bytes | str | Mapping[str, Any], max_bytes: int) -> bytes:
    try:
        if isinstance(data, Mapping):
            data = json.dumps(data, allow_nan=False)  # msgspec writes NaN as null, which means something here
        body = data.encode() if isinstance(data, str) else bytes(data)
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"trigger map cannot be written as JSON ({clipped(str(error))})") from None
    if len(body) > max_bytes:
        raise UsageError(
            f"trigger map of {len(body)} bytes, at most {max_bytes} are accepted: repeat a part in the sequence "
            'or give a rule such as {"each": 1000000} in place of a list'
        )
    return body


class _Reader:
    """Walks through the body once; nothing is kept but columns and names."""

    def __init__(self, body: bytes, max_entries: int) -> None:
        self._body = body
        self._at = 0
        self._n_entries_left = max_entries

    def read(self) -> tuple[dict[str, Part], list[str]]:
        parts: dict[str, Part] | None = None
        sequence: list[str] | None = None
        unnamed: dict[str, Column] = {}
        for key in self._members("trigger map", MAX_STREAMS):
            if key == "parts":
                parts = {name: self._part(name) for name in self._members("parts", MAX_PARTS)}
            elif key == "sequence":
                sequence = self._sequence()
            else:
                self._add_column(unnamed, SINGLE_PART, key)
        if not _END.match(self._body, self._at):
            self._refuse("trigger map", "more text behind its end")
        if parts is None and sequence is None:
            return {SINGLE_PART: Part(unnamed)}, [SINGLE_PART]
        if parts is None or sequence is None:
            raise UsageError(f"trigger map has no {'sequence' if sequence is None else 'parts'!r}: both are needed")
        if unnamed:
            name = clipped(next(iter(unnamed)))
            raise UsageError(f"trigger map has {name!r} beside 'parts' and 'sequence': streams belong into a part")
        return parts, sequence

    def _part(self, name: str) -> Part:
        columns: dict[str, Column] = {}
        for stream in self._members(f"part {clipped(name)!r}", MAX_STREAMS):
            if stream == "mapping" and not columns and _STREAMS_OBJECT.match(self._body, self._at):
                for inner in self._members(f"part {clipped(name)!r}", MAX_STREAMS):
                    self._add_column(columns, name, inner)
            else:
                self._add_column(columns, name, stream)
        return Part(columns)

    def _add_column(self, columns: dict[str, Column], part: str, stream: str) -> None:
        where = f"part {clipped(part)!r}, stream {clipped(stream)!r}"
        if stream in columns:
            raise UsageError(f"{where} is there twice")
        column = self._column(where)
        for name, other in islice(columns.items(), 1):
            if column.n_events != other.n_events:
                raise UsageError(
                    f"part {clipped(part)!r}: length not equal, stream {clipped(name)!r} has {other.n_events} entries "
                    f"and stream {clipped(stream)!r} {column.n_events}"
                )
        # Detectors of one scan mostly have the same entries: held once, and looked up once an event.
        likely = islice(columns.values(), MAX_COMPARED)
        columns[stream] = next((other for other in likely if column.is_same_as(other)), column)

    def _column(self, where: str) -> Column:
        if self._body.startswith(b"{", self._at):
            rule = _RULE.match(self._body, self._at, self._at + MAX_RULE_BYTES)
            if rule is None:
                self._refuse(where, "neither a list of entries nor a rule")
            self._at = rule.end()
            return rule_column(rule[0], where=where)
        if not self._body.startswith(b"[", self._at):
            self._refuse(where, "neither a list of entries nor a rule")
        reader = ListReader(self._body, where=where, most=self._n_entries_left)
        column, self._at = reader.read(self._at)
        self._n_entries_left -= column.n_events
        return column

    def _sequence(self) -> list[str]:
        found = _NAMES.match(self._body, self._at)
        if found is None:
            self._refuse("sequence", "not a list of part names")
        self._at = found.end()
        text = found[0]
        if text.count(b'"') > 2 * MAX_INSTANCES:  # before anything is made of it
            raise UsageError(f"sequence is longer than {MAX_INSTANCES}: make its parts longer")
        try:
            return msgspec.json.decode(text, type=list[str])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"sequence is not a list of part names ({clipped(str(error))})") from None

    def _members(self, what: str, most: int) -> Iterator[str]:
        """Yield the keys of the object that begins here; the caller reads the value before it asks for the next."""
        start = _OBJECT_START.match(self._body, self._at)
        if start is None:
            self._refuse(what, "not a JSON object")
        self._at, more = start.end(), not start[1]
        seen: set[str] = set()
        while more:
            name = self._key(what)
            if name in seen:
                raise UsageError(f"{what} has {clipped(name)!r} twice")
            seen.add(name)
            if len(seen) > most:
                raise UsageError(f"{what} has more than {most} names")
            yield name
            end = _MEMBER_END.match(self._body, self._at)
            if end is None:
                self._refuse(what, f"no ',' or '}}' behind {clipped(name)!r}")
            self._at, more = end.end(), end[1] == b","

    def _key(self, what: str) -> str:
        key = _KEY.match(self._body, self._at)
        if key is None:
            self._refuse(what, "no name in quotes, followed by ':'")
        self._at = key.end()
        if len(key[1]) > 6 * MAX_NAME_CHARACTERS:  # an escaped character is six bytes long
            raise UsageError(f"{what} has a name of {len(key[1])} bytes, {MAX_NAME_CHARACTERS} characters are enough")
        try:
            return msgspec.json.decode(key[1], type=str)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{what} has a name that is not JSON ({error})") from None

    def _refuse(self, what: str, problem: str) -> NoReturn:
        found = clipped(self._body[self._at : self._at + 30].decode("utf-8", "replace"))
        raise UsageError(f"{what}: {problem}, at byte {self._at} (found {found!r})")


def write_map(parts: Mapping[str, Part], sequence: Sequence[str]) -> Iterator[bytes]:
    """Yield the JSON that ``GET /sequence`` answers, piece by piece: a rule of 20 bytes may mean gigabytes."""
    yield b'{"parts":{'
    for number, (name, part) in enumerate(parts.items()):
        yield b'%b%b:{"mapping":{' % (b"," if number else b"", msgspec.json.encode(name))
        for stream_number, (stream, column) in enumerate(part.columns.items()):
            yield b"%b%b:[" % (b"," if stream_number else b"", msgspec.json.encode(stream))
            for first in range(0, column.n_events, _BLOCK):
                yield b"," if first else b""
                yield _entries_json(column, first, min(first + _BLOCK, column.n_events))
            yield b"]"
        yield b"}}"
    yield b'},"sequence":%b}' % msgspec.json.encode(sequence)


def _entries_json(column: Column, first: int, stop: int) -> bytes:
    patterns, values = column.block(first, stop)
    if (patterns == SIMPLE).all():
        template = _template(column.shapes[SIMPLE])
        return b",".join([template % value for value in values.tolist()])
    templates = [_template(shape) for shape in column.shapes]
    return b",".join([templates[pattern] for pattern in patterns.tolist()]) % tuple(values.tolist())


def _template(shape: EntryShape) -> bytes:
    """Return the JSON of an entry with ``%d`` where its constraints go."""
    if shape is None:
        return b"null"
    workers = [
        b'{"tags":%b,"constraint":%b}'
        % (msgspec.json.encode(sorted(tags)).replace(b"%", b"%%"), b"%d" if has_constraint else b"null")
        for tags, has_constraint in shape
    ]
    return b"[%b]" % b",".join(workers)


def uniform_part(streams: Sequence[str], n_events: int) -> Part:
    """Return a part in which every event of all streams goes to one worker, each event to any."""
    return Part(dict.fromkeys(streams, RuleColumn(n_events, ((GENERIC, True),))))
