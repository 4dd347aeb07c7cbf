"""Ctrl-C as a request: the command finishes what it is doing, a second Ctrl-C ends it at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """Return an event that the first SIGINT or SIGTERM sets; the second one does what it always does."""
    stop = threading.Event()
    before: dict[signal.Signals, Any] = {}

    def request(number: int, _frame: Any) -> None:
        stop.set()
        signal.signal(number, before[signal.Signals(number)])

    for each in (signal.SIGINT, signal.SIGTERM):
        before[each] = signal.signal(each, request)
    try:
        yield stop
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
