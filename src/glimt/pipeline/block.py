"""Consecutive events that go to one worker at once."""

from __future__ import annotations

import msgspec

MAX_EVENTS = 1024
MAX_BYTES = 8 << 20


class Block(msgspec.Struct, frozen=True):
    """Consecutive events, by place in a file or as the encoded items themselves.

    Attributes
    ----------
    number : int
        Position among the blocks of the run; results are reduced in this order.
    first_index : int
        Position of its first event in the run.
    n_events : int
        How many events it has.
    first_event, last_event : int
        Their event numbers.
    is_start : bool
        Begins a scan: goes to every worker.
    previous_ns : int
        When the event before it was recorded [ns], -1 if unknown.
    parts : list
        For each source the byte range ``(offset, end)`` in its capture, or the encoded items, or ``None``.
    """

    number: int
    first_index: int
    n_events: int
    first_event: int
    last_event: int
    is_start: bool
    previous_ns: int
    parts: list[tuple[int, int] | bytes | None]


def block_size(number: int, n_workers: int) -> int:
    """Return how many events block ``number`` should have.

    Grows from one event to `MAX_EVENTS`, so that every worker has work at once and few messages are sent later; depends
    on nothing else, so that the same events go to the same worker in every run.
    """
    return int(min(MAX_EVENTS, 1 << min(30, number // max(1, n_workers))))
