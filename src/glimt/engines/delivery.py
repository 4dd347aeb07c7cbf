"""One event given to one worker slot, the queue it waits in, and the slot: they know each other."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from glimt.model.trigger_map_column import GENERIC

if TYPE_CHECKING:
    from collections.abc import Iterable

E = TypeVar("E")


class Copies(msgspec.Struct, Generic[E], eq=False):
    """What the deliveries of one event share, if it has several or belongs to all.

    Attributes
    ----------
    event : E
        The event.
    n_bytes : int
        What it occupies, once for all copies [bytes].
    serials : range
        Those of its deliveries.
    n_open : int
        How many are neither acknowledged nor void.
    any_sent : bool
        A worker has, or had, one of them.
    is_primer : bool
        Every process of its slots must have seen it.
    n_reduced, n_failed : int
        How many were acknowledged, as such.
    given_up : tuple of int
        Serials of those that ended two workers.
    """

    event: E
    n_bytes: int
    serials: range
    n_open: int
    any_sent: bool = False
    is_primer: bool = False
    n_reduced: int = 0
    n_failed: int = 0
    given_up: tuple[int, ...] = ()


class Delivery(msgspec.Struct, Generic[E], eq=False):
    """One event given to one worker slot.

    It is *waiting* while it is in a queue, and *sent* if it is in none; a settled one has left the assignment.

    Attributes
    ----------
    serial : int
        Dense over the scan, in the order of the events.
    event : E
        The event.
    n_bytes : int
        What the event occupies [bytes].
    streams : tuple of int or None
        Indices of the streams that this slot gets, ``None`` for all of the event.
    tags : frozenset of str
        What a slot must have to take it.
    keys : tuple of int
        Constraints that hold it to the slot that has them.
    copies : Copies or None
        What it shares with the event's other deliveries.
    waiting_in : WaitingQueue or None
        The queue it is in.
    slot : WorkerSlot or None
        Who has it or will get it; ``None`` while that is open.
    key_streams : tuple of int
        The part of ``streams`` that is there because of ``keys``; used only if it is also a broadcast copy.
    is_broadcast : bool
        A copy for just this slot: no other may take it.
    was_sent : bool
        A worker has, or had, it.
    was_returned : bool
        It waited for, or was sent to, a worker that died.
    is_suspect : bool
        A worker died while it, or a neighbor, was processed: it is given alone.
    blame : int
        How likely it is what ended workers that had nothing else to process: see `glimt.engines.redelivery`.
    """

    serial: int
    event: E
    n_bytes: int
    streams: tuple[int, ...] | None = None
    tags: frozenset[str] = GENERIC
    keys: tuple[int, ...] = ()
    copies: Copies[E] | None = None
    waiting_in: WaitingQueue[E] | None = None
    slot: WorkerSlot[E] | None = None
    key_streams: tuple[int, ...] = ()
    is_broadcast: bool = False
    was_sent: bool = False
    was_returned: bool = False
    is_suspect: bool = False
    blame: int = 0


class WaitingQueue(Generic[E]):
    """Deliveries that wait, in serial order.

    One that has left otherwise than from the front is still in ``items``, where ``waiting_in`` tells it apart:
    taking it out at once would cost a search.

    Parameters
    ----------
    tags : frozenset of str
        What a slot must have to take from it.
    """

    __slots__ = ("items", "tags", "takers")

    def __init__(self, tags: frozenset[str] = GENERIC) -> None:
        self.tags = tags
        self.items: deque[Delivery[E]] = deque()
        self.takers: list[WorkerSlot[E]] = []

    def first(self) -> Delivery[E] | None:
        """Return the delivery with the lowest serial."""
        items = self.items
        while items:
            if items[0].waiting_in is self:
                return items[0]
            items.popleft()
        return None

    def append(self, delivery: Delivery[E]) -> None:
        """Put in a delivery with a higher serial than all others."""
        delivery.waiting_in = self
        self.items.append(delivery)

    def merge(self, deliveries: Iterable[Delivery[E]]) -> None:
        """Put in ``deliveries``, ascending, where their serials belong."""
        new = list(deliveries)
        items = self.items
        if new and items and items[-1].serial > new[0].serial:
            items = deque(sorted([*(one for one in items if one.waiting_in is self), *new], key=_serial))
            self.items = items
        else:
            items.extend(new)
        for delivery in new:
            delivery.waiting_in = self


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


@dataclass(slots=True)
class Block(Generic[E]):
    """What is sent to a worker at once.

    Attributes
    ----------
    slot : str
        Name of the worker slot.
    number : int
        Of the block; unique in the scan.
    deliveries : list of Delivery
        In serial order.
    """

    slot: str
    number: int
    deliveries: list[Delivery[E]]

    @property
    def serials(self) -> list[int]:
        """Serials of its deliveries, ascending."""
        return [delivery.serial for delivery in self.deliveries]


def _serial(delivery: Delivery[E]) -> int:
    return delivery.serial
