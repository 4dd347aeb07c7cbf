"""Joins what several sources recorded of the same events, by event number, never by order of arrival."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeVar

from glimt.model.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SHOWN_GAPS = 5


class Numbered(Protocol):
    """Anything that belongs to one event."""

    @property
    def event_number(self) -> int:
        """The event."""
        ...


T = TypeVar("T", bound=Numbered)


class Joined(NamedTuple, Generic[T]):
    """What the sources have for one event.

    Attributes
    ----------
    event_number : int
        The event.
    parts : list
        What each source has, in the order of the sources; ``None`` where it has nothing.
    is_start : bool
        A scan begins with this event, its number is 0: it goes to every worker.
    """

    event_number: int
    parts: list[T | None]
    is_start: bool


@dataclass(slots=True)
class SourceAccount:
    """What one source gave to a join.

    Attributes
    ----------
    name : str
        The source, for people.
    n_events : int
        Events it had something for.
    n_missing : int
        Events that other sources had and this one had not.
    gaps : list of tuple
        The first few runs of missing events, ``(first, last)``.
    error : DecodeError or None
        Why it ended before its end.
    """

    name: str
    n_events: int = 0
    n_missing: int = 0
    gaps: list[tuple[int, int]] = field(default_factory=list)
    error: DecodeError | None = None

    def missed(self, event_number: int) -> None:
        """Count an event that this source has nothing for."""
        self.n_missing += 1
        if self.gaps and self.gaps[-1][1] == event_number - 1:
            self.gaps[-1] = (self.gaps[-1][0], event_number)
        elif len(self.gaps) < _SHOWN_GAPS:
            self.gaps.append((event_number, event_number))

    def describe_gaps(self) -> str:
        """Return the missing events in words, such as ``"3, 7 to 9, ..."``."""
        shown = [str(first) if first == last else f"{first} to {last}" for first, last in self.gaps]
        covered = sum(last - first + 1 for first, last in self.gaps)
        return ", ".join(shown) + (", ..." if covered < self.n_missing else "")


class _Cursor(Generic[T]):
    """The next item of one source, ordered by scan and event number.

    A capture may hold several scans one after the other: there the event number falls.
    """

    def __init__(self, items: Iterator[T], account: SourceAccount) -> None:
        self._items = items
        self.account = account
        self.item: T | None = None
        self.key = (0, -1)
        self.is_start = False
        self.advance()

    def advance(self) -> None:
        try:
            self.item = next(self._items, None)
        except DecodeError as error:
            # The others go on to their end; the error is reported with the result.
            self.item, self.account.error = None, error
        if self.item is None:
            return
        self.account.n_events += 1
        scan, last = self.key
        number = self.item.event_number
        # Only event 0 holds start packets. The first event of a trimmed capture is data: sent to all it counts twice.
        self.is_start = number == 0
        self.key = (scan + 1 if number <= last else scan, number)


def join(sources: Sequence[Iterator[T]], accounts: Sequence[SourceAccount]) -> Iterator[Joined[T]]:
    """Yield the events of all sources in order, up to the end of the longest.

    Parameters
    ----------
    sources : sequence of iterator
        Each in ascending order of event numbers; a number that falls or repeats begins a new scan.
    accounts : sequence of SourceAccount
        One for each source, filled while the join runs. A source that raises `DecodeError` ends there; the error is
        kept in its account.
    """
    cursors = [_Cursor(items, account) for items, account in zip(sources, accounts, strict=True)]
    while active := [cursor for cursor in cursors if cursor.item is not None]:
        key = min(cursor.key for cursor in active)
        parts: list[T | None] = []
        is_start = False
        for cursor in cursors:
            if cursor.item is not None and cursor.key == key:
                parts.append(cursor.item)
                is_start |= cursor.is_start
                cursor.advance()
            else:
                parts.append(None)
                cursor.account.missed(key[1])
        yield Joined(key[1], parts, is_start)
