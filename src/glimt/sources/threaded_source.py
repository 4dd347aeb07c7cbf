"""A source whose messages are fetched by a thread of its own: what such sources have in common."""

from __future__ import annotations

import copy
import random
import threading
import time
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any, Self

from glimt.sources.message_queue import DEFAULT_QUEUE_BYTES, MessageQueue
from glimt.sources.message_source import SourceState

_FIRST_WAIT_S = 0.05
_LONGEST_WAIT_S = 5.0
_JOIN_S = 0.9


class Backoff:
    """How long to wait before the next attempt: twice as long each time, up to 5 s, with jitter."""

    def __init__(self) -> None:
        self._next_s = _FIRST_WAIT_S

    def reset(self) -> None:
        """Begin anew, after a success."""
        self._next_s = _FIRST_WAIT_S

    def next_s(self) -> float:
        """Return the wait before the next attempt [s]."""
        wait = self._next_s * random.uniform(0.7, 1.3)
        self._next_s = min(2 * self._next_s, _LONGEST_WAIT_S)
        return wait


class ThreadedSource(ABC):
    """Base of sources that need time or blocking calls: `_run` works in a thread, the poller sees a descriptor.

    Parameters
    ----------
    address : str
        What `address` says.
    queue_bytes : int
        What may wait for the poller [bytes]; then the thread waits.
    """

    def __init__(self, address: str, *, queue_bytes: int = DEFAULT_QUEUE_BYTES) -> None:
        self.address = address
        self._queue = MessageQueue(queue_bytes)
        self._state = SourceState()
        self._stopping = threading.Event()
        self._done = False
        self._thread = threading.Thread(target=self._run_to_the_end, name=f"source {address}", daemon=True)

    @abstractmethod
    def _run(self) -> None:
        """Fetch messages until `_stopping` is set or there are no more."""

    def _run_to_the_end(self) -> None:
        try:
            self._run()
        except Exception as error:  # noqa: BLE001 - the operator must see it; a source never ends the process
            self._state.last_error = f"{type(error).__name__}: {error}"
            self._state.connected = False
        self._done = True

    def _hand_over(self, parts: list[Any], n_bytes: int) -> bool:
        """Queue one message, waiting while the queue is full; False if the source is being closed."""
        return self._queue.reserve(n_bytes) and self._queue.put(parts, n_bytes)

    @property
    def socket(self) -> int:
        """The descriptor to poll."""
        return self._queue.descriptor

    def receive_ready(self, limit: int) -> list[list[Any]]:
        """Return what is there, at most ``limit`` messages, without waiting."""
        messages, n_bytes = self._queue.take(limit)
        if messages:
            state = self._state
            state.n_messages += len(messages)
            state.n_bytes += n_bytes
            state.last_message_ns = time.time_ns()
        return messages

    def state(self) -> SourceState:
        """Return a copy of the state."""
        state = copy.copy(self._state)
        state.is_ended = self._done and not self._queue.n_waiting
        return state

    def close(self) -> None:
        """Stop the thread and drop what waits; safe to call twice."""
        self._stopping.set()
        self._queue.close()
        if self._thread.is_alive():
            self._thread.join(_JOIN_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
