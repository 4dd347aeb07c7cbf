"""Which deliveries are open, and what became of the others: each event is reported as finished exactly once."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Generic, TypeVar

from glimt.engines.delivery import Copies, Delivery
from glimt.engines.settled import Settled

if TYPE_CHECKING:
    from collections.abc import Callable

E = TypeVar("E")

GIVEN_UP = "given_up"
"""Reason of a void delivery that ended two workers: its event counts as failed, not as dropped."""
NO_WORKER = "no_worker"
"""Reason of one that no worker may take."""


class DeliveryBook(Generic[E]):
    """All open deliveries by serial.

    Attributes
    ----------
    open : dict of int to Delivery
        Those that are neither acknowledged nor void.
    next_serial : int
        What the next delivery gets.
    held_bytes : int
        What the events that are not finished occupy, each counted once [bytes].
    n_ignored : int
        Acknowledgements of what was not open, or had never been sent.
    """

    __slots__ = ("_drop_cursor", "_lowest", "_settled", "held_bytes", "n_ignored", "next_serial", "open")

    def __init__(self) -> None:
        self.open: dict[int, Delivery[E]] = {}
        self.next_serial = 0
        self.held_bytes = 0
        self.n_ignored = 0
        self._lowest = 0
        self._drop_cursor = 0
        self._settled: Settled[E] = Settled()

    def enter(self, delivery: Delivery[E]) -> None:
        """Open ``delivery``, which has the next serial."""
        self.open[delivery.serial] = delivery
        self.next_serial += 1

    def lowest(self) -> int:
        """Return the lowest open serial, the next one if none is open."""
        lowest, end, is_open = self._lowest, self.next_serial, self.open
        while lowest < end and lowest not in is_open:
            lowest += 1
        self._lowest = lowest
        return lowest

    def acknowledge(
        self, serials: Iterable[int], failed: Collection[int], unqueue: Callable[[Delivery[E]], None]
    ) -> None:
        """Settle what was sent; ``unqueue`` is called for one that waits because its worker died."""
        if isinstance(serials, range):
            serials = self._known(serials)
        is_open, reduced = self.open, self._settled.reduced
        for serial in serials:
            delivery = is_open.get(serial)
            if delivery is None or not delivery.was_sent:
                self.n_ignored += 1
                continue
            if delivery.waiting_in is not None:
                unqueue(delivery)
            del is_open[serial]
            if delivery.copies is not None:
                self._count(delivery.copies, failed=serial in failed)
                continue
            self.held_bytes -= delivery.n_bytes
            if failed and serial in failed:
                self._settled.failed.append(delivery.event)
            else:
                reduced.append(delivery.event)

    def _known(self, serials: range) -> range:
        """Return the part of ``serials`` that can be open: a range may come from a message and be endless."""
        if serials.step != 1:
            serials = serials[::-1] if serials.step == -1 else range(0)
        known = range(max(serials.start, self.lowest()), min(serials.stop, self.next_serial))
        self.n_ignored += max(serials.stop - serials.start, 0) - len(known)
        return known

    def _count(self, copies: Copies[E], *, failed: bool) -> None:
        if failed:
            copies.n_failed += 1
        else:
            copies.n_reduced += 1
        copies.n_open -= 1
        if not copies.n_open:
            self._finish(copies, "")

    def void(self, delivery: Delivery[E], reason: str) -> None:
        """Close ``delivery``, which is in no queue, for good: its serial will have no result."""
        del self.open[delivery.serial]
        self._settled.void.append(delivery.serial)
        copies = delivery.copies
        if copies is None:
            self.held_bytes -= delivery.n_bytes
            self._drop(delivery.event, reason)
            return
        if reason == GIVEN_UP:
            copies.given_up += (delivery.serial,)
        copies.n_open -= 1
        if not copies.n_open:
            self._finish(copies, reason)

    def _finish(self, copies: Copies[E], reason: str) -> None:
        self.held_bytes -= copies.n_bytes
        if copies.n_failed:
            self._settled.failed.append(copies.event)
        elif copies.given_up:
            self._settled.given_up.append(copies.event)
        elif copies.n_reduced:
            self._settled.reduced.append(copies.event)
        else:
            self._drop(copies.event, reason)

    def _drop(self, event: E, reason: str) -> None:
        if reason == GIVEN_UP:
            self._settled.given_up.append(event)
        else:
            self._settled.drop(event, reason)

    def never_opened(self, event: E, reason: str) -> None:
        """Report an event that has no delivery."""
        self._settled.drop(event, reason)

    def droppable(self) -> list[Delivery[E]]:
        """Return all deliveries of the oldest event no worker has had a part of; empty if there is none.

        What is passed over once is never droppable again, so that many calls together pass over each delivery once.
        """
        while self._drop_cursor < self.next_serial:
            delivery = self.open.get(self._drop_cursor)
            if delivery is not None and not delivery.was_sent:
                copies = delivery.copies
                if copies is None:
                    return [delivery]
                if not copies.any_sent and not copies.is_primer:
                    return [self.open[serial] for serial in copies.serials if serial in self.open]
            self._drop_cursor += 1
        return []

    def take_settled(self) -> Settled[E]:
        """Return what was settled since the last call."""
        settled, self._settled = self._settled, Settled()
        return settled
