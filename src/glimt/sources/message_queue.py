"""Hands messages from a source's own threads to the loop that polls; bounded in bytes."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from typing import Any

Message = list[Any]

DEFAULT_QUEUE_BYTES = 64 << 20


class MessageQueue:
    """A queue whose `descriptor` is readable while something waits in it.

    Parameters
    ----------
    max_bytes : int
        What may wait [bytes]. A message that is larger passes alone.
    max_messages : int
        How many may wait.
    """

    def __init__(self, max_bytes: int = DEFAULT_QUEUE_BYTES, max_messages: int = 1 << 16) -> None:
        self._max_bytes = max_bytes
        self._max_messages = max_messages
        self._n_bytes = 0
        self._n_reserved = 0
        self._messages: deque[tuple[Message, int]] = deque()
        self._changed = threading.Condition()
        self._is_closed = False
        self.descriptor, self._wake = os.pipe()
        os.set_blocking(self.descriptor, False)

    @property
    def n_waiting(self) -> int:
        """Messages that wait."""
        return len(self._messages)

    @property
    def is_closed(self) -> bool:
        """Whether it takes nothing any more."""
        return self._is_closed

    def reserve(self, n_bytes: int, timeout_s: float | None = None) -> bool:
        """Keep room for one message; whether there is room, after waiting so long (``None``: until there is).

        False at once when the queue is closed. Follow it with `put` or `release`.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with self._changed:
            while not self._is_closed and not self._has_room(n_bytes):
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return False
                self._changed.wait(left)
            if self._is_closed:
                return False
            self._n_bytes += n_bytes
            self._n_reserved += 1
            return True

    def _has_room(self, n_bytes: int) -> bool:
        held = len(self._messages) + self._n_reserved
        return not held or (held < self._max_messages and self._n_bytes + n_bytes <= self._max_bytes)

    def release(self, n_bytes: int) -> None:
        """Give room back that was reserved and is not used."""
        with self._changed:
            self._n_bytes -= n_bytes
            self._n_reserved -= 1
            self._changed.notify_all()

    def put(self, message: Message, n_bytes: int) -> bool:
        """Append a message of the size that was reserved; False if the queue was closed in the meantime."""
        with self._changed:
            self._n_reserved -= 1
            if self._is_closed:
                return False
            self._messages.append((message, n_bytes))
            if len(self._messages) == 1:
                os.write(self._wake, b"\0")
            return True

    def take(self, limit: int) -> tuple[list[Message], int]:
        """Return at most ``limit`` messages in order, and their size [bytes], without waiting."""
        taken: list[Message] = []
        total = 0
        with self._changed:
            messages = self._messages
            if not messages or limit < 1:
                return taken, total
            while messages and len(taken) < limit:
                message, n_bytes = messages.popleft()
                taken.append(message)
                total += n_bytes
            self._n_bytes -= total
            if not messages:
                os.read(self.descriptor, 1)
            self._changed.notify_all()
        return taken, total

    def close(self) -> None:
        """Let go whoever waits, and drop what waits; safe to call twice."""
        with self._changed:
            if self._is_closed:
                return
            self._is_closed = True
            self._messages.clear()
            os.close(self.descriptor)
            os.close(self._wake)
            self._changed.notify_all()
