"""Since when each worker is busy with the message that it processes: that is how a stuck one is found."""

from __future__ import annotations

import time
from collections.abc import Callable


class WorkClock:
    """Knows the messages that workers have and have not processed, in the order in which they were sent.

    A worker processes them one after the other: it is busy with the oldest since it was done with the one before.

    Parameters
    ----------
    now : callable
        The time, monotonic [s].

    Attributes
    ----------
    moved_at : float
        When a worker was last done with a message, by ``now`` [s].
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._messages: dict[str, dict[int, None]] = {}
        self._since: dict[str, float] = {}
        self.moved_at = now()

    def send(self, slot: str, message: int) -> None:
        """Note that a worker was sent a message."""
        messages = self._messages.setdefault(slot, {})
        if not messages:
            self._since[slot] = self._now()
        messages[message] = None

    def done(self, slot: str, message: int) -> None:
        """Note that a worker has processed a message; without effect if it was not sent it."""
        messages = self._messages.get(slot)
        if messages is not None and message in messages:
            del messages[message]
            self._since[slot] = self.moved_at = self._now()

    def forget(self, slot: str) -> None:
        """Note that the process of a slot is gone."""
        self._messages.pop(slot, None)

    def overdue(self, limit_s: float) -> dict[str, int]:
        """Return the slots that are busy with a message for longer than ``limit_s`` [s], and with which one."""
        before = self._now() - limit_s
        return {
            slot: next(iter(messages))
            for slot, messages in self._messages.items()
            if messages and self._since[slot] < before
        }
