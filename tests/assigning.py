"""Events, trigger maps and blocks for the tests of the assignment."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from glimt.engines.assignment import Assignment
from glimt.engines.delivery import Block

GENERIC = frozenset({"generic"})
DEBUG = frozenset({"debug"})
BOTH = GENERIC | DEBUG
MB = 1 << 20


class Virtual(NamedTuple):
    tags: frozenset[str]
    key: int | None


class Mapped(NamedTuple):
    """An event of a trigger map, the long way."""

    entries: tuple[tuple[int, tuple[Virtual, ...]], ...]
    key: int | None = None
    pattern: tuple[tuple[int, tuple[object, ...]], ...] = ()


def mapped(*entries: Iterable[int | Virtual]) -> Mapped:
    """Return an event of as many streams, each for these constraints."""
    return Mapped(
        tuple(
            (stream, tuple(one if isinstance(one, Virtual) else Virtual(GENERIC, one) for one in entry))
            for stream, entry in enumerate(entries)
        )
    )


def connected(**slots: frozenset[str]) -> Assignment[str]:
    assignment: Assignment[str] = Assignment(slots)
    for slot in slots:
        assignment.connect(slot)
    return assignment


def workers(n: int) -> Assignment[str]:
    return connected(**{f"w{number}": GENERIC for number in range(n)})


def offer(assignment: Assignment[str], *events: str, n_bytes: int = 1) -> None:
    for event in events:
        assignment.offer(event, n_bytes=n_bytes)


def sent(assignment: Assignment[str], slot: str = "w0", max_events: int = 64, max_bytes: int = MB) -> Block[str]:
    """Grant a credit and return the block that it brings."""
    assignment.credit(slot, max_events, max_bytes)
    block = assignment.next_block()
    assert block is not None
    return block


def events_of(block: Block[str] | None) -> list[str]:
    return [] if block is None else [delivery.event for delivery in block.deliveries]


def all_blocks(assignment: Assignment[str]) -> list[tuple[str, list[str]]]:
    blocks = iter(assignment.next_block, None)
    return [(block.slot, events_of(block)) for block in blocks if block is not None]
