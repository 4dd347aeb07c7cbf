"""In which queue a delivery waits, and which slot has which constraint."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

from glimt.engines.bound_keys import BoundKeys
from glimt.engines.delivery import Delivery, WaitingQueue, WorkerSlot
from glimt.model.errors import UsageError

E = TypeVar("E")


class Routes(Generic[E]):
    """Slots, their queues, and the queues that several slots take from.

    Attributes
    ----------
    slots : dict of str to WorkerSlot
        All that are not retired.
    keys : BoundKeys
        Which slot has which constraint.
    n_waiting : int
        Deliveries in all queues.
    """

    __slots__ = ("_late", "_unbound", "keys", "n_waiting", "slots")

    def __init__(self) -> None:
        self.slots: dict[str, WorkerSlot[E]] = {}
        self.keys: BoundKeys[WorkerSlot[E]] = BoundKeys()
        self.n_waiting = 0
        self._late: dict[frozenset[str], WaitingQueue[E]] = {}
        self._unbound: dict[int, list[Delivery[E]]] = {}

    def slot(self, name: str) -> WorkerSlot[E]:
        """Return the slot of that name."""
        try:
            return self.slots[name]
        except KeyError:
            raise UsageError(f"no worker slot {name[:80]!r}; there are: {', '.join(self.slots) or 'none'}") from None

    def add(self, name: str, tags: frozenset[str]) -> None:
        """Add a slot."""
        if name in self.slots:
            raise UsageError(f"there is a worker slot {name[:80]!r} already; give the new one another name")
        self.slots[name] = WorkerSlot(name, tags)
        self._refresh()

    def remove(self, slot: WorkerSlot[E]) -> None:
        """Remove a slot."""
        del self.slots[slot.name]
        self._refresh()

    def stranded(self) -> list[Delivery[E]]:
        """Return what waits and no slot may take."""
        queues = [queue for queue in self._late.values() if not queue.takers]
        return [one for queue in queues for one in queue.items if one.waiting_in is queue]

    def _refresh(self) -> None:
        for slot in self.slots.values():
            slot.late = [queue for tags, queue in self._late.items() if tags <= slot.tags]
        for tags, queue in self._late.items():
            queue.takers = self.takers(tags)

    def takers(self, tags: frozenset[str]) -> list[WorkerSlot[E]]:
        """Return the slots that have all of ``tags``."""
        return [slot for slot in self.slots.values() if tags <= slot.tags]

    def late_queue(self, tags: frozenset[str]) -> WaitingQueue[E]:
        """Return the queue of what any slot with ``tags`` may take."""
        queue = self._late.get(tags)
        if queue is None:
            queue = self._late[tags] = WaitingQueue(tags)
            self._refresh()
        return queue

    def holder(self, key: int, tags: frozenset[str]) -> tuple[WorkerSlot[E] | None, frozenset[str]]:
        """Return who has ``key``, and the tags that count for it: its first entry's, ``tags`` if this is it."""
        binding = self.keys.holder(key)
        if binding is not None:
            return binding
        waiting = self._unbound.get(key)
        return None, waiting[0].tags if waiting else tags

    def append(self, delivery: Delivery[E], queue: WaitingQueue[E]) -> None:
        """Put a new delivery, which has the highest serial, into ``queue``."""
        queue.append(delivery)
        self.n_waiting += 1
        if delivery.slot is None and delivery.keys:
            self._unbound.setdefault(delivery.keys[0], []).append(delivery)

    def put_back(self, group: Sequence[Delivery[E]], slot: WorkerSlot[E]) -> None:
        """Make sent deliveries wait for ``slot``, with their keys."""
        for delivery in group:
            delivery.slot = slot
            for key in delivery.keys:
                self.keys.bind(key, slot, delivery.tags)
        slot.own.merge(group)
        self.n_waiting += len(group)

    def put_back_late(self, deliveries: Iterable[Delivery[E]]) -> None:
        """Make sent deliveries, ascending and with at most one key each, wait for whoever may take them."""
        queues: dict[frozenset[str], list[Delivery[E]]] = {}
        for delivery in deliveries:
            delivery.slot = None
            if delivery.keys:
                group = self._unbound.setdefault(delivery.keys[0], [])
                group.append(delivery)
                delivery.tags = group[0].tags
            queues.setdefault(delivery.tags, []).append(delivery)
        for tags, group in queues.items():
            self.late_queue(tags).merge(group)
            self.n_waiting += len(group)

    def take(self, delivery: Delivery[E], slot: WorkerSlot[E]) -> None:
        """Give a waiting delivery to ``slot``, and with it all that have the same key."""
        delivery.waiting_in = None
        self.n_waiting -= 1
        if delivery.slot is None:
            delivery.slot = slot
            for key in delivery.keys:
                self.bind(key, slot, delivery.tags)

    def bind(self, key: int, slot: WorkerSlot[E], tags: frozenset[str]) -> None:
        """Give ``key`` to ``slot``, which has its ``tags``, with all deliveries that wait for that."""
        self.keys.bind(key, slot, tags)
        group = [one for one in self._unbound.pop(key, ()) if one.waiting_in is not None]
        for delivery in group:
            delivery.slot = slot
        slot.own.merge(group)

    def unqueue(self, delivery: Delivery[E]) -> None:
        """Take ``delivery`` out of its queue."""
        queue, delivery.waiting_in = delivery.waiting_in, None
        self.n_waiting -= 1
        if delivery.slot is None and delivery.keys:
            group = self._unbound[delivery.keys[0]]
            group.remove(delivery)
            if not group:
                del self._unbound[delivery.keys[0]]
        if queue is not None:
            queue.first()
