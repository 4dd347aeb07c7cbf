"""One scan in the ingester: its events on their way to workers and back, and the account of them."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from glimt.engines.assignment import Assignment
from glimt.engines.event_block import QueuedEvent, pack_block
from glimt.engines.recipients import ALL, ANY
from glimt.engines.reduced_events import ReducedEvents
from glimt.engines.work_clock import WorkClock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from glimt.engines.delivery import Block, Delivery
    from glimt.engines.event_queue import EventQueue
    from glimt.engines.recipients import MappedEvent
    from glimt.pipeline.ledger import DropReason, StreamLedger

_LATENCIES = 2000
_SCAN_BITS = 32
"""Numbers of messages are of the whole run: what is said of one of the scan before must not be taken for this one."""
_QUANTILES = (0.5, 0.9, 0.99)


class _Sent(NamedTuple):
    """A message of events that a worker has."""

    slot: str
    block: int
    is_last: bool
    serials: list[int]
    events: list[QueuedEvent]


class ScanDispatch:
    """Gives out the events of one scan.

    Parameters
    ----------
    scan, scan_id : int, str
        Its number in this run, and its identity.
    slots : mapping of str to frozenset of str
        Names and tags of the worker slots.
    ledgers : sequence of StreamLedger
        By stream index.
    queue : EventQueue
        Where the events are.
    send : callable
        Sends the parts of a message to the worker of a slot.
    use_version : callable
        Makes sure that the worker of a slot has a version of the parameters before what is sent to it next.
    void : callable
        Told the serials that will never have a result.

    Attributes
    ----------
    n_offered, n_finished : int
        Events given to workers, and those with which all are done.
    n_failed : int
        Events that failed.
    last_offered : int
        Number of the last event.
    clock : WorkClock
        Since when workers are busy with what they have.
    """

    def __init__(
        self,
        scan: int,
        scan_id: str,
        *,
        slots: Mapping[str, frozenset[str]],
        ledgers: Sequence[StreamLedger],
        queue: EventQueue,
        send: Callable[[str, list[Any]], None],
        use_version: Callable[[str, int], None],
        void: Callable[[list[int]], None],
    ) -> None:
        self.scan, self.scan_id = scan, scan_id
        self.n_offered = self.n_finished = self.n_failed = 0
        self.last_offered = -1
        self.began_ns = time.time_ns()
        self._assignment: Assignment[QueuedEvent] = Assignment(slots)
        self._ledgers = ledgers
        self._queue = queue
        self._send = send
        self._use_version = use_version
        self._void = void
        self._sent: dict[int, _Sent] = {}
        self.clock = WorkClock()
        self._reduced = ReducedEvents()
        self._next_message = scan << _SCAN_BITS
        self._kept: dict[str, list[QueuedEvent]] = {}
        self._primers: list[QueuedEvent] = []
        self.latencies_ns: deque[int] = deque(maxlen=_LATENCIES)
        self._version = 0

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing is with a worker or on its way to the reducer."""
        return self._assignment.is_idle

    @property
    def n_serials(self) -> int:
        """Deliveries so far."""
        return self._assignment.n_serials

    @property
    def n_waiting(self) -> int:
        """Deliveries that no worker has."""
        return self._assignment.waiting

    @property
    def n_outstanding(self) -> int:
        """Deliveries that are not acknowledged."""
        return self._assignment.outstanding

    def offer(self, event: QueuedEvent, *, recipients: MappedEvent | None, is_start: bool, is_end: bool) -> None:
        """Take the next event, for the parameters that hold now.

        Parameters
        ----------
        event : QueuedEvent
            The event.
        recipients : MappedEvent or None
            Who gets it, from the trigger map. Without one, start and end go to all workers, others to one.
        is_start, is_end : bool
            Whether it is the streams' start or end packets.
        """
        event.version = self._version
        self.n_offered += 1
        self.last_offered = event.event_number
        whom = recipients if recipients is not None else ALL if is_start or is_end else ANY
        if is_start:  # processes to come are shown it, long after it is reduced
            self._queue.keep(event)
            self._primers.append(event)
        first_serial = self._assignment.n_serials
        self._assignment.offer(event, n_bytes=event.n_bytes, recipients=whom, primer=is_start)
        n_serials = self._assignment.n_serials - first_serial
        if n_serials:
            event.first_serial = first_serial
            self._reduced.open(n_serials)

    def use(self, version: int) -> None:
        """Use these parameters for the events offered from now on."""
        self._version = version

    # Workers ------------------------------------------------------------------------------------------------

    def connect(self, slot: str) -> None:
        """Note that a slot has a new process, which has seen nothing."""
        self._forget(slot)
        primers = self._assignment.connect(slot)
        for primer in primers:
            event = primer.event if primer.streams is None else primer.event.only(primer.streams)
            self._use_version(slot, event.version)
            self._send(slot, self._pack(-1, event.version, [(-1, event)], is_primer=True))

    def disconnect(self, slot: str, *, was_killed: bool = False, has_hung: bool = False) -> None:
        """Note that the process of a slot has died.

        Parameters
        ----------
        slot : str
            The slot.
        was_killed : bool
            From outside, as far as is known.
        has_hung : bool
            It was ended because it did not come back from what it had: those events have failed.
        """
        self._forget(slot)
        if has_hung:
            self._assignment.give_up(slot)
        self._assignment.disconnect(slot, was_killed=was_killed)
        self.settle()

    def retire(self, slot: str) -> None:
        """Note that a slot will have no process any more."""
        self._forget(slot)
        self._assignment.retire(slot)
        self.settle()

    def event_numbers(self, message: int) -> list[int]:
        """Return the numbers of the events of a message that is not acknowledged."""
        sent = self._sent.get(message)
        return [] if sent is None else [event.event_number for event in sent.events]

    def _forget(self, slot: str) -> None:
        self.clock.forget(slot)
        for number in [number for number, sent in self._sent.items() if sent.slot == slot]:
            del self._sent[number]
        for event in self._kept.pop(slot, ()):
            self._queue.give_back(event)

    def credit(self, slot: str, max_events: int, max_bytes: int, done: int) -> None:
        """Note that a worker has processed the message ``done`` (if not negative) and takes one more."""
        self.clock.done(slot, done)
        sent = self._sent.get(done)
        if sent is not None:
            if not sent.is_last:
                return  # a block of several messages: the credit comes with the last
            self._assignment.done(slot, sent.block)
        if max_events:
            self._assignment.credit(slot, max_events, max_bytes)

    def acknowledge(self, message: int, failed: Sequence[int], *, keeps_frames: bool) -> list[int]:
        """Note that the reducer has what became of a message; ``failed`` are the serials that failed.

        Returns
        -------
        list of int
            The serials of the message, in rising order; empty if no worker has it.
        """
        sent = self._sent.pop(message, None)
        if sent is None:
            return []
        if keeps_frames:
            self._kept.setdefault(sent.slot, []).extend(sent.events)
            for event in sent.events:
                self._queue.keep(event)
        self._assignment.acknowledge(sent.serials, failed)
        return sent.serials

    # Messages -----------------------------------------------------------------------------------------------

    def dispatch(self) -> None:
        """Send what credits allow."""
        while (block := self._assignment.next_block()) is not None:
            self._send_block(block)

    def _send_block(self, block: Block[QueuedEvent]) -> None:
        run: list[Delivery[QueuedEvent]] = []
        for delivery in block.deliveries:
            if run and delivery.event.version != run[0].event.version:
                self._send_run(block, run, is_last=False)
                run = []
            run.append(delivery)
        self._send_run(block, run, is_last=True)

    def _send_run(self, block: Block[QueuedEvent], run: list[Delivery[QueuedEvent]], *, is_last: bool) -> None:
        """Send deliveries that are all for the same parameters."""
        number, version = self._next_message, run[0].event.version
        self._next_message += 1
        serials, events = [one.serial for one in run], [one.event for one in run]
        self._sent[number] = _Sent(block.slot, block.number, is_last, serials, events)
        self.clock.send(block.slot, number)
        self._use_version(block.slot, version)
        given = [(one.serial, one.event if one.streams is None else one.event.only(one.streams)) for one in run]
        self._send(block.slot, self._pack(number, version, given))

    def _pack(
        self, number: int, version: int, run: Sequence[tuple[int, QueuedEvent]], *, is_primer: bool = False
    ) -> list[Any]:
        return pack_block(self.scan, number, version, run, is_primer=is_primer)

    def settled_runs(self) -> list[tuple[int, int]]:
        """Return the serials that are acknowledged or void, as runs (first, behind the last)."""
        return self._assignment.settled_runs()

    # The account --------------------------------------------------------------------------------------------

    def drop_oldest(self, n_bytes: int) -> bool:
        """Drop waiting events to make room; tell whether any was dropped."""
        dropped = self._assignment.drop_oldest(n_bytes) > 0
        self.settle()
        return dropped

    def stop(self, *, returned: bool = True) -> None:
        """Drop what no worker has; ``returned`` also what one had that died."""
        self._assignment.stop(returned=returned)
        self.settle()

    def settle(self) -> None:
        """Write what became of events into the account, and forget them."""
        settled = self._assignment.settled()
        if settled.reduced:
            now_ns = time.time_ns()
            add, note = self.latencies_ns.append, self._reduced.reduce
            for event in settled.reduced:
                add(now_ns - event.created_ns)
                if not note(event.first_serial, event.layout):
                    settled.failed.append(event)
                    continue
                for stream, _ in event.layout:
                    self._ledgers[stream].reduce()
                self._queue.release(event)
                self.n_finished += 1
        for event in (*settled.failed, *settled.given_up):
            self._reduced.leave_out(event.first_serial)
            for stream, _ in event.layout:
                self._ledgers[stream].fail()
            self._queue.release(event)
            self.n_failed += 1
            self.n_finished += 1
        for reason, events in settled.dropped.items():
            for event in events:
                self.drop(event, reason)
                self.n_finished += 1
        if settled.void:
            self._reduced.void(settled.void)
            self._void(settled.void)

    def lose(self, runs: Sequence[tuple[int, int]]) -> int:
        """Take back from the account what a reducer has lost; return how many reduced events that were.

        Parameters
        ----------
        runs : sequence of (int, int)
            Serials that it does not have, though they were acknowledged or void: first, and behind the last.
        """
        lost = self._reduced.lose(runs)
        for streams, n_events in lost.items():
            for stream in streams:
                self._ledgers[stream].lose(n_events)
        self.n_failed += lost.total()
        return lost.total()

    def drop(self, event: QueuedEvent, reason: Any) -> None:
        """Count an event as dropped and forget it."""
        because: DropReason = reason
        self._reduced.leave_out(event.first_serial)
        for stream, _ in event.layout:
            self._ledgers[stream].drop(because)
        self._queue.release(event)

    def latency_s(self) -> dict[str, float]:
        """Return quantiles of the time from receiving to reduced [s], of the newest events."""
        found = sorted(self.latencies_ns)
        return {str(q): found[int(q * len(found))] * 1e-9 for q in _QUANTILES} if found else {}

    def close(self) -> dict[str, list[QueuedEvent]]:
        """Forget the start packets: the scan is over.

        Returns
        -------
        dict of str to list
            Events of which the process of a slot still holds frames, for which its ``context`` may be the place: they
            are to be given back to the queue when that process is gone.
        """
        while self._primers:
            self._queue.give_back(self._primers.pop())
        kept, self._kept = self._kept, {}
        return kept
