"""Entries of a trigger map in JSON: dranspose's lists and glimt's rules.

A list of a million entries never becomes a million Python objects: runs of the common forms are turned into numbers by
NumPy, and only what is left is decoded, a few thousand entries at a time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, NoReturn

import msgspec
import numpy as np
import numpy.typing as npt

from glimt.model.errors import UsageError
from glimt.model.trigger_map_column import (
    DISCARD,
    GENERIC,
    NULL,
    SIMPLE,
    STANDARD_SHAPES,
    EntryShape,
    RuleColumn,
    TabulatedColumn,
    WorkerShape,
    narrowed,
)
from glimt.model.trigger_map_part import MAX_CONSTRAINT

MAX_TARGETS = 256
"""Most virtual workers in one entry."""

MAX_SHAPES = 4096
"""Most different shapes of entries (tags, number of virtual workers) of one stream in one part."""

MAX_RUN_BYTES = 1 << 20
"""Longest text that is decoded at once [bytes], so also that of one entry."""

MAX_LISTED_ENTRIES = 1 << 24
"""Most entries that are listed one by one in a whole map; rules and repeated parts make any number from a few bytes."""

MAX_TAG_CHARACTERS = 100
MAX_RULE_EVENTS = 1 << 32
"""Most events that a rule may make: a year at 100 Hz."""

SPACE = rb"[ \t\r\n]*+"
STRING = rb'"(?:[^"\\]++|\\.)*+"'
_OUTSIDE = rb'[^"\[\]]++'

# The forms of which long runs are: null, discard, one generic virtual worker with a constraint (GET spells its tags).
_COMMON = (rb'null|\[\]|\[\{_(?:"tags"_:_\["generic"\]_,_)?+"constraint"_:_(?:0|[1-9][0-9]{0,12}+)_\}\]').replace(
    b"_", SPACE
)
_ANY = rb"null|\[(?:%b|%b|\[(?:%b|%b)*+\])*+\]" % (_OUTSIDE, STRING, _OUTSIDE, STRING)


def _run(entry: bytes, most: int) -> re.Pattern[bytes]:
    # Possessive throughout: no backtracking, so linear time and no stack, whatever comes.
    return re.compile(rb"(?:%b)(?:%b,%b(?:%b)){0,%d}+" % (entry, SPACE, SPACE, entry, most - 1), re.DOTALL)


MAX_COMMON_RUN = 8192
MIN_COMMON_RUN = 32
MAX_OTHER_RUN = 2048
_COMMON_RUN = _run(_COMMON, MAX_COMMON_RUN)
_OTHER_RUN = _run(_ANY, MAX_OTHER_RUN)
_SEPARATOR = re.compile(rb"%b([,\]])%b" % (SPACE, SPACE))
_OPENING = re.compile(rb"\[%b(\]?)" % SPACE)
_NULL_NUMBER, _DISCARD_NUMBER = -1, -2
_NUMBERS_ONLY = bytes(code if chr(code) in "-0123456789" else 32 for code in range(256))

_Constraint = Annotated[int, msgspec.Meta(ge=0, le=MAX_CONSTRAINT)]
_Tag = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TAG_CHARACTERS)]
_Tags = Annotated[frozenset[_Tag], msgspec.Meta(min_length=1)]


class _VirtualWorker(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    tags: _Tags = GENERIC
    constraint: _Constraint | None = None


_Entry = Annotated[list[_VirtualWorker], msgspec.Meta(max_length=MAX_TARGETS)] | None
_Length = Annotated[int, msgspec.Meta(ge=0, le=MAX_RULE_EVENTS)]
_Positive = Annotated[int, msgspec.Meta(ge=1, le=MAX_RULE_EVENTS)]


class _EachRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    each: _Length
    every: _Positive = 1
    offset: _Length = 0
    group: _Positive = 1
    cycle: _Positive | None = None
    tags: _Tags = GENERIC


class _RepeatRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    repeat: _Entry
    n: _Length
    every: _Positive = 1
    offset: _Length = 0


_entries_decoder = msgspec.json.Decoder(list[_Entry])
_each_decoder = msgspec.json.Decoder(_EachRule)
_repeat_decoder = msgspec.json.Decoder(_RepeatRule)


class ListReader:
    """Reads one stream's list of entries.

    Parameters
    ----------
    data : bytes
        The whole body.
    where : str
        Part and stream, for error texts.
    most : int
        Most entries it may have (a few thousand more are read before it is refused).
    """

    def __init__(self, data: bytes, *, where: str, most: int = MAX_LISTED_ENTRIES) -> None:
        self._data = data
        self._where = where
        self._most = most
        self._shapes: dict[EntryShape, int] = {shape: index for index, shape in enumerate(STANDARD_SHAPES)}
        self._workers: dict[WorkerShape, WorkerShape] = {}
        self._patterns: list[npt.NDArray[np.uint16]] = []
        self._values: list[npt.NDArray[np.unsignedinteger]] = []
        self._n_entries = 0

    def read(self, at: int) -> tuple[TabulatedColumn, int]:
        """Read the list that begins at byte ``at``.

        Returns
        -------
        tuple
            The column and the byte behind the list.

        Raises
        ------
        UsageError
            Something in it is no entry; the text says which.
        """
        opening = _OPENING.match(self._data, at)
        if opening is None:
            raise UsageError(f"{self._where}: expected a list of entries")
        at, more = opening.end(), not opening[1]
        while more:
            at = self._read_run(at)
            if self._n_entries > self._most:
                problem = "is one more than a map may list; repeat a part in the sequence or give a rule such as"
                self._refuse(f'{problem} {{"each": 1000000}}', self._most)
            separator = _SEPARATOR.match(self._data, at)
            if separator is None:
                self._refuse("is not followed by ',' or ']'", self._n_entries - 1)
            at, more = separator.end(), separator[1] == b","
        patterns = np.concatenate(self._patterns) if self._patterns else np.empty(0, np.uint16)
        values = np.concatenate(self._values) if self._values else np.empty(0, np.uint32)
        return TabulatedColumn.from_arrays(list(self._shapes), patterns, values), at

    def _read_run(self, at: int) -> int:
        run = _COMMON_RUN.match(self._data, at)
        if run is not None:
            numbers = self._numbers(run[0])
            if len(numbers) >= MIN_COMMON_RUN or _at_end(self._data, run.end()):
                self._add_numbers(numbers)
                return run.end()
        run = _OTHER_RUN.match(self._data, at, at + MAX_RUN_BYTES)
        if run is None:
            self._refuse(
                f"is not null, [] or a list of at most {MAX_TARGETS} virtual workers such as "
                '{"tags": ["generic"], "constraint": 5}',
                self._n_entries,
            )
        self._add_entries(run[0])
        return run.end()

    def _numbers(self, text: bytes) -> npt.NDArray[np.int64]:
        text = text.replace(b"null", b"%d" % _NULL_NUMBER).replace(b"[]", b"%d" % _DISCARD_NUMBER)
        return np.fromstring(text.translate(_NUMBERS_ONLY).decode("ascii"), np.int64, sep=" ")

    def _add_numbers(self, numbers: npt.NDArray[np.int64]) -> None:
        largest = int(numbers.argmax())
        if numbers[largest] > MAX_CONSTRAINT:
            problem = f"has constraint {numbers[largest]}, the largest allowed is {MAX_CONSTRAINT}"
            self._refuse(problem, self._n_entries + largest)
        patterns = np.full(len(numbers), SIMPLE, np.uint16)
        patterns[numbers == _NULL_NUMBER] = NULL
        patterns[numbers == _DISCARD_NUMBER] = DISCARD
        self._patterns.append(patterns)
        self._values.append(narrowed(numbers[patterns == SIMPLE]))
        self._n_entries += len(numbers)

    def _add_entries(self, text: bytes) -> None:
        try:
            entries = _entries_decoder.decode(b"[%b]" % text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self._refuse_first_bad(text, error)
        patterns, values = [], []
        for index, entry in enumerate(entries):
            shape, constraints = _taken_apart(entry)
            pattern = self._shapes.get(shape)
            patterns.append(self._new_shape(shape, self._n_entries + index) if pattern is None else pattern)
            values += constraints
        self._patterns.append(np.array(patterns, np.uint16))
        self._values.append(narrowed(np.array(values, np.int64)))
        self._n_entries += len(entries)

    def _new_shape(self, shape: EntryShape, entry: int) -> int:
        if len(self._shapes) >= MAX_SHAPES:
            self._refuse(f"is of yet another form; at most {MAX_SHAPES} combinations of tags are accepted", entry)
        # Equal virtual workers are one object: thousands of shapes are made of a few of them.
        shared = tuple([self._workers.setdefault(worker, worker) for worker in shape or ()])
        return self._shapes.setdefault(shared, len(self._shapes))

    def _refuse_first_bad(self, text: bytes, error: Exception) -> NoReturn:
        found = re.search(r" - at `\$\[(\d+)\](.*)`$", str(error), re.DOTALL)
        if found is None:
            problem = f"or one of the {MAX_OTHER_RUN} behind it is not JSON ({clipped(str(error))})"
            self._refuse(problem, self._n_entries)
        place = f" (at {found[2]})" if found[2] else ""
        self._refuse(f"is not valid: {str(error)[: found.start()]}{place}", self._n_entries + int(found[1]))

    def _refuse(self, problem: str, entry: int) -> NoReturn:
        raise UsageError(f"{self._where}, entry {entry} {problem}")


def _at_end(data: bytes, at: int) -> bool:
    separator = _SEPARATOR.match(data, at)
    return separator is not None and separator[1] == b"]"


def _taken_apart(entry: Sequence[_VirtualWorker] | None) -> tuple[EntryShape, list[int]]:
    """Return shape and constraints of an entry."""
    if entry is None:
        return None, []
    shape = tuple([(worker.tags, worker.constraint is not None) for worker in entry])
    return shape, [worker.constraint for worker in entry if worker.constraint is not None]


def rule_column(text: bytes, *, where: str) -> RuleColumn:
    """Return the column that a rule describes, such as ``{"each": 1000, "group": 10}``.

    Parameters
    ----------
    text : bytes
        The rule, JSON.
    where : str
        Part and stream, for error texts.

    Raises
    ------
    UsageError
        Not a rule, or one that makes no sense.
    """
    try:
        is_repeat = "repeat" in msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        rule: _EachRule | _RepeatRule = (_repeat_decoder if is_repeat else _each_decoder).decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(
            f'{where}: neither a list of entries nor a rule like {{"each": 1000}} or {{"repeat": null, "n": 1000}} '
            f"({clipped(str(error))})"
        ) from None
    if rule.offset >= rule.every:
        raise UsageError(f"{where}: offset {rule.offset} has to be less than every, which is {rule.every}")
    if isinstance(rule, _RepeatRule):
        shape, constants = _taken_apart(rule.repeat)
        return RuleColumn(rule.n, shape, tuple(constants), every=rule.every, offset=rule.offset)
    return RuleColumn(
        rule.each, ((rule.tags, True),), None, rule.every, rule.offset, group=rule.group, cycle=rule.cycle or 0
    )


def clipped(text: str) -> str:
    """Return a text from outside, cut to what belongs into an error text."""
    return text if len(text) < 100 else f"{text[:60]}…{text[-30:]}"
