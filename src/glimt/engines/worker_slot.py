"""A place for a worker process, and the blocks it may be sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, NamedTuple, TypeVar

from glimt.engines.delivery import Delivery, WaitingQueue

E = TypeVar("E")


class WorkerSlot(Generic[E]):
    """A place for a worker process; a process that dies is replaced in its slot.

    Parameters
    ----------
    name : str
        Of the slot.
    tags : frozenset of str
        What it takes.
    """

    __slots__ = ("is_connected", "late", "n_credits", "n_debts", "name", "own", "tags", "unfinished")

    def __init__(self, name: str, tags: frozenset[str]) -> None:
        self.name = name
        self.tags = tags
        self.is_connected = False
        self.own: WaitingQueue[E] = WaitingQueue(tags)
        """Deliveries that no other slot may take."""
        self.late: list[WaitingQueue[E]] = []
        """Queues from which it may take."""
        self.unfinished: dict[int, list[Delivery[E]]] = {}
        """Blocks that its process has and has not finished, oldest first."""
        self.n_credits = 0
        self.n_debts = 0
        """Blocks sent without credit, whose credits are still to come."""

    @property
    def is_trying(self) -> bool:
        """Whether its process has a delivery that one died of: nothing else may be with it.

        A process that dies takes its last words along, so of several blocks it is not known which was the last.
        """
        return any(deliveries[0].blame for deliveries in self.unfinished.values())

    def next_queue(self) -> WaitingQueue[E] | None:
        """Return the queue whose first delivery has the lowest serial it may take; ``None`` if nothing waits for it."""
        best = None
        lowest = -1
        for queue in (self.own, *self.late):
            if queue.items and (first := queue.first()) is not None and (best is None or first.serial < lowest):
                best, lowest = queue, first.serial
        return best

    def load(self) -> tuple[bool, int, int]:
        """Return by what slots are compared when one is chosen for work that cannot wait: the lowest is best."""
        return (not self.is_connected, len(self.unfinished) + len(self.own.items), -self.n_credits)


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
