"""Who gets which event: a state machine without sockets, clock and threads.

An event that is offered becomes one delivery, or one for each of several slots. A delivery waits, is sent in a block
against a credit, and is kept until it is acknowledged. When a worker dies, what it had is given again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Generic, TypeVar

from glimt.engines.delivery import Block, Delivery, WaitingQueue, WorkerSlot
from glimt.engines.delivery_book import GIVEN_UP, NO_WORKER, DeliveryBook
from glimt.engines.event_copies import Held, Primer, make_copies, split
from glimt.engines.recipients import ANY, MappedEvent, Recipients, Split, shown_streams
from glimt.engines.redelivery import blame, redeliver
from glimt.engines.routes import Routes
from glimt.engines.settled import Settled
from glimt.engines.worker_credits import Credits
from glimt.model.errors import UsageError
from glimt.model.trigger_map_column import GENERIC

E = TypeVar("E")


class Assignment(Generic[E]):
    """The deliveries of one scan.

    Parameters
    ----------
    slots : mapping of str to frozenset of str
        Names and tags of the worker slots; none has a process yet.
    """

    def __init__(self, slots: Mapping[str, frozenset[str]]) -> None:
        self._routes: Routes[E] = Routes()
        self._book: DeliveryBook[E] = DeliveryBook()
        self._credits: Credits[E] = Credits()
        self._primers: list[Primer[E]] = []
        self._n_blocks = 0
        self._highest_sent = -1
        for name, tags in slots.items():
            self._routes.add(name, tags)
        self._anyone = self._routes.late_queue(GENERIC)

    # Workers ------------------------------------------------------------------------------------------------

    def add_slot(self, slot: str, tags: frozenset[str]) -> None:
        """Add a slot, without a process yet; `UsageError` if there is one of that name."""
        self._routes.add(slot, tags)

    def connect(self, slot: str) -> list[Held[E]]:
        """Note that ``slot`` has a new process, which has no credit yet.

        Returns
        -------
        list of Held
            Primers that the process must see before anything else, because an earlier process acknowledged them or
            the slot came later. Their results are of no use: the reducer has them.
        """
        self.disconnect(slot)
        one = self._routes.slot(slot)
        one.is_connected = True
        is_open = self._book.open
        primers = [primer for primer in self._primers if primer.serials.get(slot, -1) not in is_open]
        return [held for primer in primers if (held := primer.held_for(one)) is not None]

    def disconnect(self, slot: str, *, was_killed: bool = False) -> None:
        """Note that the process of ``slot`` died: what it had and did not get acknowledged is given again.

        Parameters
        ----------
        slot : str
            The slot.
        was_killed : bool
            From outside, as far as is known: then it is hardly an event that did it.
        """
        one = self._routes.slot(slot)
        if one.is_connected:
            one.is_connected = False
            self._credits.revoke(one)
            blame(one, self._book, was_killed=was_killed)
            redeliver(one, self._routes, self._book, retired=False)

    def retire(self, slot: str) -> None:
        """Note that ``slot`` will have no process again; what no other slot may take is dropped."""
        one = self._routes.slot(slot)
        self._credits.revoke(one)
        blame(one, self._book, was_killed=False)
        self._routes.remove(one)
        redeliver(one, self._routes, self._book, retired=True)
        for primer in self._primers:
            primer.serials.pop(slot, None)  # a later slot of that name has seen nothing
        self._void(self._routes.stranded(), NO_WORKER)

    def credit(self, slot: str, max_events: int, max_bytes: int) -> None:
        """Allow one block to ``slot``; without effect if it has no process.

        Parameters
        ----------
        slot : str
            The slot.
        max_events, max_bytes : int
            Limits of the block; one delivery may be sent even if it is larger.
        """
        if max_events < 1 or max_bytes < 0:
            raise UsageError(f"{slot}: a credit for {max_events} events and {max_bytes} bytes; allow one event or more")
        one = self._routes.slot(slot)
        if one.is_connected:
            self._credits.grant(one, max_events, max_bytes)

    # Events -------------------------------------------------------------------------------------------------

    def offer(
        self, event: E, *, n_bytes: int, recipients: MappedEvent | Recipients = ANY, primer: bool = False
    ) -> None:
        """Take an event, the next in order.

        One without any target is settled at once, as ``"discarded"``, or as ``"no_worker"`` if no slot has the tags.

        Parameters
        ----------
        event : object
            The event; returned by `settled` when it is finished.
        n_bytes : int
            What it occupies [bytes].
        recipients : Recipients or MappedEvent
            ANY, ALL or the event's targets in the trigger map.
        primer : bool
            Its broadcast copies must have been seen by every process before others: the start packets. They are kept
            for the life of the assignment.
        """
        if recipients is ANY:
            self._open_late(event, n_bytes, self._anyone, None, ())
            return
        if not isinstance(recipients, Recipients) and (simple := recipients.key) is not None:
            self._offer_keyed(event, n_bytes, simple, GENERIC, shown_streams(recipients.pattern))
            return
        targets = split(recipients)
        if len(targets.keys) == 1 and not targets.broadcasts:
            [(key, (tags, streams))] = targets.keys.items()
            self._offer_keyed(event, n_bytes, key, tags, targets.shown(streams))
        elif targets.keys or targets.broadcasts:
            self._offer_copies(event, n_bytes, targets, primer)
        else:
            self._book.never_opened(event, "discarded")

    def _open_late(
        self,
        event: E,
        n_bytes: int,
        queue: WaitingQueue[E],
        streams: tuple[int, ...] | None,
        keys: tuple[int, ...],
    ) -> None:
        if not queue.takers:
            self._book.never_opened(event, NO_WORKER)
            return
        delivery = Delivery(self._book.next_serial, event, n_bytes, streams, queue.tags, keys)
        self._book.enter(delivery)
        self._book.held_bytes += n_bytes
        self._routes.append(delivery, queue)

    def _offer_keyed(
        self, event: E, n_bytes: int, key: int, tags: frozenset[str], streams: tuple[int, ...] | None
    ) -> None:
        holder, tags = self._routes.holder(key, tags)
        if holder is None:
            self._open_late(event, n_bytes, self._routes.late_queue(tags), streams, (key,))
            return
        delivery = Delivery(self._book.next_serial, event, n_bytes, streams, tags, (key,), slot=holder)
        self._book.enter(delivery)
        self._book.held_bytes += n_bytes
        self._routes.append(delivery, holder.own)

    def _offer_copies(self, event: E, n_bytes: int, targets: Split, is_primer: bool) -> None:
        deliveries = make_copies(event, n_bytes, targets, self._routes, self._book.next_serial)
        if not deliveries:
            self._book.never_opened(event, NO_WORKER)
            return
        self._book.held_bytes += n_bytes
        serials: dict[str, int] = {}
        for delivery in deliveries:
            slot = delivery.slot
            if slot is not None:
                serials[slot.name] = delivery.serial
                self._book.enter(delivery)
                self._routes.append(delivery, slot.own)
        copies = deliveries[0].copies
        if is_primer and copies is not None:
            copies.is_primer = True
            self._primers.append(Primer(copies, targets, serials))

    # Blocks -------------------------------------------------------------------------------------------------

    def next_block(self) -> Block[E] | None:
        """Return a block to send, for the oldest credit that anything waits for; ``None`` if there is none.

        Lower serials are sent first. What waits for any worker is shared out among the slots that have credits.
        """
        if not self._routes.n_waiting:
            return None
        for position, credit in self._credits:
            deliveries = self._gather(credit.slot, credit.max_events, credit.max_bytes)
            if deliveries:
                self._credits.use(position)
                return self._block(credit.slot, deliveries)
        return self._overtaken()

    def _gather(self, slot: WorkerSlot[E], max_events: int, max_bytes: int) -> list[Delivery[E]]:
        if slot.unfinished and slot.is_trying:
            return []
        take = self._routes.take
        share = max_events
        if self._credits.n_slots > 1:
            share = -(-sum(len(queue.items) for queue in slot.late) // self._credits.n_slots)
        taken: list[Delivery[E]] = []
        while len(taken) < max_events and (queue := slot.next_queue()) is not None:
            delivery = queue.items[0]
            is_late = queue is not slot.own
            if delivery.blame and slot.unfinished:
                break
            if taken and (delivery.is_suspect or delivery.n_bytes > max_bytes or (is_late and share < 1)):
                break
            queue.items.popleft()
            take(delivery, slot)
            taken.append(delivery)
            max_bytes -= delivery.n_bytes
            share -= is_late
            if delivery.is_suspect:
                break
        return taken

    def _overtaken(self) -> Block[E] | None:
        """Return the lowest open delivery alone, without credit, if it is to be given again and later ones were sent.

        The reducer works in serial order, and workers may hold back credits until it does: it must not wait for ever.
        What was not given back needs none of this: a slot takes lower serials first, so that one for which the lowest
        open delivery waits has nothing that the reducer could make wait.
        """
        delivery = self._book.open[self._book.lowest()]
        queue = delivery.waiting_in
        if queue is None or not delivery.was_returned or delivery.serial > self._highest_sent:
            return None
        takers = [delivery.slot] if delivery.slot is not None else queue.takers
        connected = [
            slot
            for slot in takers
            if slot.is_connected and not (slot.unfinished and (delivery.blame or slot.is_trying))
        ]
        if not connected:
            return None
        slot = min(connected, key=WorkerSlot.load)
        self._routes.take(delivery, slot)
        queue.first()
        slot.n_debts += 1
        return self._block(slot, [delivery])

    def _block(self, slot: WorkerSlot[E], deliveries: list[Delivery[E]]) -> Block[E]:
        for delivery in deliveries:
            delivery.was_sent = True
            if delivery.copies is not None:
                delivery.copies.any_sent = True
        self._highest_sent = max(self._highest_sent, deliveries[-1].serial)
        number = self._n_blocks
        self._n_blocks += 1
        slot.unfinished[number] = deliveries
        return Block(slot.name, number, deliveries)

    def done(self, slot: str, block_number: int) -> None:
        """Note that the worker processed a block, and cannot die of it; without effect if another process did."""
        self._routes.slot(slot).unfinished.pop(block_number, None)

    def acknowledge(self, serials: Iterable[int], failed: Collection[int] = ()) -> None:
        """Note that the reducer has what became of ``serials``; those not open are ignored and counted.

        Parameters
        ----------
        serials : iterable of int
            The deliveries; a range may be of any size.
        failed : collection of int
            Those of them that failed.
        """
        self._book.acknowledge(serials, failed, self._routes.unqueue)

    def settled(self) -> Settled[E]:
        """Return the events that were finished since the last call, by what became of them, and void serials."""
        return self._book.take_settled()

    # Giving up ----------------------------------------------------------------------------------------------

    def drop_oldest(self, n_bytes: int) -> int:
        """Drop the oldest events of which no worker has had a part, as ``"full"``; primers are kept.

        Returns
        -------
        int
            What was freed [bytes]; less than ``n_bytes`` if there were no more.
        """
        before = self._book.held_bytes
        while before - self._book.held_bytes < n_bytes and (deliveries := self._book.droppable()):
            self._void(deliveries, "full")
        return before - self._book.held_bytes

    def give_up(self, slot: str) -> None:
        """Count what the process of ``slot`` has and has not processed as failed: it does not come back from it."""
        unfinished = self._routes.slot(slot).unfinished
        for deliveries in unfinished.values():
            for delivery in deliveries:
                if self._book.open.get(delivery.serial) is delivery:
                    self._book.void(delivery, GIVEN_UP)
        unfinished.clear()

    def stop(self, *, returned: bool = True) -> None:
        """Drop everything that waits, as ``"stopped"``; what was sent stays open until it is acknowledged.

        Parameters
        ----------
        returned : bool
            Also what a process had that died: the reducer may have its results, and say so when they come again.
        """
        waiting = [one for one in self._book.open.values() if one.waiting_in is not None]
        self._void([one for one in waiting if returned or not one.was_sent], "stopped")

    def _void(self, waiting: list[Delivery[E]], reason: str) -> None:
        for delivery in waiting:
            self._routes.unqueue(delivery)
            self._book.void(delivery, reason)

    # Figures ------------------------------------------------------------------------------------------------

    @property
    def n_serials(self) -> int:
        """Deliveries so far, which is the next serial."""
        return self._book.next_serial

    @property
    def outstanding(self) -> int:
        """Deliveries neither acknowledged nor void."""
        return len(self._book.open)

    @property
    def waiting(self) -> int:
        """Deliveries no worker has at the moment."""
        return self._routes.n_waiting

    def settled_runs(self) -> list[tuple[int, int]]:
        """Return the serials that are acknowledged or void, as runs (first, behind the last)."""
        runs, first = [], 0
        for serial in (*sorted(self._book.open), self._book.next_serial):
            if serial > first:
                runs.append((first, serial))
            first = serial + 1
        return runs

    @property
    def held_bytes(self) -> int:
        """What unfinished events occupy [bytes]."""
        return self._book.held_bytes

    @property
    def is_idle(self) -> bool:
        """Every event is finished."""
        return not self._book.open

    @property
    def lowest_outstanding(self) -> int:
        """The lowest serial neither acknowledged nor void; ``n_serials`` if there is none."""
        return self._book.lowest()

    @property
    def n_ignored(self) -> int:
        """Acknowledgements of what was not outstanding: duplicates after a redelivery, which are normal."""
        return self._book.n_ignored
