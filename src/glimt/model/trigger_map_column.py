"""One stream's entries in one part of a trigger map, as arrays or as a rule.

A map of a million triggers is a million entries a stream. Nearly all have the same *shape* (which virtual workers, with
which tags, with a constraint or without) and differ in the constraint's value only: that is what is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

GENERIC = frozenset({"generic"})
"""Tags of a worker, and of a virtual worker, that names none."""

WorkerShape = tuple[frozenset[str], bool]
"""A virtual worker without its number: its tags, and whether it has a constraint (if not, all such are meant)."""

EntryShape = tuple[WorkerShape, ...] | None
"""An entry without its numbers: ``None`` is no frame, ``()`` a frame to discard."""

NULL, DISCARD, SIMPLE = 0, 1, 2
STANDARD_SHAPES: tuple[EntryShape, ...] = (None, (), ((GENERIC, True),))
"""Every column's table of shapes begins with these, at the indices `NULL`, `DISCARD` and `SIMPLE`."""

UIntArray = npt.NDArray[np.unsignedinteger]


def n_constraints(shape: EntryShape) -> int:
    """Return how many constraints entries of this shape carry."""
    return sum(has_constraint for _, has_constraint in shape or ())


def narrowed(numbers: npt.NDArray[np.integer]) -> UIntArray:
    """Return non-negative whole numbers as ``uint32`` if all fit, else as ``uint64``."""
    fits = not numbers.size or int(numbers.max()) < 1 << 32
    return numbers.astype(np.uint32 if fits else np.uint64, copy=False)


@dataclass(frozen=True, slots=True, eq=False)
class TabulatedColumn:
    """Entries that were listed one by one.

    Attributes
    ----------
    shapes : tuple
        The distinct shapes; begins with `STANDARD_SHAPES`.
    patterns : ndarray
        ``(event,)``, uint16: index into ``shapes``. One element seen ``n_events`` times where all are alike.
    values : ndarray
        The constraints of all entries one after the other, uint32 or uint64.
    value_starts : ndarray or None
        ``(event + 1,)``: where an entry's constraints begin in ``values``; ``None`` if every entry has exactly one.
    frames : ndarray or None
        ``(frame,)``: the events at which there is a frame (not null); ``None`` if there always is.
    """

    shapes: tuple[EntryShape, ...]
    patterns: npt.NDArray[np.uint16]
    values: UIntArray
    value_starts: UIntArray | None
    frames: UIntArray | None

    @classmethod
    def from_arrays(
        cls, shapes: Sequence[EntryShape], patterns: npt.NDArray[np.uint16], values: npt.NDArray[np.integer]
    ) -> TabulatedColumn:
        """Make a column from its shapes, one pattern an event and all constraints in order."""
        counts = np.array([n_constraints(shape) for shape in shapes], np.uint16)[patterns]
        starts = None
        if not (counts == 1).all():
            starts = np.zeros(len(patterns) + 1, np.uint32)
            np.cumsum(counts, out=starts[1:])
        frames = None
        if not patterns.all():
            frames = narrowed(np.flatnonzero(patterns))
        if len(patterns) and (patterns == patterns[0]).all():
            patterns = np.broadcast_to(patterns[0].copy(), patterns.shape)
        return cls(tuple(shapes), patterns, narrowed(values), starts, frames)

    @property
    def n_events(self) -> int:
        """Number of entries."""
        return len(self.patterns)

    @property
    def n_frames(self) -> int:
        """Number of entries that are not null."""
        return self.n_events if self.frames is None else len(self.frames)

    def used_shapes(self) -> list[EntryShape]:
        """Return the shapes that occur."""
        seen = np.zeros(len(self.shapes), bool)
        seen[self.patterns] = True
        return [self.shapes[index] for index in np.flatnonzero(seen)]

    def block(self, first: int, stop: int) -> tuple[npt.NDArray[np.uint16], UIntArray]:
        """Return the patterns of the entries ``first`` to before ``stop``, and all their constraints in order."""
        if self.value_starts is None:
            return self.patterns[first:stop], self.values[first:stop]
        return self.patterns[first:stop], self.values[int(self.value_starts[first]) : int(self.value_starts[stop])]

    def frames_before(self, event: int) -> int:
        """Return how many entries before ``event`` are not null."""
        # The number has to have the array's type: NumPy converts the whole array otherwise.
        return event if self.frames is None else int(self.frames.searchsorted(self.frames.dtype.type(event)))

    def event_of_frame(self, frame: int) -> int:
        """Return the index of the ``frame``-th entry that is not null."""
        return frame if self.frames is None else int(self.frames[frame])

    def is_same_as(self, other: Column) -> bool:
        """Tell whether ``other`` lists the same entries in the same way."""
        return (
            isinstance(other, TabulatedColumn)
            and self.shapes == other.shapes
            and np.array_equal(self.patterns, other.patterns)
            and np.array_equal(self.values, other.values)
        )


@dataclass(frozen=True, slots=True)
class RuleColumn:
    """Entries that follow from their number: the one at ``i`` is null unless ``i % every == offset``.

    Attributes
    ----------
    n_events : int
        Number of entries.
    shape : tuple or None
        Shape of the entries that are not null by the rule.
    constants : tuple of int, or None
        Their constraints, the same ones everywhere. ``None``: they have one each, ``i // group % cycle``.
    every, offset : int
        Which entries there are.
    group : int
        So many neighboring entries have the same constraint.
    cycle : int
        Constraints start again from 0 after so many; 0 is never.
    """

    n_events: int
    shape: EntryShape
    constants: tuple[int, ...] | None = None
    every: int = 1
    offset: int = 0
    group: int = 1
    cycle: int = 0

    @property
    def pattern(self) -> int:
        """Index of the rule's shape in `shapes`."""
        return STANDARD_SHAPES.index(self.shape) if self.shape in STANDARD_SHAPES else len(STANDARD_SHAPES)

    @property
    def shapes(self) -> tuple[EntryShape, ...]:
        """The distinct shapes; begins with `STANDARD_SHAPES`."""
        return STANDARD_SHAPES if self.shape in STANDARD_SHAPES else (*STANDARD_SHAPES, self.shape)

    @property
    def n_frames(self) -> int:
        """Number of entries that are not null."""
        return self.frames_before(self.n_events)

    def used_shapes(self) -> list[EntryShape]:
        """Return the shapes that occur."""
        n_frames = self.n_frames
        return ([None] if n_frames < self.n_events else []) + ([self.shape] if n_frames else [])

    def block(self, first: int, stop: int) -> tuple[npt.NDArray[np.uint16], UIntArray]:
        """Return the patterns of the entries ``first`` to before ``stop``, and all their constraints in order."""
        numbers = np.arange(first, stop)
        if self.every == 1:
            patterns = np.full(stop - first, self.pattern, np.uint16)
        else:
            hit = numbers % self.every == self.offset
            patterns = np.where(hit, np.uint16(self.pattern), np.uint16(NULL))
            numbers = numbers[hit]
        if self.constants is not None:
            return patterns, np.tile(np.array(self.constants, np.uint64), len(numbers))
        if self.group > 1:
            numbers = numbers // self.group
        if self.cycle:
            numbers %= self.cycle
        return patterns, numbers.astype(np.uint64)

    def frames_before(self, event: int) -> int:
        """Return how many entries before ``event`` are not null."""
        return 0 if self.shape is None else (event - self.offset + self.every - 1) // self.every

    def event_of_frame(self, frame: int) -> int:
        """Return the index of the ``frame``-th entry that is not null."""
        return self.offset + frame * self.every

    def is_same_as(self, other: Column) -> bool:
        """Tell whether ``other`` has the same entries by the same rule."""
        return self == other


Column = TabulatedColumn | RuleColumn
