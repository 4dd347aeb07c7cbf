"""One part of a trigger map, and its events as the ingester asks for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from glimt.model.trigger_map_column import GENERIC, SIMPLE, Column, EntryShape, n_constraints

CONSTRAINT_BITS = 40
MAX_CONSTRAINT = (1 << CONSTRAINT_BITS) - 1
"""Largest constraint. Pulse numbers of the facilities fit; a constraint and the part instance make one 64-bit key."""

BLOCK_CONSTRAINTS = 1 << 17
"""So many constraints are looked at at once where all are: bounds the memory. An event of a block and a constraint make
one 64-bit number."""

MAX_KNOWN_PATTERNS = 1024
"""So many combinations of shapes are remembered; a map has a few."""


class Target(NamedTuple):
    """Who gets a frame.

    Attributes
    ----------
    tags : frozenset of str
        A worker that takes it offers all of these. Of several targets with one key, the first one's count.
    key : int or None
        The same for all frames that belong to one worker, and different for any other part instance (its upper bits,
        ``key >> CONSTRAINT_BITS``, are the instance's index in the sequence). ``None``: all workers with these tags.
    """

    tags: frozenset[str]
    key: int | None


Entries = tuple[tuple[int, tuple[Target, ...]], ...]
EventPattern = tuple[tuple[int, tuple[tuple[frozenset[str], bool], ...]], ...]
"""Streams that have a frame, with the shape of their entry; events that differ in their keys only share it."""


class MapEvent(msgspec.Struct, frozen=True, gc=False):
    """What the map says about one event.

    Attributes
    ----------
    number : int
        The event's number in the scan.
    key : int or None
        The only key, if the whole event belongs to one worker and any generic one will do (`is_simple`).
    pattern : tuple
        Streams that have a frame, with the shape of their entry.
    keys : tuple of int
        Keys of all targets that have one, in order; empty for a simple event.
    """

    number: int
    key: int | None
    pattern: EventPattern
    keys: tuple[int, ...] = ()

    @property
    def is_simple(self) -> bool:
        """Whether the event belongs to exactly one worker, any generic one; some of its frames may be discarded."""
        return self.key is not None

    @property
    def entries(self) -> Entries:
        """``((stream index, targets), ...)`` of the streams that have a frame; one without targets is discarded.

        Streams come in the order of the part. Empty if no stream has a frame: such an event is over at once.
        """
        if self.key is not None:
            targets = (Target(GENERIC, self.key),)
            return tuple((stream, targets if shape else ()) for stream, shape in self.pattern)
        keys = iter(self.keys)
        return tuple(
            (stream, tuple(Target(tags, next(keys) if has_key else None) for tags, has_key in shape))
            for stream, shape in self.pattern
        )


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A stretch of a scan: for every stream that takes part, one entry an event.

    Attributes
    ----------
    columns : mapping of str to Column
        Stream name to entries, all equally many. Streams with the same entries share one column.
    """

    columns: Mapping[str, Column]

    @property
    def n_events(self) -> int:
        """Number of events."""
        return next((column.n_events for column in self.columns.values()), 0)

    def n_frames(self, stream: str) -> int:
        """Return how many frames a stream has in it."""
        column = self.columns.get(stream)
        return 0 if column is None else column.n_frames

    def distinct_columns(self) -> list[Column]:
        """Return every column once, however many streams have it."""
        return list({id(column): column for column in self.columns.values()}.values())

    def used_shapes(self) -> set[EntryShape]:
        """Return the shapes of entries that occur."""
        return {shape for column in self.distinct_columns() for shape in column.used_shapes()}

    def n_required_workers(self) -> int:
        """Return the largest number of different constraints in one event."""
        columns = self.distinct_columns()
        if _is_narrow(columns):
            return max(n_constraints(shape) for column in columns for shape in [None, *column.used_shapes()])
        step = max(1, BLOCK_CONSTRAINTS // max(1, sum(map(_width, columns))))
        blocks = range(0, self.n_events, step)
        return max((_n_distinct(columns, first, min(first + step, self.n_events)) for first in blocks), default=0)

    def n_cells(self) -> int:
        """Return how many entries and constraints `n_required_workers` looks at, at most."""
        columns = self.distinct_columns()
        return 0 if _is_narrow(columns) else self.n_events * sum(max(1, _width(column)) for column in columns)


def _is_narrow(columns: list[Column]) -> bool:
    """Tell whether no event can have more than one constraint."""
    return len(columns) == 1 and _width(columns[0]) <= 1


def _width(column: Column) -> int:
    """Return the largest number of constraints an entry may have."""
    return max(map(n_constraints, column.shapes))


def _n_distinct(columns: list[Column], first: int, stop: int) -> int:
    """Return the largest number of different constraints in one of the events ``first`` to before ``stop``."""
    blocks = [column.block(first, stop) for column in columns]
    if all((patterns == SIMPLE).all() and np.array_equal(values, blocks[0][1]) for patterns, values in blocks):
        return 1
    pairs = []
    for column, (patterns, values) in zip(columns, blocks, strict=True):
        events = np.repeat(np.arange(stop - first), _counts(column)[patterns])
        pairs.append((events << CONSTRAINT_BITS) | values.astype(np.int64))
    distinct = np.unique(np.concatenate(pairs))
    return int(np.bincount(distinct >> CONSTRAINT_BITS).max()) if len(distinct) else 0


def _counts(column: Column) -> npt.NDArray[np.intp]:
    return np.array([n_constraints(shape) for shape in column.shapes], np.intp)


class IndexedPart:
    """A part whose streams have got their index in the map.

    Parameters
    ----------
    part : Part
        The part.
    stream_indices : mapping of str to int
        Index of every stream of the map.
    """

    __slots__ = ("_columns", "_distinct", "_patterns", "n_events", "width")

    def __init__(self, part: Part, stream_indices: Mapping[str, int]) -> None:
        self.n_events = part.n_events
        self.width = sum(map(_width, part.columns.values()))
        self._distinct = part.distinct_columns()
        where = {id(column): index for index, column in enumerate(self._distinct)}
        self._columns = [(stream_indices[name], where[id(column)]) for name, column in part.columns.items()]
        self._patterns: dict[tuple[int, ...], tuple[EventPattern, bool]] = {}

    def events(self, first: int, stop: int, *, number: int, instance: int) -> list[MapEvent]:
        """Return the events ``first`` to before ``stop`` of this part, the first of which is event ``number``.

        Parameters
        ----------
        first, stop : int
            Positions in the part.
        number : int
            Event number of ``first``.
        instance : int
            Index of the part instance in the sequence: makes its keys its own.
        """
        base = instance << CONSTRAINT_BITS
        blocks = [column.block(first, stop) for column in self._distinct]
        if len(blocks) == 1 and (blocks[0][0] == SIMPLE).all():
            pattern, _ = self._pattern((SIMPLE,))
            return [MapEvent(number + i, base + key, pattern) for i, key in enumerate(blocks[0][1].tolist())]
        rows = zip(*(self._rows(index, base, block) for index, block in enumerate(blocks)), strict=True)
        return [self._event(number + i, row) for i, row in enumerate(rows)]

    def _rows(
        self, index: int, base: int, block: tuple[npt.NDArray[np.uint16], npt.NDArray[np.unsignedinteger]]
    ) -> Iterator[tuple[int, list[int]]]:
        patterns, values = block
        starts = np.concatenate(([0], np.cumsum(_counts(self._distinct[index])[patterns]))).tolist()
        keys = (values.astype(np.int64) + base).tolist()
        for i, pattern in enumerate(patterns.tolist()):
            yield pattern, keys[starts[i] : starts[i + 1]]

    def _event(self, number: int, row: tuple[tuple[int, list[int]], ...]) -> MapEvent:
        pattern, is_plain = self._pattern(tuple([cell[0] for cell in row]))
        if is_plain:
            distinct = {cell[1][0] for cell in row if cell[1]}
            if len(distinct) == 1:
                return MapEvent(number, distinct.pop(), pattern)
        keys: list[int] = []
        for _, index in self._columns:
            keys += row[index][1]
        return MapEvent(number, None, pattern, tuple(keys))

    def _pattern(self, patterns: tuple[int, ...]) -> tuple[EventPattern, bool]:
        known = self._patterns.get(patterns)
        if known is None:
            if len(self._patterns) >= MAX_KNOWN_PATTERNS:
                self._patterns.clear()
            known = self._patterns[patterns] = self._made_pattern(patterns)
        return known

    def _made_pattern(self, patterns: tuple[int, ...]) -> tuple[EventPattern, bool]:
        shapes = [column.shapes[pattern] for column, pattern in zip(self._distinct, patterns, strict=True)]
        streams = [(stream, shape) for stream, index in self._columns if (shape := shapes[index]) is not None]
        return tuple(streams), all(pattern <= SIMPLE for pattern in patterns)
