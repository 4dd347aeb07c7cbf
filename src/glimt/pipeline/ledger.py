"""The account of every packet of every stream: what was received is reduced, failed, dropped for a reason, or pending.

Plain counters, so that the ingester can keep them for every packet; nothing here looks at a clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from glimt.model.errors import GlimtError

DropReason = Literal[
    "bad",
    "outside",
    "repeated",
    "late",
    "stale",
    "other",
    "no_scan",
    "discarded",
    "incomplete",
    "full",
    "spilled",
    "stopped",
    "no_worker",
    "aborted",
]

DROP_REASONS: dict[str, str] = {
    "bad": "broke the protocol",
    "outside": "before the first start or behind the end",
    "repeated": "their number was there already",
    "late": "came when their event had been closed",
    "stale": "left over of an older series",
    "other": "no part of a series, such as heartbeats",
    "no_scan": "no trigger map was there",
    "discarded": "the trigger map says so",
    "incomplete": "another stream's part of the event never came",
    "full": "the queue was full",
    "spilled": "written to the spill capture",
    "stopped": "waiting when the scan was stopped",
    "no_worker": "no worker may take them",
    "aborted": "another stream's series was replaced by a new one",
}
"""Why a packet did not become part of a result, in words."""

SHOWN_GAPS = 5
ARRIVAL = "order of arrival"
"""`StreamLedger.joined_by` of a stream whose protocol has no numbers."""


class LedgerError(GlimtError, AssertionError):
    """A ledger does not add up: a packet was lost or counted twice, which is a fault of glimt."""


@dataclass(slots=True)
class StreamLedger:
    """The account of one stream, in packets; a message that breaks the protocol counts as one packet.

    Attributes
    ----------
    name : str
        The stream.
    received, received_bytes : int
        Packets received, and the bytes of their frames.
    reduced, failed : int
        Packets whose event went into a result, and those whose event ended as a failure.
    dropped : dict
        Packets left out, by reason: see `DROP_REASONS`.
    pending : int
        Packets that wait, are with a worker, or are on the way to the reducer.
    n_missing : int
        Numbers that were skipped or given up. These were never received: they stand beside the account.
    gaps : list of tuple
        The first few runs of missing events, ``(first, last)``.
    n_series, n_ended : int
        Start packets, and how many of their series ended with an end packet.
    n_broken_off : int
        Series that were replaced by a new start before their end.
    joined_by : str
        What gives the packets their numbers, such as ``"frame number"`` or ``"order of arrival"``; empty before the
        first.
    first_bad : str
        What was wrong with the first bad message.
    """

    name: str = ""
    received: int = 0
    received_bytes: int = 0
    reduced: int = 0
    failed: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    pending: int = 0
    n_missing: int = 0
    gaps: list[tuple[int, int]] = field(default_factory=list)
    n_series: int = 0
    n_ended: int = 0
    n_broken_off: int = 0
    joined_by: str = ""
    first_bad: str = ""

    @property
    def n_dropped(self) -> int:
        """Packets left out, for whatever reason."""
        return sum(self.dropped.values())

    @property
    def is_whole(self) -> bool:
        """Whether no message was bad and no number is missing."""
        return not self.n_missing and "bad" not in self.dropped

    def receive(self, n: int, n_bytes: int) -> None:
        """Count received packets, which are pending from now on."""
        self.received += n
        self.received_bytes += n_bytes
        self.pending += n

    def refuse(self, reason: DropReason, n_bytes: int = 0) -> None:
        """Count one packet that is left out as it is received."""
        self.received += 1
        self.received_bytes += n_bytes
        self.dropped[reason] = self.dropped.get(reason, 0) + 1

    def refuse_bad(self, error: Exception, n_bytes: int = 0) -> None:
        """Count one bad message; what was wrong with the first is remembered."""
        self.refuse("bad", n_bytes)
        self.first_bad = self.first_bad or f"{error} (message {self.received})"

    def drop(self, reason: DropReason, n: int = 1) -> None:
        """Count pending packets as left out."""
        self.pending -= n
        self.dropped[reason] = self.dropped.get(reason, 0) + n

    def reduce(self, n: int = 1) -> None:
        """Count pending packets as part of a result."""
        self.pending -= n
        self.reduced += n

    def fail(self, n: int = 1) -> None:
        """Count pending packets as part of an event that failed."""
        self.pending -= n
        self.failed += n

    def lose(self, n: int) -> None:
        """Count packets that were part of a result as part of an event that failed: that result is lost."""
        self.reduced -= n
        self.failed += n

    def miss(self, first: int, last: int) -> None:
        """Count the events ``first`` to ``last``, both included, as missing from this stream."""
        self.n_missing += last - first + 1
        if self.gaps and self.gaps[-1][1] == first - 1:
            self.gaps[-1] = (self.gaps[-1][0], last)
        elif len(self.gaps) < SHOWN_GAPS:
            self.gaps.append((first, last))

    def check(self) -> None:
        """Raise `LedgerError` unless every received packet is accounted for exactly once."""
        accounted = self.reduced + self.failed + self.n_dropped + self.pending
        counts = [self.reduced, self.failed, self.pending, *self.dropped.values()]
        if accounted != self.received or min(counts) < 0:
            raise LedgerError(
                f"stream {self.name!r}: {self.received} packets received, but {accounted} accounted for "
                f"(reduced {self.reduced}, failed {self.failed}, dropped {self.dropped}, pending {self.pending}); "
                "this is a fault of glimt: please report it"
            )

    def add(self, other: StreamLedger) -> None:
        """Add the account of the same stream of another scan or another ingester; of the gaps the first few stay."""
        for name in _SUMMED:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for reason, n in other.dropped.items():
            self.dropped[reason] = self.dropped.get(reason, 0) + n
        self.gaps = (self.gaps + other.gaps)[:SHOWN_GAPS]
        self.first_bad = self.first_bad or other.first_bad
        if self.joined_by and other.joined_by and self.joined_by != other.joined_by:
            self.joined_by = "different fields"
        else:
            self.joined_by = self.joined_by or other.joined_by

    def describe_gaps(self) -> str:
        """Return the missing events in words, such as ``"3, 7 to 9, ..."``."""
        shown = [str(first) if first == last else f"{first} to {last}" for first, last in self.gaps]
        covered = sum(last - first + 1 for first, last in self.gaps)
        return ", ".join(shown) + (", ..." if covered < self.n_missing else "")

    def remarks(self) -> list[str]:
        """Return a line for everything that was not as it should be."""
        lines = []
        for reason, n in sorted(self.dropped.items()):
            first = f", the first: {self.first_bad}" if reason == "bad" and self.first_bad else ""
            lines.append(f"{n:,} packets left out ({reason}: {DROP_REASONS[reason]}){first}")
        if self.failed:
            lines.append(f"{self.failed:,} packets were part of an event that failed")
        if self.n_missing:
            lines.append(f"{self.n_missing:,} events are missing: {self.describe_gaps()}")
        if self.n_broken_off:
            lines.append(f"{self.n_broken_off} of {self.n_series} series were replaced by a new one before their end")
        if self.joined_by == ARRIVAL:
            lines.append("the protocol has no numbers: packets are counted as they arrive, a lost one shifts the rest")
        return lines

    def as_dict(self) -> dict[str, Any]:
        """Return all counts as plain values, for REST, metrics and the output file."""
        counts: dict[str, Any] = {name: getattr(self, name) for name in _SUMMED}
        return counts | {
            "dropped": dict(self.dropped),
            "gaps": [list(gap) for gap in self.gaps],
            "joined_by": self.joined_by,
            "first_bad": self.first_bad,
        }


_SUMMED = (
    *("received", "received_bytes", "reduced", "failed", "pending"),
    *("n_missing", "n_series", "n_ended", "n_broken_off"),
)


class Ledger:
    """The accounts of all streams of a run.

    Parameters
    ----------
    streams : iterable of str
        Names of the streams; further ones may be `open`-ed later.
    """

    def __init__(self, streams: Iterable[str] = ()) -> None:
        self._streams = {name: StreamLedger(name) for name in streams}

    def __getitem__(self, stream: str) -> StreamLedger:
        if stream not in self._streams:
            raise KeyError(f"no stream {stream!r}; there are: {', '.join(self._streams) or 'none'}")
        return self._streams[stream]

    def __iter__(self) -> Iterator[StreamLedger]:
        return iter(self._streams.values())

    def open(self, stream: str) -> StreamLedger:
        """Return the account of ``stream``, a new one if there is none yet."""
        return self._streams.setdefault(stream, StreamLedger(stream))

    def add(self, other: Ledger) -> None:
        """Add the accounts of another scan or another ingester."""
        for account in other:
            self.open(account.name).add(account)

    def total(self) -> StreamLedger:
        """Return the sum over all streams, for display."""
        total = StreamLedger("all")
        for account in self:
            total.add(account)
        total.gaps = []  # numbers of different streams side by side say nothing
        return total

    def check(self) -> None:
        """Raise `LedgerError` unless every received packet of every stream is accounted for exactly once."""
        for account in self:
            account.check()

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """Return the counts of all streams as plain values, by name."""
        return {account.name: account.as_dict() for account in self}
