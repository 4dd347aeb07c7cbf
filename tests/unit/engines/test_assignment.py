"""Who gets which event, block by block."""

from __future__ import annotations

import tracemalloc

import pytest

from assigning import BOTH, DEBUG, GENERIC, MB, Virtual, all_blocks, connected, events_of, mapped, offer, sent, workers
from glimt.engines.assignment import Assignment
from glimt.engines.recipients import ALL, ANY
from glimt.model.errors import UsageError
from glimt.model.trigger_map import TriggerMap


def test_nothing_is_sent_without_a_credit() -> None:
    assignment = workers(1)
    offer(assignment, "a")
    assert assignment.next_block() is None
    assert (assignment.waiting, assignment.outstanding, assignment.held_bytes) == (1, 1, 1)


def test_a_block_keeps_to_the_events_and_bytes_of_its_credit() -> None:
    assignment = workers(1)
    offer(assignment, *"abcdefg", n_bytes=10)
    assert events_of(sent(assignment, max_events=2)) == ["a", "b"]
    assert events_of(sent(assignment, max_bytes=39)) == ["c", "d", "e"]
    assert events_of(sent(assignment, max_bytes=0)) == ["f"]


def test_an_event_is_held_until_it_is_acknowledged() -> None:
    assignment = workers(1)
    offer(assignment, *"abc", n_bytes=5)
    block = sent(assignment)
    assignment.done("w0", block.number)
    assert assignment.held_bytes == 15
    assignment.acknowledge([0, 2], failed={2})
    settled = assignment.settled()
    assert (settled.reduced, settled.failed, settled.void) == (["a"], ["c"], [])
    assert (assignment.held_bytes, assignment.lowest_outstanding, assignment.is_idle) == (5, 1, False)
    assignment.acknowledge(range(3))
    assert assignment.settled().reduced == ["b"]
    assert (assignment.is_idle, assignment.lowest_outstanding, assignment.n_ignored) == (True, 3, 2)


def test_acknowledging_what_was_never_sent_is_ignored_and_counted() -> None:
    assignment = workers(1)
    offer(assignment, "a")
    assignment.acknowledge([0, 1, -1])
    assert assignment.n_ignored == 3
    assert assignment.settled().reduced == []
    assert events_of(sent(assignment)) == ["a"]


@pytest.mark.parametrize("serials", [range(1 << 60), range(-(1 << 60), 1 << 60), range((1 << 60) - 1, -1, -1)])
def test_a_range_without_end_costs_nothing(serials: range) -> None:
    assignment = workers(1)
    offer(assignment, *"abc")
    sent(assignment)
    assignment.acknowledge(serials)
    assert assignment.settled().reduced == ["a", "b", "c"]
    assert assignment.n_ignored == abs(serials.stop - serials.start) - 3


def test_waiting_events_are_shared_out_among_the_slots_with_credits() -> None:
    assignment = workers(3)
    for slot in ("w1", "w0", "w2"):
        assignment.credit(slot, 64, MB)
    offer(assignment, *"abcdefg")
    assert all_blocks(assignment) == [("w1", ["a", "b", "c"]), ("w0", ["d", "e"]), ("w2", ["f", "g"])]


def test_the_oldest_credit_is_used_first() -> None:
    assignment = workers(2)
    for slot in ("w1", "w0", "w1"):
        assignment.credit(slot, 1, MB)
    offer(assignment, *"abcd")
    assert [slot for slot, _ in all_blocks(assignment)] == ["w1", "w0", "w1"]


def test_all_means_every_generic_slot_and_one_finished_event() -> None:
    assignment = connected(w0=GENERIC, tap=DEBUG, w1=BOTH)
    assignment.offer("start", n_bytes=7, recipients=ALL)
    assert (assignment.outstanding, assignment.held_bytes) == (2, 7)
    for slot in ("w0", "tap", "w1"):
        assignment.credit(slot, 64, MB)
    assert all_blocks(assignment) == [("w0", ["start"]), ("w1", ["start"])]
    assignment.acknowledge([0])
    assert assignment.settled().reduced == []
    assignment.acknowledge([1])
    assert assignment.settled().reduced == ["start"]
    assert assignment.held_bytes == 0


def test_one_failed_copy_makes_the_event_failed() -> None:
    assignment = workers(2)
    assignment.offer("start", n_bytes=1, recipients=ALL)
    sent(assignment, "w0")
    sent(assignment, "w1")
    assignment.acknowledge([0], failed=[0])
    assignment.acknowledge([1])
    assert assignment.settled().failed == ["start"]


def test_a_key_goes_to_whoever_has_credit_first_and_stays_there() -> None:
    assignment = workers(2)
    for event in "abc":
        assignment.offer(event, n_bytes=1, recipients=mapped([0]))
    assignment.offer("d", n_bytes=1, recipients=mapped([1]))
    assert events_of(sent(assignment, "w1", max_events=2)) == ["a", "b"]
    assert events_of(sent(assignment, "w0")) == ["d"]
    assignment.acknowledge(range(4))
    assignment.offer("e", n_bytes=1, recipients=mapped([0]))
    assignment.credit("w0", 64, MB)
    assert assignment.next_block() is None
    assert events_of(sent(assignment, "w1")) == ["c", "e"]


def test_others_overtake_what_waits_for_a_busy_slot() -> None:
    assignment = workers(2)
    assignment.offer("a", n_bytes=1, recipients=mapped([0]))
    sent(assignment, "w0")
    for event, key in [("b", 0), ("c", 1), ("d", 0), ("e", 1)]:
        assignment.offer(event, n_bytes=1, recipients=mapped([key]))
    assert events_of(sent(assignment, "w1")) == ["c", "e"]
    assert events_of(sent(assignment, "w0")) == ["b", "d"]


def test_distinct_constraints_of_one_event_go_to_distinct_slots() -> None:
    assignment = connected(tap=BOTH, w0=GENERIC)
    # Greedily, the first key would take the only slot that the second may go to.
    assignment.offer("a", n_bytes=1, recipients=mapped([0], [Virtual(DEBUG, 1)]))
    for slot in ("w0", "tap"):
        [delivery] = sent(assignment, slot).deliveries
        assert delivery.streams == ((0,) if slot == "w0" else (1,))
    assert assignment.n_serials == 2


def test_a_slot_gets_the_union_of_the_streams_it_is_a_target_of() -> None:
    assignment = workers(2)
    assignment.offer("a", n_bytes=1, recipients=mapped([0], [0, 1], [Virtual(GENERIC, None)], []))
    streams = sorted(sent(assignment, slot).deliveries[0].streams or () for slot in ("w0", "w1"))
    assert streams == [(0, 1, 2), (1, 2)]
    assignment.acknowledge(range(2))
    assert assignment.settled().reduced == ["a"]


def test_streams_are_not_listed_if_all_go_to_one_slot() -> None:
    assignment = workers(1)
    assignment.offer("a", n_bytes=1, recipients=mapped([3], [3]))
    assignment.offer("b", n_bytes=1, recipients=mapped([3], []))
    block = sent(assignment)
    assert [delivery.streams for delivery in block.deliveries] == [None, (0,)]


def test_a_waiting_key_is_bound_when_a_later_event_needs_it_at_once() -> None:
    assignment = workers(2)
    assignment.offer("a", n_bytes=1, recipients=mapped([0]))
    assignment.offer("b", n_bytes=1, recipients=mapped([0, 1]))
    blocks = {slot: sent(assignment, slot) for slot in ("w0", "w1")}
    assert sorted(map(events_of, blocks.values())) == [["a", "b"], ["b"]]


def test_only_the_tags_of_a_keys_first_entry_count() -> None:
    assignment = connected(w0=GENERIC, tap=DEBUG, w1=GENERIC)
    assignment.offer("a", n_bytes=1, recipients=mapped([0]))
    assignment.offer("b", n_bytes=1, recipients=mapped([Virtual(DEBUG, 0)]))
    assert events_of(sent(assignment, "w0", max_events=1)) == ["a"]
    assignment.offer("c", n_bytes=1, recipients=mapped([Virtual(DEBUG, 0)]))
    assignment.acknowledge([0])
    assignment.disconnect("w0")
    assignment.credit("tap", 64, MB)
    assert assignment.next_block() is None
    assert events_of(sent(assignment, "w1")) == ["b", "c"]


def test_an_event_nobody_may_take_is_settled_at_once_without_a_serial() -> None:
    assignment = connected(tap=DEBUG)
    assignment.offer("a", n_bytes=1)
    assignment.offer("b", n_bytes=1, recipients=ALL)
    assignment.offer("c", n_bytes=1, recipients=mapped([0, 1]))
    assignment.offer("d", n_bytes=1, recipients=mapped([0]))
    assignment.offer("e", n_bytes=1, recipients=mapped([], []))
    assert assignment.settled().dropped == {"no_worker": ["a", "b", "c", "d"], "discarded": ["e"]}
    assert (assignment.n_serials, assignment.held_bytes, assignment.is_idle) == (0, 0, True)


def test_dropping_the_oldest_spares_what_was_sent_and_primers() -> None:
    assignment = workers(2)
    assignment.offer("start", n_bytes=100, recipients=ALL, primer=True)
    offer(assignment, *"abcd", n_bytes=10)
    assignment.credit("w0", 2, MB)
    assert all_blocks(assignment) == [("w0", ["start", "a"])]
    assert assignment.drop_oldest(15) == 20
    settled = assignment.settled()
    assert (settled.dropped, settled.void) == ({"full": ["b", "c"]}, [3, 4])
    assert assignment.drop_oldest(1000) == 10
    assert (assignment.waiting, assignment.held_bytes) == (1, 110)
    assert events_of(sent(assignment, "w1")) == ["start"]


def test_dropping_the_head_of_a_key_leaves_the_rest_of_it_in_order() -> None:
    assignment = workers(1)
    for event, key in [("a", 0), ("b", 1), ("c", 0), ("d", 1)]:
        assignment.offer(event, n_bytes=1, recipients=mapped([key]))
    assignment.drop_oldest(1)
    assert events_of(sent(assignment)) == ["b", "c", "d"]


def test_dropping_all_day_holds_no_memory() -> None:
    assignment: Assignment[str] = Assignment({"w0": GENERIC})
    offer(assignment, *["a"] * 100)
    tracemalloc.start()
    for _ in range(20_000):
        offer(assignment, "a")
        assert assignment.drop_oldest(1) == 1
        assignment.settled()
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 200_000


def test_stopping_drops_what_waits_and_keeps_what_was_sent() -> None:
    assignment = workers(2)
    assignment.offer("start", n_bytes=1, recipients=ALL)
    sent(assignment, "w0")
    assignment.offer("a", n_bytes=1, recipients=mapped([0]))
    assignment.stop()
    settled = assignment.settled()
    assert (settled.dropped, sorted(settled.void)) == ({"stopped": ["a"]}, [1, 2])
    assignment.acknowledge([0])
    assert assignment.settled().reduced == ["start"]
    assert assignment.is_idle


def test_keys_of_a_million_events_need_little_memory() -> None:
    assignment = workers(1)
    tracemalloc.start()
    for key in range(50_000):
        assignment.offer("a", n_bytes=1, recipients=mapped([key]))
        if key % 50 == 49:
            assignment.done("w0", sent(assignment).number)
            assignment.acknowledge(range(assignment.n_serials))
            assignment.settled()
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 20 * 50_000


def test_the_real_trigger_map_is_understood() -> None:
    trigger_map = TriggerMap.from_json(
        {
            "parts": {"p": {"eiger": [[{"constraint": 0}], [{"constraint": 1}]], "i0": [[], [{"constraint": 2}]]}},
            "sequence": ["p", "p"],
        }
    )
    assignment = workers(2)
    for number in range(trigger_map.n_events):
        assignment.offer(str(number), n_bytes=1, recipients=trigger_map.event(number), primer=number == 0)
    for slot in ("w0", "w1") * 6:
        assignment.credit(slot, 64, MB)
    blocks = all_blocks(assignment)
    # Event 0 and the last are for both; 1 and 3 have one constraint, 2 and 4 two.
    assert sorted(event for _, events in blocks for event in events) == [*"001", *"22", "3", *"4455"]
    assignment.acknowledge(range(assignment.n_serials))
    assert len(assignment.settled().reduced) == trigger_map.n_events


def test_an_unknown_slot_is_named_with_those_there_are() -> None:
    assignment = workers(2)
    with pytest.raises(UsageError, match="no worker slot 'w7'; there are: w0, w1"):
        assignment.credit("w7", 1, 1)
    with pytest.raises(UsageError, match="already"):
        assignment.add_slot("w1", GENERIC)
    with pytest.raises(UsageError, match="0 events"):
        assignment.credit("w1", 0, 1)


def test_any_is_the_default_and_means_the_same() -> None:
    assignment = workers(1)
    assignment.offer("a", n_bytes=1, recipients=ANY)
    assignment.offer("b", n_bytes=1)
    assert events_of(sent(assignment)) == ["a", "b"]
