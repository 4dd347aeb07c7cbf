"""Dead letters: messages that were refused for good or never settled, kept in queues of their own with the reason."""

from __future__ import annotations

import time
from collections.abc import Mapping

from glimt.brokers.broker import DEAD_LETTER_PREFIX, DIED_NS, MAX_DELIVERIES, ORIGIN, REASON, Header

NEVER_SETTLED = f"delivered {MAX_DELIVERIES} times and never settled: its receivers died or went away"
_MAX_REASON = 4000


def dead_letter_queue(queue: str) -> str:
    """Return where the dead letters of a queue go."""
    return DEAD_LETTER_PREFIX + queue


def is_dead_letter_queue(queue: str) -> bool:
    """Say whether a queue holds dead letters; what is refused there stays there."""
    return queue.startswith(DEAD_LETTER_PREFIX)


def dead_letter_headers(headers: Mapping[str, Header], reason: str, queue: str) -> dict[str, Header]:
    """Return a message's headers with why, where and when it died."""
    text = reason.encode(errors="replace").decode()
    if len(text) > _MAX_REASON:
        text = text[:_MAX_REASON] + "…"
    return {**headers, REASON: text, ORIGIN: queue, DIED_NS: time.time_ns()}


def revived_headers(headers: Mapping[str, Header]) -> dict[str, Header]:
    """Return the headers as they were before the message died."""
    return {name: value for name, value in headers.items() if name not in {REASON, ORIGIN, DIED_NS}}
