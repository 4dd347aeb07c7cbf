"""The newest lines of the log, numbered, so that each page is sent those that it does not have."""

from __future__ import annotations

from collections import deque

from glimt.web.log_ring import CAPACITY, LogEntry, LogRing

SENT_LINES = 200


class LogLines:
    """Lines of a log; renewed by one thread, read by several.

    Parameters
    ----------
    ring : LogRing or None
        Where they come from; without one there are none.
    """

    def __init__(self, ring: LogRing | None) -> None:
        self._ring = ring
        self._lines: deque[tuple[int, LogEntry]] = deque(maxlen=CAPACITY)
        self._last: LogEntry | None = None
        self.n_lines = 0

    def renew(self) -> bool:
        """Take what is new; tell whether anything is."""
        entries = [] if self._ring is None else self._ring.entries("INFO")
        first = len(entries)
        while first and entries[first - 1] is not self._last:
            first -= 1
        for entry in entries[first:]:
            self.n_lines += 1
            self._lines.append((self.n_lines, entry))
        if entries:
            self._last = entries[-1]
        return first < len(entries)

    def since(self, n_known: int) -> list[dict[str, str]]:
        """Return the newest lines after the first ``n_known``, oldest first."""
        lines = [entry for number, entry in list(self._lines) if number > n_known]
        return [{key: entry[key] for key in ("msg", "name", "levelname", "created")} for entry in lines[-SENT_LINES:]]
