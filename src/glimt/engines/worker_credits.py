"""Leave to send blocks to worker slots, which their processes give."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, NamedTuple, TypeVar

from glimt.engines.delivery import WorkerSlot

E = TypeVar("E")


class Credit(NamedTuple, Generic[E]):
    """Leave to send one block."""

    slot: WorkerSlot[E]
    max_events: int
    max_bytes: int


class Credits(Generic[E]):
    """All credits, the oldest first."""

    __slots__ = ("_waiting", "n_slots")

    def __init__(self) -> None:
        self._waiting: list[Credit[E]] = []
        self.n_slots = 0
        """Slots that have a credit."""

    def __iter__(self) -> Iterator[tuple[int, Credit[E]]]:
        """Return the credits with their positions."""
        return enumerate(self._waiting)

    def grant(self, slot: WorkerSlot[E], max_events: int, max_bytes: int) -> None:
        """Add a credit, or take it for a block that was sent without."""
        if slot.n_debts:
            slot.n_debts -= 1
            return
        self.n_slots += not slot.n_credits
        slot.n_credits += 1
        self._waiting.append(Credit(slot, max_events, max_bytes))

    def use(self, position: int) -> None:
        """Take away the credit at ``position``."""
        slot = self._waiting.pop(position).slot
        slot.n_credits -= 1
        self.n_slots -= not slot.n_credits

    def revoke(self, slot: WorkerSlot[E]) -> None:
        """Take away all credits of ``slot``, and its debts: its process is gone."""
        self._waiting = [credit for credit in self._waiting if credit.slot is not slot]
        self.n_slots -= slot.n_credits > 0
        slot.n_credits = slot.n_debts = 0
