"""What a watch has seen so far: it travels in the message, so that any instance, of Zocalo too, goes on with it.

``{"filewatcher-status": {"seen-files": 12, "start-time": ..., "last-seen": ...}}`` is Zocalo's; for HDF5 files
``seen-images`` and ``image-count``. Ours are ``glimt-first-seen`` and, out of order, ``glimt-seen-beyond``: what is
seen behind the first gap, as pairs of first and end, counted from 0; and ``glimt-clock``
(`glimt.services.file_watcher_clock`).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from glimt.model.errors import RejectedMessageError
from glimt.services.file_watcher_clock import ClockStamp, read_stamp

STATUS = "filewatcher-status"
_MAX_RANGES = 100_000


@dataclass(slots=True)
class WatchStatus:
    """What a watch has seen.

    Attributes
    ----------
    started, first_seen, last_seen : float
        When it began, and when it saw its first and its latest item, UTC [s]; ``None`` before that.
    n_in_order : int
        Items seen before the first gap.
    beyond : list of [int, int]
        Ranges seen behind it: first, and the one after the last; in order, apart from each other.
    n_items : int or None
        How many there will be, where that is found out on the way.
    clock : ClockStamp or None
        By which the times were written.
    """

    started: float
    n_in_order: int = 0
    first_seen: float | None = None
    last_seen: float | None = None
    beyond: list[list[int]] = field(default_factory=list)
    n_items: int | None = None
    clock: ClockStamp | None = None

    @property
    def n_seen(self) -> int:
        """How many items were seen."""
        return self.n_in_order + sum(end - first for first, end in self.beyond)

    def shift(self, by_s: float) -> None:
        """Move all times, because the clock was set."""
        self.started += by_s
        if self.first_seen is not None:
            self.first_seen += by_s
        if self.last_seen is not None:
            self.last_seen += by_s

    def note(self, number: int, when: float) -> None:
        """Note an item (from 0) as seen; one that is noted twice counts once."""
        if self.first_seen is None:
            self.first_seen = when
        self.last_seen = when
        if number == self.n_in_order and not self.beyond:
            self.n_in_order += 1
            return
        if number < self.n_in_order or self.has_beyond(number):
            return
        self._insert(number)
        if self.beyond and self.beyond[0][0] == self.n_in_order:
            self.n_in_order = self.beyond.pop(0)[1]

    def has_beyond(self, number: int) -> bool:
        """Return whether an item behind the first gap was seen."""
        k = bisect_right(self.beyond, number, key=lambda pair: pair[0]) - 1
        return k >= 0 and number < self.beyond[k][1]

    def _insert(self, number: int) -> None:
        k = bisect_right(self.beyond, number, key=lambda pair: pair[0])
        joins_before = k > 0 and self.beyond[k - 1][1] == number
        joins_after = k < len(self.beyond) and self.beyond[k][0] == number + 1
        if joins_before and joins_after:
            self.beyond[k - 1][1] = self.beyond.pop(k)[1]
        elif joins_before:
            self.beyond[k - 1][1] = number + 1
        elif joins_after:
            self.beyond[k][0] = number
        else:
            self.beyond.insert(k, [number, number + 1])

    def unseen(self, end: int) -> Iterator[int]:
        """Yield the items below ``end`` that were not seen, in order."""
        position = self.n_in_order
        for first, after in [*self.beyond, [end, end]]:
            yield from range(position, min(first, end))
            position = after

    def to_payload(self, word: str) -> dict[str, Any]:
        """Return the payload of the next round's message; ``word`` is what the items are, ``files`` or ``images``."""
        status: dict[str, Any] = {f"seen-{word}": self.n_in_order, "start-time": self.started}
        if self.last_seen is not None:
            status["last-seen"] = self.last_seen
        if self.first_seen is not None:
            status["glimt-first-seen"] = self.first_seen
        if word == "images":
            status["image-count"] = self.n_items
        if self.beyond:
            status["glimt-seen-beyond"] = self.beyond
        if self.clock is not None:
            status["glimt-clock"] = list(self.clock)
        return {STATUS: status}


def read_status(payload: Any, word: str, now: float) -> WatchStatus:
    """Return what the message says was seen; nothing if it is the first one.

    Raises
    ------
    RejectedMessageError
        The message has a status that makes no sense.
    """
    status = payload.get(STATUS) if isinstance(payload, Mapping) else None
    if status is None:
        return WatchStatus(now)
    if not isinstance(status, Mapping):
        raise RejectedMessageError(f"{STATUS} is {type(status).__name__}, an object is needed")
    n_seen, n_items = status.get(f"seen-{word}", 0), status.get("image-count")
    if not _is_count(n_seen) or not (n_items is None or _is_count(n_items)):
        raise RejectedMessageError(f"{STATUS} has no counts: {str(n_seen)[:40]!r} seen of {str(n_items)[:40]!r}")
    started = _time(status, "start-time")
    return WatchStatus(
        started=now if started is None else started,
        n_in_order=n_seen,
        first_seen=_time(status, "glimt-first-seen"),
        last_seen=_time(status, "last-seen"),
        beyond=_ranges(status.get("glimt-seen-beyond", []), n_seen),
        n_items=n_items,
        clock=read_stamp(status.get("glimt-clock")),
    )


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 40


def _time(status: Mapping[str, Any], name: str) -> float | None:
    value = status.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise RejectedMessageError(f"{STATUS}: {name} {str(value)[:40]!r} is no time")
    return float(value)


def _ranges(value: Any, n_in_order: int) -> list[list[int]]:
    wrong = RejectedMessageError(f"{STATUS}: glimt-seen-beyond is no list of ranges in order")
    if not isinstance(value, list) or len(value) > _MAX_RANGES:
        raise wrong
    before = n_in_order
    ranges = []
    for pair in value:
        if not (isinstance(pair, list) and len(pair) == 2 and all(map(_is_count, pair))):
            raise wrong
        first, end = pair
        if not before < first < end:
            raise wrong
        ranges.append([first, end])
        before = end
    return ranges
