"""The newest log records in memory, for clients that ask and clients that follow."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Self

from glimt.model.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

LogEntry = dict[str, str]
"""``msg``, ``lineno``, ``name``, ``created`` (seconds since 1970), ``levelname``: all text, as dranspose has them."""

CAPACITY = 1000
MAX_FOLLOWERS = 32
_MAX_TEXT = 8192


class LogRing(logging.Handler):
    """Keeps the newest records; add it to the root logger.

    Nothing a client does makes logging wait: who reads too slowly misses records and is told how many.

    Parameters
    ----------
    capacity : int
        Records kept, and records that may wait for each follower.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        super().__init__()
        self._capacity = capacity
        self._entries: deque[LogEntry] = deque(maxlen=capacity)
        self._n_added = 0
        self._followers: set[LogFollower] = set()
        self._guard = threading.Lock()
        self._is_closed = False

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record of this process."""
        try:
            text = self.format(record)
        except Exception:  # noqa: BLE001 - arguments of a log call raise what they like; logging must not
            text = f"{record.msg!r:.500} (cannot be formatted)"
        self.add(
            {
                "msg": text,
                "lineno": str(record.lineno),
                "name": record.name,
                "created": str(record.created),
                "levelname": record.levelname,
            }
        )

    def add(self, entry: Mapping[str, object]) -> None:
        """Keep a record that another process of the run sent; keys as `LogEntry`, those left out are empty."""
        kept = {key: _told(entry.get(key, "")) for key in ("msg", "lineno", "name", "created", "levelname")}
        with self._guard:
            self._entries.append(kept)
            self._n_added += 1
            followers = list(self._followers)
        for follower in followers:
            follower.offer(kept)

    def entries(self, level: str = "INFO") -> list[LogEntry]:
        """Return the records kept, oldest first, of ``level`` and above; errors as of `since`."""
        return self.since(0, level)[1]

    def since(self, n_known: int, level: str = "INFO") -> tuple[int, list[LogEntry]]:
        """Return how many records there ever were, and of those after the first ``n_known`` what `entries` returns.

        Raises
        ------
        UsageError
            There is no such level.
        """
        levels = logging.getLevelNamesMapping()
        least = levels.get(level.upper())
        if least is None:
            raise UsageError(
                f"no log level {level[:40]!r}; there are: {', '.join(sorted(levels, key=levels.__getitem__))}"
            )
        with self._guard:
            n_added = self._n_added
            entries = list(self._entries)[-min(n_added - n_known, len(self._entries)) :] if n_added > n_known else []
        return n_added, [entry for entry in entries if levels.get(entry["levelname"], logging.INFO) >= least]

    def follow(self) -> LogFollower:
        """Return what gives all records from now on; call it in a running event loop.

        Raises
        ------
        UsageError
            `MAX_FOLLOWERS` follow already, or the log is closed.
        """
        follower = LogFollower(self, asyncio.get_running_loop(), self._capacity)
        with self._guard:
            if self._is_closed:
                raise UsageError("the log is closed: the run is ending")
            if len(self._followers) >= MAX_FOLLOWERS:
                raise UsageError(f"{MAX_FOLLOWERS} clients follow the log already; use /api/v1/logs")
            self._followers.add(follower)
        return follower

    def leave(self, follower: LogFollower) -> None:
        """Forget a follower."""
        with self._guard:
            self._followers.discard(follower)

    @property
    def n_followers(self) -> int:
        """How many follow now."""
        return len(self._followers)

    def close(self) -> None:
        """End all followers, so that a server can stop; what is kept stays readable."""
        with self._guard:
            self._is_closed = True
            followers = list(self._followers)
        for follower in followers:
            follower.end()
        super().close()


class LogFollower:
    """One client's bounded queue of records; an async iterator of lists, and a context manager.

    Parameters
    ----------
    ring : LogRing
        Where it comes from.
    loop : event loop
        In which it is read.
    capacity : int
        Records that may wait.
    """

    def __init__(self, ring: LogRing, loop: asyncio.AbstractEventLoop, capacity: int) -> None:
        self._ring = ring
        self._loop = loop
        self._waiting: deque[LogEntry] = deque()
        self._capacity = capacity
        self._n_missed = 0
        self._is_ended = False
        self._guard = threading.Lock()
        self._news = asyncio.Event()

    def offer(self, entry: LogEntry) -> None:
        """Take a record, from any thread; the oldest goes if the queue is full."""
        with self._guard:
            if len(self._waiting) >= self._capacity:
                self._waiting.popleft()
                self._n_missed += 1
            self._waiting.append(entry)
            is_first = len(self._waiting) == 1
        if is_first:
            self._wake()

    def end(self) -> None:
        """Let the iteration end after what waits, from any thread."""
        self._is_ended = True
        self._wake()

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._news.set)
        except RuntimeError:  # the loop is closed, with it the client
            self._ring.leave(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[LogEntry]:
        """Return what came since the last time; where records were missed, one that says so is first."""
        while True:
            self._news.clear()
            with self._guard:
                entries, self._waiting = list(self._waiting), deque()
                n_missed, self._n_missed = self._n_missed, 0
            if n_missed:
                entries.insert(0, _missed(n_missed, entries[0]["created"]))
            if entries:
                return entries
            if self._is_ended:
                raise StopAsyncIteration
            await self._news.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ring.leave(self)


def _told(value: object) -> str:
    # A file name that is not UTF-8 has lone surrogates, which no client can be sent: they would end its connection.
    return str(value)[:_MAX_TEXT].encode(errors="backslashreplace").decode()


def _missed(n_missed: int, created: str) -> LogEntry:
    text = f"{n_missed} log records were left out: this client reads too slowly"
    return {"msg": text, "lineno": "0", "name": __name__, "created": created, "levelname": "WARNING"}
