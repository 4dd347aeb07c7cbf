"""What happens to the events of a worker that dies, or that does not come back."""

from __future__ import annotations

from assigning import BOTH, DEBUG, GENERIC, MB, Virtual, all_blocks, connected, events_of, mapped, offer, sent, workers
from glimt.engines.event_copies import Held
from glimt.engines.recipients import ALL


def test_what_a_dead_worker_had_goes_to_another_before_everything_else() -> None:
    assignment = workers(2)
    offer(assignment, *"abcd")
    block = sent(assignment, "w0", max_events=3)
    assignment.done("w0", block.number)
    assignment.acknowledge([1])
    offer(assignment, "e")
    assignment.disconnect("w0")
    again = sent(assignment, "w1")
    assert (events_of(again), again.serials) == (["a", "c", "d", "e"], [0, 2, 3, 4])


def test_a_late_acknowledgement_of_what_waits_to_be_given_again_is_enough() -> None:
    assignment = workers(1)
    offer(assignment, *"ab")
    assignment.done("w0", sent(assignment).number)
    assignment.disconnect("w0")
    assignment.acknowledge([0])
    assignment.connect("w0")
    assert events_of(sent(assignment)) == ["b"]
    assert (assignment.settled().reduced, assignment.waiting) == (["a"], 0)


def test_credits_of_a_dead_process_are_void() -> None:
    assignment = workers(1)
    assignment.credit("w0", 64, MB)
    assignment.disconnect("w0")
    assignment.credit("w0", 64, MB)  # was on its way when it died
    assignment.connect("w0")
    offer(assignment, "a")
    assert assignment.next_block() is None
    assert events_of(sent(assignment)) == ["a"]


def test_a_new_process_in_a_slot_means_that_the_old_one_died() -> None:
    assignment = workers(1)
    offer(assignment, "a")
    sent(assignment)
    assert assignment.connect("w0") == []
    assert events_of(sent(assignment)) == ["a"]


def test_what_was_being_processed_is_given_alone_from_then_on() -> None:
    assignment = workers(1)
    offer(assignment, *"abcdef")
    sent(assignment, max_events=2)
    sent(assignment, max_events=2)
    assignment.connect("w0")
    assert [events_of(sent(assignment)) for _ in range(3)] == [["a"], ["b"], ["c", "d", "e", "f"]]


def test_an_event_that_ends_two_workers_alone_is_given_up() -> None:
    assignment = workers(1)
    offer(assignment, *"abc")
    sent(assignment)
    for _ in range(2):
        assignment.connect("w0")
        assert events_of(sent(assignment)) == ["a"]
    assignment.connect("w0")
    settled = assignment.settled()
    assert (settled.given_up, settled.void, settled.dropped) == (["a"], [0], {})
    assert [events_of(sent(assignment)) for _ in range(2)] == [["b"], ["c"]]


def test_a_processed_block_is_not_blamed() -> None:
    assignment = workers(1)
    for _ in range(3):
        if assignment.n_serials == 0:
            offer(assignment, "a")
        assignment.done("w0", sent(assignment).number)
        assignment.connect("w0")
    assert assignment.settled().given_up == []
    assert events_of(sent(assignment)) == ["a"]


def test_broadcast_copies_wait_for_the_next_process_with_their_serial() -> None:
    assignment = workers(2)
    assignment.offer("start", n_bytes=1, recipients=ALL)
    sent(assignment, "w0")
    assignment.disconnect("w0")
    assert events_of(sent(assignment, "w1")) == ["start"]
    assert assignment.connect("w0") == []
    again = sent(assignment, "w0")
    assert (events_of(again), again.serials) == (["start"], [0])


def test_a_new_process_is_primed_with_the_start_it_did_not_see() -> None:
    assignment = connected(w0=GENERIC, tap=DEBUG)
    assignment.offer("start", n_bytes=1, recipients=ALL, primer=True)
    assert assignment.connect("w0") == []  # its copy is still to come
    sent(assignment)
    assignment.acknowledge([0])
    assert assignment.connect("w0") == [Held("start", None)]
    assignment.add_slot("w1", BOTH)
    assert assignment.connect("w1") == [Held("start", None)]
    assert assignment.connect("tap") == []
    assert (assignment.is_idle, assignment.settled().reduced) == (True, ["start"])


def test_a_primer_of_the_trigger_map_has_the_streams_of_the_slots_tags() -> None:
    assignment = connected(w0=GENERIC, tap=BOTH)
    start = mapped([Virtual(GENERIC, None)], [Virtual(DEBUG, None)])
    assignment.offer("start", n_bytes=1, recipients=start, primer=True)
    for slot in ("w0", "tap"):
        sent(assignment, slot)
    assignment.acknowledge(range(2))
    assert assignment.connect("w0") == [Held("start", (0,))]
    assert assignment.connect("tap") == [Held("start", None)]


def test_a_primer_whose_name_a_new_slot_has_taken_is_given_again() -> None:
    assignment = workers(2)
    assignment.offer("start", n_bytes=1, recipients=ALL, primer=True)
    assignment.retire("w0")
    assignment.add_slot("w0", GENERIC)
    assert assignment.connect("w0") == [Held("start", None)]


def test_all_deliveries_of_a_key_move_together() -> None:
    assignment = workers(3)
    for number, event in enumerate("abcd"):
        assignment.offer(event, n_bytes=1, recipients=mapped([number // 2]))
    assert events_of(sent(assignment, "w0", max_events=1)) == ["a"]
    assert events_of(sent(assignment, "w1", max_events=1)) == ["c"]
    assignment.disconnect("w0")
    again = sent(assignment, "w2", max_events=1)
    assert events_of(again) == ["a"]
    assert events_of(sent(assignment, "w1")) == ["d"]
    assignment.credit("w2", 1, MB)
    assert assignment.next_block() is None  # "w0" died of it: nothing else is with "w2" until it is done
    assignment.done("w2", again.number)
    assert events_of(assignment.next_block()) == ["b"]


def test_an_event_whose_workers_were_killed_from_outside_is_not_given_up_soon() -> None:
    assignment = workers(1)
    offer(assignment, *"ab")
    assert events_of(sent(assignment, max_events=1)) == ["a"]
    for _ in range(9):
        assignment.disconnect("w0", was_killed=True)
        assignment.connect("w0")
        assert events_of(sent(assignment)) == ["a"]
    assignment.disconnect("w0", was_killed=True)
    assert assignment.settled().given_up == ["a"]


def test_what_a_worker_died_of_is_tried_where_nothing_else_is() -> None:
    assignment = workers(2)
    offer(assignment, *"abc")
    sent(assignment, "w0", max_events=1)
    other = sent(assignment, "w1", max_events=1)
    assignment.disconnect("w0")
    assignment.credit("w1", 64, MB)
    assert assignment.next_block() is None
    assignment.done("w1", other.number)
    tried = assignment.next_block()
    assert events_of(tried) == ["a"]
    assignment.credit("w1", 64, MB)
    assert assignment.next_block() is None
    assert tried is not None
    assignment.done("w1", tried.number)
    assert events_of(assignment.next_block()) == ["c"]


def test_keys_that_share_a_delivery_move_together() -> None:
    assignment = workers(1)
    assignment.offer("a", n_bytes=1, recipients=mapped([0, 1]))
    for event, key in [("b", 0), ("c", 1)]:
        assignment.offer(event, n_bytes=1, recipients=mapped([key]))
    for slot in ("w1", "w2"):
        assignment.add_slot(slot, GENERIC)
        assignment.connect(slot)
    sent(assignment)
    assignment.retire("w0")
    blocks = []
    for _ in range(4):
        for slot in ("w1", "w2"):
            assignment.credit(slot, 64, MB)
    blocks = all_blocks(assignment)
    assert [event for _, events in blocks for event in events] == ["a", "b", "c"]
    assert len({slot for slot, _ in blocks}) == 1


def test_a_redelivered_event_needs_no_credit_if_nobody_has_any() -> None:
    assignment = workers(2)
    offer(assignment, *"ab")
    sent(assignment, "w0", max_events=1)
    other = sent(assignment, "w1", max_events=1)
    assignment.disconnect("w0")
    assert assignment.next_block() is None
    assignment.done("w1", other.number)
    block = assignment.next_block()
    assert block is not None
    assert (block.slot, events_of(block)) == ("w1", ["a"])
    assert assignment.next_block() is None
    assignment.done("w1", block.number)
    # The credit for the block that had none is not one more.
    offer(assignment, *"cd")
    assignment.credit("w1", 1, MB)
    assert assignment.next_block() is None
    assignment.credit("w1", 1, MB)
    assert events_of(assignment.next_block()) == ["c"]


def test_nothing_needs_less_than_a_credit_in_normal_running() -> None:
    assignment = workers(2)
    for event, key in [("a", 0), ("b", 1), ("c", 0), ("d", 1)]:
        assignment.offer(event, n_bytes=1, recipients=mapped([key]))
    sent(assignment, "w0", max_events=1)
    sent(assignment, "w1", max_events=2)
    assignment.acknowledge([0, 1])
    assert assignment.next_block() is None


def test_retiring_a_slot_voids_its_copies_and_passes_on_the_rest() -> None:
    assignment = workers(2)
    assignment.offer("start", n_bytes=1, recipients=ALL)
    for event, key in [("a", 0), ("b", 0)]:
        assignment.offer(event, n_bytes=1, recipients=mapped([key]))
    sent(assignment, "w0")
    assignment.retire("w0")
    assert assignment.settled().void == [0]
    assert [events_of(sent(assignment, "w1")) for _ in range(2)] == [["start"], ["a"]]
    assert events_of(sent(assignment, "w1")) == ["b"]
    assignment.acknowledge(range(4))
    assert sorted(assignment.settled().reduced) == ["a", "b", "start"]
    assert assignment.is_idle


def test_a_copy_with_a_key_goes_on_without_its_broadcast_when_the_slot_is_retired() -> None:
    assignment = connected(w0=GENERIC)
    assignment.offer("a", n_bytes=1, recipients=mapped([0], [Virtual(GENERIC, None)]))
    assignment.add_slot("w1", GENERIC)
    assignment.connect("w1")
    assignment.retire("w0")
    [delivery] = sent(assignment, "w1").deliveries
    assert delivery.streams == (0,)


def test_retiring_the_last_slot_drops_everything_as_no_worker() -> None:
    assignment = connected(w0=GENERIC, tap=DEBUG)
    assignment.offer("start", n_bytes=1, recipients=ALL)
    offer(assignment, *"ab")
    assignment.offer("c", n_bytes=1, recipients=mapped([0, 1]))
    assignment.retire("w0")
    settled = assignment.settled()
    assert {reason: sorted(events) for reason, events in settled.dropped.items()} == {
        "no_worker": ["a", "b", "c", "start"]
    }
    assert sorted(settled.void) == [0, 1, 2, 3]
    assert (assignment.is_idle, assignment.waiting, assignment.held_bytes) == (True, 0, 0)


def test_a_given_up_copy_is_given_again_neither_as_delivery_nor_as_primer() -> None:
    assignment = workers(1)
    assignment.offer("start", n_bytes=1, recipients=ALL, primer=True)
    primed = []
    for _ in range(3):
        sent(assignment)
        primed = assignment.connect("w0")
        if assignment.is_idle:
            break
    assert assignment.settled().given_up == ["start"]
    assert primed == []


def test_a_key_of_a_dead_worker_is_free_for_whoever_has_credit() -> None:
    assignment = workers(2)
    assignment.offer("a", n_bytes=1, recipients=mapped([0]))
    sent(assignment, "w0")
    assignment.acknowledge([0])
    assignment.disconnect("w0")
    assignment.offer("b", n_bytes=1, recipients=mapped([0]))
    assert events_of(sent(assignment, "w1")) == ["b"]


def test_events_with_and_without_keys_come_back_in_their_order() -> None:
    assignment = workers(2)
    assignment.offer("a", n_bytes=1, recipients=mapped([1]))
    offer(assignment, "b")
    assignment.offer("c", n_bytes=1, recipients=mapped([0]))
    offer(assignment, "d")
    assignment.done("w0", sent(assignment, "w0").number)
    assignment.disconnect("w0")
    assert events_of(sent(assignment, "w1")) == ["a", "b", "c", "d"]


def test_what_a_worker_had_a_part_of_is_not_dropped_to_make_room() -> None:
    assignment = workers(2)
    offer(assignment, "a")
    assignment.done("w0", sent(assignment, "w0").number)
    assignment.disconnect("w0")
    assignment.offer("b", n_bytes=1, recipients=ALL)
    assert events_of(sent(assignment, "w1")) == ["a", "b"]
    assignment.disconnect("w1")
    assert assignment.drop_oldest(10) == 0
    assert (assignment.waiting, assignment.settled().void) == (3, [])
