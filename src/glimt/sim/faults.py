"""What goes wrong on purpose: decided by a seed, the same every time."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from random import Random

from glimt.model.errors import UsageError

MAX_REORDER = 10_000
_MAX_LISTED = 1_000_000
_GARBAGE_BYTES = 64


@dataclass(frozen=True, slots=True)
class Choice:
    """Which frames, or which series, something happens to.

    Parameters
    ----------
    probability : float
        Of each one, 0 to 1.
    numbers : frozenset of int
        Those it happens to in any case; from 0.
    """

    probability: float = 0.0
    numbers: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        if not 0.0 <= self.probability <= 1.0:
            raise UsageError(f"probability {self.probability}: 0 to 1 is possible")

    def __bool__(self) -> bool:
        return self.probability > 0.0 or bool(self.numbers)

    def takes(self, first: int, count: int, random: Random) -> bool:
        """Return whether it happens to one of the ``count`` numbers from ``first`` on."""
        if self.probability and random.random() < self.probability:
            return True
        return bool(self.numbers) and any(number in self.numbers for number in range(first, first + count))

    @classmethod
    def parse(cls, text: str) -> Choice:
        """Return the choice that ``text`` names: a probability (``0.01``), numbers (``3,7,10-12``) or ``all``.

        Raises
        ------
        UsageError
            It names none.
        """
        text = text.strip()
        if text == "all":
            return cls(1.0)
        if re.fullmatch(r"\d*\.\d*(e-?\d+)?|\d+e-\d+", text, re.ASCII) and text != ".":
            return cls(float(text))
        numbers: set[int] = set()
        for item in text.split(","):
            match = re.fullmatch(r"\s*(\d{1,15})(?:-(\d{1,15}))?\s*", item, re.ASCII)
            if match is None:
                what = f"{text[:40]!r}: write a probability with a point (0.01), numbers (3,7,10-12) or all"
                raise UsageError(what)
            first, last = int(match[1]), int(match[2] or match[1])
            if last - first + len(numbers) > _MAX_LISTED:
                raise UsageError(f"{text[:40]!r} lists more than {_MAX_LISTED:,} numbers; give a probability")
            numbers.update(range(first, last + 1))
        return cls(numbers=frozenset(numbers))


NONE = Choice()
ALL = Choice(1.0)


class Action(Enum):
    """What becomes of the messages of a frame."""

    SEND = "send"
    DROP = "drop"
    DUPLICATE = "duplicate"
    TRUNCATE = "truncate"
    GARBAGE = "garbage"


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong.

    Parameters
    ----------
    drop, duplicate, truncate, garbage : Choice
        Frames that are lost, sent twice, cut short (half of the first part is all that comes) or replaced by bytes
        without meaning. Of several, the first of drop, garbage, truncate, duplicate happens.
    reorder : int
        Frames come in another order, none further than so many places from its own.
    stale : int
        So many frames of the series before follow the header, as from a queue that was not emptied.
    missing_header, repeated_header, missing_end : Choice
        Series without header, with two, or without end.
    abort_after : int or None
        Such series break off after so many frames, without an end.
    abort : Choice
        Which series do; all, unless it is said.
    jitter_ms : float
        Frames are late by up to so much, evenly distributed [ms].
    stall_after : int or None
        In each series the device stalls once after so many frames, for ``stall_s`` [s].
    stall_s : float
        How long.
    seed : int
        The same seed touches the same frames.

    Raises
    ------
    UsageError
        A number is out of its range.
    """

    drop: Choice = NONE
    duplicate: Choice = NONE
    truncate: Choice = NONE
    garbage: Choice = NONE
    reorder: int = 0
    stale: int = 0
    missing_header: Choice = NONE
    repeated_header: Choice = NONE
    missing_end: Choice = NONE
    abort_after: int | None = None
    abort: Choice = ALL
    jitter_ms: float = 0.0
    stall_after: int | None = None
    stall_s: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.reorder <= MAX_REORDER:
            raise UsageError(f"reordering by {self.reorder} places: 0 to {MAX_REORDER:,} are possible")
        if self.stale < 0 or (self.abort_after or 0) < 0 or (self.stall_after or 0) < 0:
            raise UsageError("numbers of frames cannot be negative")
        if not (0 <= self.jitter_ms < float("inf") and 0 <= self.stall_s < float("inf")):
            raise UsageError("jitter and stall are times, 0 or more")

    def random(self, series_number: int, kind: str) -> Random:
        """Return random numbers of their own for each kind of fault: one more fault does not move the others."""
        return Random(f"{self.seed}/{series_number}/{kind}")

    def hits_series(self, choice: Choice, kind: str, series_number: int) -> bool:
        """Return whether ``choice`` takes a series; series are counted from 0."""
        return bool(choice) and choice.takes(series_number, 1, self.random(series_number, kind))

    def n_frames_of(self, series_number: int, n_frames: int) -> tuple[int, bool]:
        """Return after how many frames a series ends (0: never), and whether that is an abort."""
        limit = self.abort_after
        if limit is None or not self.hits_series(self.abort, "abort", series_number):
            return n_frames, False
        return (limit, True) if not n_frames or limit < n_frames else (n_frames, False)

    def schedule(self, series_number: int, n_messages: int | None, frames_per_message: int) -> Iterator[_Planned]:
        """Yield the positions of the messages of a series in the order of sending, and what becomes of each.

        Parameters
        ----------
        series_number : int
            From 0.
        n_messages : int or None
            ``None`` is without end.
        frames_per_message : int
            Frames are chosen by their number; a fault takes the whole message.
        """
        order: Iterable[int] = itertools.count() if n_messages is None else range(n_messages)
        if self.reorder:
            order = _reordered(iter(order), self.reorder + 1, self.random(series_number, "reorder"))
        chosen = [
            (choice, action, self.random(series_number, action.value))
            for choice, action in (
                (self.drop, Action.DROP),
                (self.garbage, Action.GARBAGE),
                (self.truncate, Action.TRUNCATE),
                (self.duplicate, Action.DUPLICATE),
            )
            if choice
        ]
        for position in order:
            planned = Action.SEND
            for choice, action, random in chosen:
                if choice.takes(position * frames_per_message, frames_per_message, random) and planned is Action.SEND:
                    planned = action
            yield position, planned


_Planned = tuple[int, Action]


def _reordered(order: Iterator[int], block: int, random: Random) -> Iterator[int]:
    while positions := list(itertools.islice(order, block)):
        random.shuffle(positions)
        yield from positions


def truncated(message: bytes) -> bytes:
    """Return the first half of a part; a line of text keeps its end, or the next one would be lost with it."""
    ending = b"\n" if message.endswith(b"\n") else b""
    return message[: len(message) // 2].rstrip(b"\n") + ending


def garbage(random: Random, message: bytes) -> bytes:
    """Return bytes that begin no message of any protocol; in place of a line of text, a line."""
    noise = bytes([0xFF]) + random.randbytes(_GARBAGE_BYTES - 1).replace(b"\n", b"\xff")
    return noise + b"\n" if message.endswith(b"\n") else noise
