"""Different constraints of one event to different worker slots, if there are enough."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

S = TypeVar("S")


def distinct_slots(candidates: Sequence[Sequence[S]], used: Sequence[S]) -> list[S | None]:
    """Choose one of its candidates for each constraint.

    As many constraints as possible get a slot of their own (a maximum bipartite matching, by augmenting paths); the
    others share with the best of their candidates.

    Parameters
    ----------
    candidates : sequence of sequences
        For each constraint the slots that may take it, best first.
    used : sequence
        Slots that have a part of the event already; taken only by constraints that find no other.

    Returns
    -------
    list
        A slot for each constraint, ``None`` where there is no candidate.
    """
    owners: dict[S, int] = {}
    for constraint in range(len(candidates)):
        _augment(constraint, candidates, owners, set(used))
    chosen: list[S | None] = [slots[0] if slots else None for slots in candidates]
    for slot, constraint in owners.items():
        chosen[constraint] = slot
    return chosen


def _augment(first: int, candidates: Sequence[Sequence[S]], owners: dict[S, int], seen: set[S]) -> None:
    """Find a free slot for constraint ``first``, moving others; breadth first, since a map may have long entries."""
    came_from: dict[S, int] = {}
    constraints = [first]
    for constraint in constraints:
        for slot in candidates[constraint]:
            if slot in seen:
                continue
            seen.add(slot)
            came_from[slot] = constraint
            if slot in owners:
                constraints.append(owners[slot])
                continue
            _move(slot, first, came_from, owners)
            return


def _move(slot: S, first: int, came_from: dict[S, int], owners: dict[S, int]) -> None:
    held = {constraint: one for one, constraint in owners.items()}
    while True:
        constraint = came_from[slot]
        owners[slot] = constraint
        if constraint == first:
            return
        slot = held[constraint]
