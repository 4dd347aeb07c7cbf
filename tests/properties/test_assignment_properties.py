"""The assignment under everything that may happen, in any order, against an account kept from outside."""

from __future__ import annotations

from itertools import permutations
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from assigning import BOTH, DEBUG, GENERIC, Mapped, Virtual
from glimt.engines.assignment import Assignment
from glimt.engines.bound_keys import BoundKeys
from glimt.engines.delivery import Block, Delivery
from glimt.engines.distinct_slots import distinct_slots
from glimt.engines.recipients import ALL, ANY

KINDS = (GENERIC, DEBUG, BOTH)
CONSTRAINT_BITS = 40
MAX_BYTES = 50


@given(st.lists(st.lists(st.integers(0, 4), unique=True), max_size=4), st.lists(st.integers(0, 4), unique=True))
def test_distinct_slots_are_as_many_as_any_choice_gives(candidates: list[list[int]], used: list[int]) -> None:
    chosen = distinct_slots(candidates, used)
    for slots, slot in zip(candidates, chosen, strict=True):
        assert slot in slots if slots else slot is None
    best = max(
        sum(slot in slots and slot not in used for slots, slot in zip(candidates, order, strict=False))
        for order in permutations([*range(5), *[-1] * 4], len(candidates))
    )
    assert len({slot for slot in chosen if slot is not None} - set(used)) >= best


@given(st.lists(st.tuples(st.integers(0, 300), st.sampled_from("abc"), st.booleans(), st.integers(0, 3))))
def test_bound_keys_are_a_dictionary_that_forgets_old_instances(steps: list[tuple[int, str, bool, int]]) -> None:
    keys: BoundKeys[str] = BoundKeys()
    twin: dict[int, str] = {}
    newest = 0
    for constraint, holder, bind, instance in steps:
        key = instance << CONSTRAINT_BITS | constraint
        if bind:
            newest = max(newest, instance)
            keys.bind(key, holder, GENERIC)
            twin[key] = holder
        else:
            keys.unbind(holder)
            twin = {key: other for key, other in twin.items() if other != holder}
        twin = {key: other for key, other in twin.items() if key >> CONSTRAINT_BITS >= newest}
        assert keys.holder(key) == ((twin[key], GENERIC) if key in twin else None)
        assert all(keys.holder(key) == (holder, GENERIC) for key, holder in twin.items())


class AssignmentMachine(RuleBasedStateMachine):
    """Workers come, work, fail and go; every call is noted and compared with what may be."""

    @initialize(kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=4), connect=st.booleans())
    def begin(self, kinds: list[frozenset[str]], connect: bool) -> None:
        self.slots = {f"w{number}": kind for number, kind in enumerate(kinds)}
        self.assignment: Assignment[int] = Assignment(self.slots)
        self.n_slots = len(kinds)
        self.connected: set[str] = set()
        self.credits: list[tuple[str, int, int]] = []
        self.debts: dict[str, int] = {}
        self.blocks: dict[str, list[Block[int]]] = {}
        self.sent: dict[int, tuple[str, Delivery[int]]] = {}
        self.ever_sent: set[int] = set()
        self.returned: set[int] = set()
        self.acknowledged: set[int] = set()
        self.failed: set[int] = set()
        self.void: set[int] = set()
        self.serials: list[range] = []
        self.n_bytes: list[int] = []
        self.recipients: list[Any] = []
        self.settled: dict[int, str] = {}
        self.instance = 0
        self.bound: dict[int, str] = {}
        self.key_tags: dict[int, list[frozenset[str]]] = {}
        if connect:
            for slot in self.slots:
                self.do_connect(slot)

    # What is offered

    def offer(self, recipients: Any, n_bytes: int, *, primer: bool = False) -> None:
        first = self.assignment.n_serials
        self.assignment.offer(len(self.serials), n_bytes=n_bytes, recipients=recipients, primer=primer)
        self.serials.append(range(first, self.assignment.n_serials))
        self.n_bytes.append(n_bytes)
        self.recipients.append(recipients)
        self.account()

    @rule(n=st.integers(1, 8), n_bytes=st.integers(0, 30))
    def offer_any(self, n: int, n_bytes: int) -> None:
        for _ in range(n):
            self.offer(ANY, n_bytes)

    @rule(n_bytes=st.integers(0, 30), primer=st.booleans())
    def offer_all(self, n_bytes: int, primer: bool) -> None:
        self.offer(ALL, n_bytes, primer=primer)
        assert len(self.serials[-1]) == sum(tags >= GENERIC for tags in self.slots.values())

    @rule(constraint=st.integers(0, 5), n=st.integers(1, 3), discard=st.booleans())
    def offer_simple(self, constraint: int, n: int, discard: bool) -> None:
        key = self.instance << CONSTRAINT_BITS | constraint
        pattern = ((0, (object(),)), (1, () if discard else (object(),)))
        for _ in range(n):
            self.key_tags.setdefault(key, []).append(GENERIC)
            self.offer(Mapped(entries=(), key=key, pattern=pattern), 1)

    @rule(
        entries=st.lists(
            st.lists(st.tuples(st.sampled_from(KINDS), st.none() | st.integers(0, 5)), max_size=3), max_size=3
        ),
        n_bytes=st.integers(0, 30),
        primer=st.booleans(),
    )
    def offer_mapped(self, entries: list[list[tuple[frozenset[str], int | None]]], n_bytes: int, primer: bool) -> None:
        targets = [
            tuple(
                Virtual(tags, None if constraint is None else self.instance << CONSTRAINT_BITS | constraint)
                for tags, constraint in entry
            )
            for entry in entries
        ]
        for target in [target for entry in targets for target in entry]:
            if target.key is not None:
                self.key_tags.setdefault(target.key, []).append(target.tags)
        self.offer(Mapped(entries=tuple(enumerate(targets))), n_bytes, primer=primer)

    @rule()
    def next_instance(self) -> None:
        self.instance += 1

    # Workers

    def connectable(self) -> list[str]:
        return [slot for slot in self.slots if slot not in self.connected]

    def do_connect(self, slot: str) -> None:
        self.assignment.connect(slot)
        self.connected.add(slot)
        self.blocks[slot] = []
        self.debts[slot] = 0

    @precondition(lambda self: self.connectable())
    @rule(data=st.data())
    def connect(self, data: st.DataObject) -> None:
        self.do_connect(data.draw(st.sampled_from(self.connectable())))
        self.account()

    @rule(kind=st.sampled_from(KINDS))
    def add_slot(self, kind: frozenset[str]) -> None:
        self.slots[f"w{self.n_slots}"] = kind
        self.assignment.add_slot(f"w{self.n_slots}", kind)
        self.n_slots += 1

    def forget_process(self, slot: str) -> None:
        self.connected.discard(slot)
        self.credits = [credit for credit in self.credits if credit[0] != slot]
        for serial in [serial for serial, (holder, _) in self.sent.items() if holder == slot]:
            del self.sent[serial]
        self.bound = {key: holder for key, holder in self.bound.items() if holder != slot}

    @precondition(lambda self: self.connected)
    @rule(data=st.data())
    def kill(self, data: st.DataObject) -> None:
        slot = data.draw(st.sampled_from(sorted(self.connected)))
        self.forget_process(slot)
        self.assignment.disconnect(slot)
        self.account()

    @precondition(lambda self: self.slots)
    @rule(data=st.data())
    def retire(self, data: st.DataObject) -> None:
        slot = data.draw(st.sampled_from(sorted(self.slots)))
        self.forget_process(slot)
        del self.slots[slot]
        self.assignment.retire(slot)
        self.account()

    def grant(self, slot: str, max_events: int, max_bytes: int) -> None:
        self.assignment.credit(slot, max_events, max_bytes)
        if self.debts[slot]:
            self.debts[slot] -= 1
        else:
            self.credits.append((slot, max_events, max_bytes))

    @precondition(lambda self: self.connected)
    @rule(data=st.data(), max_events=st.integers(1, 6), max_bytes=st.integers(0, MAX_BYTES))
    def credit(self, data: st.DataObject, max_events: int, max_bytes: int) -> None:
        self.grant(data.draw(st.sampled_from(sorted(self.connected))), max_events, max_bytes)

    # Blocks

    @rule()
    def send(self) -> None:
        while (block := self.assignment.next_block()) is not None:
            self.check_block(block)

    @rule()
    def send_one(self) -> None:
        if (block := self.assignment.next_block()) is not None:
            self.check_block(block)

    def check_block(self, block: Block[int]) -> None:
        serials, slot = block.serials, block.slot
        assert slot in self.connected
        assert serials == sorted(set(serials))
        credit = next((credit for credit in self.credits if credit[0] == slot), None)
        if credit is None:  # only what the reducer may wait for
            lowest = min(set(range(self.assignment.n_serials)) - self.acknowledged - self.void)
            assert serials == [lowest]
            assert max(self.ever_sent) >= lowest
            self.debts[slot] += 1
        else:
            self.credits.remove(credit)
            n_bytes = sum(delivery.n_bytes for delivery in block.deliveries)
            assert len(serials) <= credit[1]
            assert len(serials) == 1 or n_bytes <= credit[2]
        for delivery in block.deliveries:
            self.check_delivery(delivery, slot)
        self.blocks[slot].append(block)

    def check_delivery(self, delivery: Delivery[int], slot: str) -> None:
        serial, recipients = delivery.serial, self.recipients[delivery.event]
        assert serial in self.serials[delivery.event]
        assert serial not in self.acknowledged | self.void
        assert serial not in self.sent
        self.sent[serial] = slot, delivery
        self.ever_sent.add(serial)
        if recipients is ANY or recipients is ALL:
            assert self.slots[slot] >= GENERIC
            assert delivery.streams is None
        for key in delivery.keys:
            assert any(tags <= self.slots[slot] for tags in self.key_tags[key])
            if key >> CONSTRAINT_BITS == self.instance:
                assert self.bound.setdefault(key, slot) == slot
            with_key = {holder for holder, other in self.sent.values() if key in other.keys}
            assert with_key == {slot}

    @precondition(lambda self: any(self.blocks.get(slot) for slot in self.connected))
    @rule(data=st.data(), grant=st.booleans())
    def finish_block(self, data: st.DataObject, grant: bool) -> None:
        slot = data.draw(st.sampled_from([slot for slot in sorted(self.connected) if self.blocks[slot]]))
        self.finish_oldest(slot)
        if grant:
            self.grant(slot, 4, MAX_BYTES)

    def finish_oldest(self, slot: str) -> Block[int]:
        block = self.blocks[slot].pop(0)
        self.assignment.done(slot, block.number)
        return block

    def do_acknowledge(self, serials: list[int] | range, failed: set[int]) -> None:
        self.assignment.acknowledge(serials, failed)
        for serial in serials:
            if serial in self.ever_sent - self.void and serial not in self.acknowledged:
                self.acknowledged.add(serial)
                self.sent.pop(serial, None)
                if serial in failed:
                    self.failed.add(serial)
        self.account()

    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        known = st.sampled_from(sorted(self.ever_sent)) if self.ever_sent else st.nothing()
        serials = data.draw(st.lists(st.integers(-2, self.assignment.n_serials + 2) | known, max_size=8))
        self.do_acknowledge(serials, set(data.draw(st.lists(st.sampled_from(serials or [0]), max_size=3))))

    @rule(data=st.data())
    def acknowledge_range(self, data: st.DataObject) -> None:
        ends = st.integers(-2, self.assignment.n_serials + 2)
        self.do_acknowledge(range(data.draw(ends), data.draw(ends)), set())

    # Giving up

    @rule(n_bytes=st.integers(0, 60))
    def drop_oldest(self, n_bytes: int) -> None:
        held = self.assignment.held_bytes
        freed = self.assignment.drop_oldest(n_bytes)
        assert freed == held - self.assignment.held_bytes
        before = len(self.settled)
        self.account()
        dropped = list(self.settled)[before:]
        assert all(self.settled[event] == "full" and not self.ever_sent & {*self.serials[event]} for event in dropped)
        assert dropped == sorted(dropped)

    @rule()
    def stop(self) -> None:
        self.assignment.stop()
        self.account()
        assert self.assignment.waiting == 0

    # The account

    def account(self) -> None:
        settled = self.assignment.settled()
        assert not self.void & {*settled.void}
        assert len(settled.void) == len({*settled.void})
        self.void.update(settled.void)
        outcomes = [("reduced", settled.reduced), ("failed", settled.failed), ("given_up", settled.given_up)]
        for outcome, events in [*outcomes, *settled.dropped.items()]:
            for event in events:
                assert event not in self.settled
                self.settled[event] = outcome
                serials = {*self.serials[event]}
                assert serials <= self.acknowledged | self.void
                assert (outcome == "failed") == bool(serials & self.failed)
                assert outcome != "reduced" or serials & self.acknowledged
                assert outcome in ("reduced", "failed", "given_up") or not serials & self.acknowledged

    @invariant()
    def every_delivery_is_in_one_state(self) -> None:
        finished = self.acknowledged | self.void
        assert not self.acknowledged & self.void
        assert not {*self.sent} & finished
        n_open = self.assignment.n_serials - len(finished)
        assert self.assignment.outstanding == n_open
        assert self.assignment.waiting == n_open - len(self.sent)
        assert self.assignment.is_idle == (n_open == 0)
        lowest = min(set(range(self.assignment.n_serials)) - finished, default=self.assignment.n_serials)
        assert self.assignment.lowest_outstanding == lowest
        held = [self.n_bytes[event] for event in range(len(self.serials)) if event not in self.settled]
        assert self.assignment.held_bytes == sum(held)
        for event, serials in enumerate(self.serials):
            assert (event in self.settled) == ({*serials} <= finished)

    def teardown(self) -> None:
        """Let workers that hold back credits and a reducer that works in serial order finish everything."""
        if not hasattr(self, "assignment"):
            return
        for slot in self.connectable():
            self.do_connect(slot)
        self.account()
        for slot in sorted(self.connected):
            while self.blocks[slot]:
                self.finish_oldest(slot)
        for _ in range(4 * self.assignment.n_serials + 4):
            self.work_in_order()
        self.every_delivery_is_in_one_state()
        assert self.assignment.is_idle
        assert len(self.settled) == len(self.serials)

    def work_in_order(self) -> None:
        while self.assignment.lowest_outstanding in self.sent:
            self.do_acknowledge([self.assignment.lowest_outstanding], set())
        for slot in sorted(self.connected):
            has_results = any(holder == slot for holder, _ in self.sent.values())
            if not has_results and not any(credit[0] == slot for credit in self.credits):
                for _ in range(self.debts[slot] + 1):
                    self.grant(slot, 3, MAX_BYTES)
        while (block := self.assignment.next_block()) is not None:
            self.check_block(block)
            self.finish_oldest(block.slot)


TestAssignmentMachine = AssignmentMachine.TestCase
TestAssignmentMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
