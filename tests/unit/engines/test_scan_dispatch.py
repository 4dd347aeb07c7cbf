"""Events on their way to workers and back: who has what, when frames are forgotten, and what the account says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assigning import mapped
from glimt.codecs.protocol import PacketKind
from glimt.engines.event_block import LARGE_BYTES, BlockHead, unpack_events, unpack_head
from glimt.engines.event_queue import EventQueue
from glimt.engines.frame_memory import FrameMemory
from glimt.engines.scan_dispatch import ScanDispatch
from glimt.pipeline.built_event import BuiltEvent
from glimt.pipeline.ledger import StreamLedger

GENERIC = frozenset({"generic"})
STREAMS = [("det", "STINS"), ("scan", "contrast")]
ROOM = 12 * 2 * LARGE_BYTES
MB = 1 << 20


class Lent(NamedTuple):
    """A large frame that a worker reads where it is."""

    place: int
    size: int
    number: int


class Message(NamedTuple):
    """A block as a worker has it."""

    head: BlockHead
    lent: list[Lent]


def content(number: int) -> bytes:
    return bytes([number % 255 + 1])


class Bench:
    """A scan with its queue; workers are lists of what was sent to them."""

    def __init__(self, memory: FrameMemory, slots: tuple[str, ...] = ("w0", "w1")) -> None:
        self.memory = memory
        self.queue = EventQueue(ROOM, memory)
        self.ledgers = [StreamLedger(name) for name, _ in STREAMS]
        self.inbox: dict[str, list[Message]] = {slot: [] for slot in slots}
        self.kept: dict[str, list[Lent]] = {slot: [] for slot in slots}
        self.versions: list[tuple[str, int]] = []
        self.voids: list[int] = []
        self.n_offered = 0
        self.dispatch = ScanDispatch(
            1,
            "scan",
            slots=dict.fromkeys(slots, GENERIC),
            ledgers=self.ledgers,
            queue=self.queue,
            send=self._send,
            use_version=lambda slot, version: self.versions.append((slot, version)),
            void=self.voids.extend,
        )

    def _send(self, slot: str, parts: list[Any]) -> None:
        head = unpack_head(parts[1])
        lent: list[Lent] = []
        numbers = iter(head.event_numbers)
        number = -1

        def lend(place: int, size: int) -> bytes:
            lent.append(Lent(place, size, number))
            return bytes(self.memory.view(place, size))

        events = unpack_events(head, parts[2], parts[3:], STREAMS, lend)
        for number in numbers:
            event = next(events)
            for data in event.streams.values():
                assert all(bytes(frame) == content(number) * len(frame) for frame in data.frames)
        self.inbox[slot].append(Message(head, lent))
        self.check()

    def offer(self, kind: PacketKind = PacketKind.DATA, *, large: bool = True, recipients: Any = None) -> bool:
        number = self.n_offered
        frames = [content(number) * 10, content(number) * (2 * LARGE_BYTES)] if large else [content(number) * 10]
        event = BuiltEvent(number, kind, [(0, frames), (1, [content(number) * 5])], 15, 1000 + number)
        queued = self.queue.take(event)
        if queued is None:
            return False
        self.n_offered += 1
        for ledger in self.ledgers:
            ledger.receive(1, 10)
        is_start, is_end = kind is PacketKind.START, kind is PacketKind.END
        self.dispatch.offer(queued, recipients=recipients, is_start=is_start, is_end=is_end)
        self.check()
        return True

    def work(self, slot: str, max_events: int = 4) -> None:
        """Let a worker take one more block and finish those it has."""
        for message in self.inbox[slot]:
            self.dispatch.credit(slot, 0, 0, message.head.number)
        self.dispatch.credit(slot, max_events, MB, -1)
        self.dispatch.dispatch()
        self.check()

    def acknowledge(self, slot: str, which: int = 0, failed: tuple[int, ...] = (), *, keeps: bool = False) -> None:
        messages = [message for message in self.inbox[slot] if not message.head.is_primer]
        if not messages:
            return
        message = messages[which % len(messages)]
        self.dispatch.credit(slot, 0, 0, message.head.number)  # a worker says first that it has processed it
        self.inbox[slot].remove(message)
        if keeps:
            self.kept[slot] += message.lent
        serials = [serial for serial in message.head.serials if serial in failed]
        self.dispatch.acknowledge(message.head.number, serials, keeps_frames=keeps)
        self.dispatch.settle()
        self.check()

    def kill(self, slot: str) -> None:
        """End the process of a slot; nobody reads what it had."""
        self.inbox[slot].clear()
        self.kept[slot].clear()
        self.dispatch.disconnect(slot)
        self.check()

    def check(self) -> None:
        """Look whether every frame that a living worker may read is what was put there, and at the account."""
        for slot in self.inbox:
            lent = [one for message in self.inbox[slot] for one in message.lent]
            for place, size, number in (*lent, *self.kept[slot]):
                assert bytes(self.memory.view(place, size)) == content(number) * size
        for ledger in self.ledgers:
            ledger.check()

    def finish(self) -> None:
        """Work until nothing is open; every event is accounted for once, and everything is free."""
        for _ in range(10 * (self.n_offered + 3)):
            if self.dispatch.is_idle:
                break
            for slot in self.inbox:
                self.work(slot)
                while any(not message.head.is_primer for message in self.inbox[slot]):
                    self.acknowledge(slot)
        assert self.dispatch.is_idle
        assert self.queue.used_bytes == 0
        self.kept = {slot: [] for slot in self.inbox}
        for events in self.dispatch.close().values():
            for event in events:
                self.queue.give_back(event)
        assert self.memory.used_bytes == 0
        for ledger in self.ledgers:
            assert ledger.pending == 0
            assert ledger.reduced + ledger.failed + ledger.n_dropped == ledger.received == self.n_offered
        assert self.dispatch.n_finished == self.dispatch.n_offered == self.n_offered


@contextmanager
def scan(*slots: str) -> Iterator[Bench]:
    memory = FrameMemory(ROOM)
    try:
        bench = Bench(memory, slots or ("w0", "w1"))
        for slot in bench.inbox:
            bench.dispatch.connect(slot)
        yield bench
    finally:
        memory.close()


def test_an_event_is_counted_and_forgotten_when_it_is_acknowledged() -> None:
    with scan("w0") as bench:
        bench.offer()
        assert (bench.dispatch.n_waiting, bench.dispatch.n_outstanding) == (1, 1)
        bench.work("w0")
        assert (bench.dispatch.n_waiting, bench.dispatch.n_outstanding) == (0, 1)
        assert bench.ledgers[0].pending == 1
        assert bench.memory.used_bytes > 0
        bench.acknowledge("w0")
        assert bench.ledgers[0].reduced == bench.ledgers[1].reduced == 1
        assert bench.memory.used_bytes == bench.queue.used_bytes == 0
        assert bench.dispatch.is_idle
        assert set(bench.dispatch.latency_s()) == {"0.5", "0.9", "0.99"}


def test_without_credit_nothing_is_sent() -> None:
    with scan() as bench:
        bench.offer()
        bench.dispatch.dispatch()
        assert not any(bench.inbox.values())


def test_start_and_end_go_to_every_worker_and_are_counted_once() -> None:
    with scan() as bench:
        bench.offer(PacketKind.START)
        bench.offer()
        bench.offer(PacketKind.END)
        for slot in ("w0", "w1"):
            bench.work(slot)
        numbers = [number for slot in bench.inbox for one in bench.inbox[slot] for number in one.head.event_numbers]
        assert sorted(numbers) == [0, 0, 1, 2, 2]
        bench.finish()
        assert bench.ledgers[0].reduced == 3


def test_an_event_is_kept_until_all_its_copies_are_acknowledged() -> None:
    with scan() as bench:
        bench.offer(PacketKind.END)
        bench.work("w0")
        bench.work("w1")
        bench.acknowledge("w0")
        assert bench.ledgers[0].pending == 1
        assert bench.memory.used_bytes > 0
        bench.acknowledge("w1")
        assert bench.memory.used_bytes == 0


def test_a_failed_delivery_fails_its_event() -> None:
    with scan("w0") as bench:
        bench.offer()
        bench.offer()
        bench.work("w0")
        bench.acknowledge("w0", failed=(1,))
        assert [(ledger.reduced, ledger.failed) for ledger in bench.ledgers] == [(1, 1), (1, 1)]
        assert bench.dispatch.n_failed == 1


def test_what_a_dead_worker_had_is_given_to_another() -> None:
    with scan() as bench:
        bench.offer()
        bench.work("w0")
        lost = bench.inbox["w0"][0].head
        bench.kill("w0")
        bench.work("w1")
        again = bench.inbox["w1"][0].head
        assert again.serials == lost.serials
        assert again.number != lost.number
        bench.dispatch.acknowledge(lost.number, [], keeps_frames=False)  # the dead one's answer comes late
        assert bench.ledgers[0].pending == 1
        bench.finish()


def test_a_new_process_sees_the_start_packets_first_and_they_are_no_new_delivery() -> None:
    with scan("w0") as bench:
        bench.offer(PacketKind.START)
        bench.work("w0")
        bench.acknowledge("w0")
        bench.kill("w0")
        n_serials = bench.dispatch.n_serials
        bench.dispatch.connect("w0")
        [message] = bench.inbox["w0"]
        assert (message.head.is_primer, message.head.event_numbers, message.head.number) == (True, [0], -1)
        assert bench.dispatch.n_serials == n_serials
        bench.inbox["w0"].clear()  # it has seen it, and will not answer
        bench.finish()


def test_the_start_packets_of_a_late_process_are_not_overwritten_by_what_came_after() -> None:
    with scan("w0") as bench:
        bench.offer(PacketKind.START)
        bench.work("w0")
        bench.acknowledge("w0")
        for _ in range(3):
            bench.offer()
        bench.kill("w0")
        bench.dispatch.connect("w0")  # the bench compares every frame that is sent with what it was
        bench.inbox["w0"].clear()
        bench.finish()


def test_what_is_settled_is_told_in_runs() -> None:
    with scan("w0") as bench:
        assert bench.dispatch.settled_runs() == []
        for _ in range(6):
            bench.offer()
        assert bench.dispatch.settled_runs() == []
        for _ in range(6):
            bench.work("w0", max_events=1)
        numbers = [message.head.number for message in bench.inbox["w0"]]
        for place in (0, 1, 3, 5):
            bench.dispatch.acknowledge(numbers[place], [], keeps_frames=False)
        assert bench.dispatch.settled_runs() == [(0, 2), (3, 4), (5, 6)]
        for place in (2, 4):
            bench.dispatch.acknowledge(numbers[place], [], keeps_frames=False)
        bench.dispatch.settle()
        assert bench.dispatch.settled_runs() == [(0, 6)]
        bench.inbox["w0"].clear()


def test_what_a_process_hangs_with_has_failed_and_what_it_has_done_is_given_again() -> None:
    with scan("w0", "w1") as bench:
        for _ in range(3):
            bench.offer()
        for _ in range(2):
            bench.work("w0", max_events=1)
        done, hangs = (message.head.number for message in bench.inbox["w0"])
        bench.dispatch.credit("w0", 0, 0, done)
        assert list(bench.dispatch.clock.overdue(-1.0)) == ["w0"]
        assert bench.dispatch.event_numbers(hangs) == [1]
        bench.inbox["w0"].clear()
        bench.dispatch.disconnect("w0", has_hung=True)
        bench.dispatch.stop(returned=False)
        assert bench.dispatch.n_failed == 1
        assert {ledger.dropped.get("stopped", 0) for ledger in bench.ledgers} == {1}
        assert bench.dispatch.n_outstanding == 1
        bench.work("w1")
        bench.acknowledge("w1")
        assert bench.dispatch.is_idle
        assert {(ledger.reduced, ledger.failed) for ledger in bench.ledgers} == {(1, 1)}


def test_numbers_of_messages_are_not_those_of_another_scan() -> None:
    with scan("w0") as bench:
        bench.offer()
        bench.work("w0")
        [message] = bench.inbox["w0"]
        assert bench.dispatch.acknowledge(message.head.number - (1 << 32), [], keeps_frames=False) == []
        bench.finish()


def test_what_a_reducer_has_lost_has_failed() -> None:
    with scan("w0") as bench:
        for _ in range(4):
            bench.offer()
        bench.work("w0")
        bench.acknowledge("w0", failed=(1,))
        assert bench.dispatch.lose([(0, 3)]) == 2
        assert bench.dispatch.n_failed == 3
        assert {(ledger.reduced, ledger.failed) for ledger in bench.ledgers} == {(1, 3)}
        assert bench.dispatch.n_finished == 4


def test_frames_that_a_process_keeps_are_left_alone_when_the_scan_is_over() -> None:
    with scan("w0") as bench:
        bench.offer()
        bench.work("w0")
        bench.acknowledge("w0", keeps=True)
        kept = bench.dispatch.close()
        assert [event.event_number for event in kept["w0"]] == [0]
        assert bench.memory.used_bytes > 0
        bench.check()
        bench.queue.give_back(kept["w0"][0])
        assert bench.memory.used_bytes == 0
        bench.kept["w0"].clear()


def test_frames_that_a_users_object_keeps_stay_until_its_process_is_gone() -> None:
    with scan() as bench:
        bench.offer()
        bench.work("w0")
        bench.acknowledge("w0", keeps=True)
        assert bench.queue.used_bytes == 0
        assert bench.memory.used_bytes > 0
        assert bench.ledgers[0].reduced == 1
        bench.kill("w0")
        assert bench.memory.used_bytes == 0


def test_an_event_is_for_the_parameters_that_held_when_it_was_offered() -> None:
    with scan("w0") as bench:
        bench.offer()
        bench.dispatch.use(3)
        bench.offer()
        bench.offer()
        bench.dispatch.use(4)
        bench.offer()
        bench.dispatch.credit("w0", 10, MB, -1)
        bench.dispatch.dispatch()
        sent = [(one.head.version, one.head.event_numbers) for one in bench.inbox["w0"]]
        assert sent == [(0, [0]), (3, [1, 2]), (4, [3])]
        assert bench.versions == [("w0", 0), ("w0", 3), ("w0", 4)]
        bench.finish()


def test_of_a_block_in_several_messages_only_the_last_makes_room_for_another() -> None:
    with scan("w0") as bench:
        bench.offer()
        bench.dispatch.use(1)
        bench.offer()
        bench.dispatch.credit("w0", 10, MB, -1)
        bench.dispatch.dispatch()
        first, last = bench.inbox["w0"]
        bench.offer()
        bench.dispatch.credit("w0", 10, MB, first.head.number)
        bench.dispatch.dispatch()
        assert len(bench.inbox["w0"]) == 2
        bench.dispatch.credit("w0", 10, MB, last.head.number)
        bench.dispatch.dispatch()
        assert len(bench.inbox["w0"]) == 3
        bench.finish()


def test_a_worker_gets_the_streams_that_the_map_gives_it() -> None:
    with scan() as bench:
        bench.offer(recipients=mapped([0], [1]))
        bench.work("w0")
        bench.work("w1")
        layouts = sorted(one.head.layouts[0] for slot in bench.inbox for one in bench.inbox[slot])
        assert layouts == [((0, 2),), ((1, 1),)]
        bench.finish()
        assert [ledger.reduced for ledger in bench.ledgers] == [1, 1]


def test_the_oldest_that_nobody_has_is_dropped_for_room() -> None:
    with scan("w0") as bench:
        bench.offer()
        bench.work("w0", max_events=1)
        bench.offer()
        bench.offer()
        assert bench.dispatch.drop_oldest(1)
        assert bench.ledgers[0].dropped == {"full": 1}
        assert bench.voids == [1]
        bench.finish()
        assert bench.ledgers[0].reduced == 2


def test_nothing_is_dropped_that_a_worker_has() -> None:
    with scan("w0") as bench:
        bench.offer()
        bench.work("w0")
        assert not bench.dispatch.drop_oldest(1)


def test_without_any_worker_left_events_are_dropped_and_void() -> None:
    with scan("w0") as bench:
        bench.offer()
        bench.dispatch.retire("w0")
        assert bench.ledgers[0].dropped == {"no_worker": 1}
        assert bench.voids == [0]
        bench.offer()
        bench.dispatch.settle()
        assert bench.ledgers[0].dropped == {"no_worker": 2}
        bench.finish()


def test_a_stop_drops_what_waits_and_leaves_what_was_sent() -> None:
    with scan("w0") as bench:
        bench.offer()
        bench.work("w0")
        bench.offer()
        bench.dispatch.stop()
        assert bench.ledgers[0].dropped == {"stopped": 1}
        assert bench.ledgers[0].pending == 1
        bench.finish()


@pytest.mark.parametrize("number", [-1, 0, 77])
def test_an_acknowledgement_of_nothing_changes_nothing(number: int) -> None:
    with scan("w0") as bench:
        bench.dispatch.acknowledge(number, [0], keeps_frames=True)
        bench.offer()
        bench.finish()


SLOTS = ("w0", "w1", "w2")
OFTEN = ["offer", "work", "acknowledge"]
steps = st.tuples(
    st.sampled_from([*OFTEN, *OFTEN, "keep", "fail", "kill", "start", "drop", "change", "small", "end"]),
    st.sampled_from(SLOTS),
    st.integers(0, 5),
)


@given(st.lists(steps, max_size=60))
def test_frames_are_never_forgotten_while_a_worker_may_read_them_and_once_in_the_end(
    given_steps: list[tuple[str, str, int]],
) -> None:
    with scan(*SLOTS) as bench:
        for number, (what, slot, which) in enumerate(given_steps):
            if what in {"work", "acknowledge", "keep", "fail", "kill"}:
                _step_of_a_worker(bench, what, slot, which)
            elif what == "drop":
                bench.dispatch.drop_oldest(which * LARGE_BYTES)
            elif what == "change":
                bench.dispatch.use(number)
            elif what != "start" or not bench.n_offered:
                kinds = {"start": PacketKind.START, "end": PacketKind.END}
                bench.offer(kinds.get(what, PacketKind.DATA), large=what != "small")
            bench.check()
        for slot in SLOTS:  # all have new processes in the end
            bench.kill(slot)
            bench.dispatch.connect(slot)
            bench.inbox[slot].clear()
        bench.finish()


def _step_of_a_worker(bench: Bench, what: str, slot: str, which: int) -> None:
    if what == "work":
        bench.work(slot, max_events=which + 1)
    elif what == "kill":
        bench.kill(slot)
        if which % 2:
            bench.dispatch.connect(slot)
    else:
        failed = tuple(range(which, 100, 2)) if what == "fail" else ()
        bench.acknowledge(slot, which, failed, keeps=what == "keep")
