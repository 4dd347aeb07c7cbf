from __future__ import annotations

from typing import Any

import pytest

from event_run import DATA, END, START, Run, broken_off, data, end, start, started
from glimt.model.errors import UsageError
from glimt.model.trigger_map import TriggerMap
from glimt.pipeline.builder_stream import ITEM_BYTES, BuilderStream
from glimt.pipeline.event_builder import EventBuilder
from glimt.pipeline.ledger import StreamLedger


def test_start_packets_are_event_0_and_end_packets_the_last() -> None:
    run = Run()
    assert run.push(0, [*start(), *data(0, 1), *end(2)]) == []
    assert run.push(1, [*start(), *data(0, 1), *end(2)]) == [(0, "ab"), (1, "ab"), (2, "ab"), (3, "ab")]
    assert [event.kind for event in run.delivered] == [START, DATA, DATA, END]
    assert run.delivered[1].parts == [(0, [b"0"]), (1, [b"0"])]
    assert (run.delivered[1].n_bytes, run.delivered[1].created_ns, run.delivered[1].map_event) == (8, 4, None)
    assert run.builder.is_ended
    assert (run.builder.n_delivered, run.builder.last_number, run.builder.n_events_closed) == (4, 3, 4)


def test_a_single_stream_goes_through_in_order_of_numbers() -> None:
    run = Run(1)
    assert run.push(0, [*start(), *data(0, 2, 1, 3), *end(4)]) == [(n, "a") for n in range(6)]
    assert run.builder.is_ended
    assert run.ledgers[0].n_missing == 0
    assert run.builder.n_delivered == 6


def test_a_single_stream_shows_its_gap_when_the_reorder_window_has_passed() -> None:
    run = Run(1, reorder_events=3)
    assert run.push(0, [*start(), *data(0, 2, 3)]) == [(0, "a"), (1, "a")]
    assert run.push(0, data(4)) == [(3, "a"), (4, "a"), (5, "a")]
    assert run.ledgers[0].gaps == [(2, 2)]
    assert run.builder.n_missed == 1
    assert run.push(0, [*data(5, 6), *end(7)]) == [(6, "a"), (7, "a"), (8, "a")]


def test_streams_that_keep_order_are_given_up_at_the_next_number() -> None:
    run = started(reorder_events=0)
    run.push(0, data(0, 1))
    assert run.push(1, data(1)) == [(2, "ab")]


def test_a_lost_packet_is_one_gap_and_drops_the_other_part() -> None:
    run = started(reorder_events=2)
    run.push(0, data(0, 1, 2, 3))
    assert run.push(1, data(0, 2)) == [(1, "ab")]
    assert run.push(1, data(3)) == [(3, "ab"), (4, "ab")]
    assert run.ledgers[1].gaps == [(2, 2)]
    assert run.ledgers[0].n_missing == 0
    assert run.dropped(0) == {"incomplete": 1}
    assert run.builder.n_incomplete == 1


def test_an_incomplete_event_may_be_delivered() -> None:
    run = started(reorder_events=1, incomplete="deliver")
    run.push(0, data(0, 1))
    assert run.push(1, data(1)) == [(1, "a"), (2, "ab")]
    assert run.ledgers[1].n_missing == 1
    assert run.dropped(0) == {}


def test_numbers_that_both_streams_lost_are_gaps_of_both_and_no_event() -> None:
    run = started(reorder_events=1)
    run.push(0, data(0, 500_000))
    assert run.push(1, data(0, 500_000)) == [(1, "ab"), (500_001, "ab")]
    assert [ledger.gaps for ledger in run.ledgers] == [[(2, 500_000)]] * 2
    assert run.builder.n_missed == 499_999


def test_a_part_for_a_closed_event_is_late() -> None:
    run = started(reorder_events=1)
    run.push(0, data(0, 1))
    run.push(1, data(1))
    assert run.push(1, data(0)) == []
    assert run.dropped(1) == {"late": 1}


def test_a_part_that_is_there_already_is_repeated() -> None:
    run = started()
    run.push(0, data(0))
    run.push(0, data(0))
    assert run.dropped(0) == {"repeated": 1}


def test_streams_of_different_length_leave_gaps_of_the_shorter() -> None:
    run = started()
    run.push(0, [*data(0, 1, 2), *end(3)])
    assert run.push(1, [*data(0), *end(1)]) == [(1, "ab"), (4, "ab")]
    assert run.ledgers[1].gaps == [(2, 3)]
    assert run.dropped(0) == {"incomplete": 2}


def test_streams_of_different_length_are_delivered_to_the_end_of_the_longer_if_asked_for() -> None:
    run = started(incomplete="deliver")
    run.push(1, [*data(0), *end(1)])
    assert run.push(0, [*data(0, 1, 2), *end(3)]) == [(1, "ab"), (2, "a"), (3, "a"), (4, "ab")]


def test_nothing_is_given_up_before_it_is_late() -> None:
    run = started(late_s=2.0)
    run.push(0, data(0))
    assert run.tick(1.9) == []
    assert run.ledgers[1].n_missing == 0
    assert run.tick(0.2) == []
    assert run.ledgers[1].gaps == [(1, 1)]
    assert run.dropped(0) == {"incomplete": 1}


def test_without_a_limit_events_wait_for_ever() -> None:
    run = started(late_s=None)
    run.push(0, data(0))
    assert run.tick(1e6) == []
    assert run.push(1, data(0)) == [(1, "ab")]


def test_a_stream_that_fell_silent_holds_up_nothing_until_it_speaks_again() -> None:
    run = started(late_s=1.0, incomplete="deliver")
    run.push(0, data(0, 1))
    assert run.tick(1.1) == [(1, "a"), (2, "a")]
    assert run.push(0, data(2)) == [(3, "a")]
    run.push(1, data(3))
    assert run.push(0, data(3)) == [(4, "ab")]
    assert run.push(0, data(4)) == []
    assert run.push(1, data(4)) == [(5, "ab")]


def test_a_stream_that_never_starts_does_not_stop_the_scan_for_ever() -> None:
    run = Run(late_s=1.0)
    run.push(0, [*start(), *data(0), *end(1)])
    assert run.tick(1.1) == [(2, "a")]
    assert run.builder.is_ended
    assert run.dropped(0) == {"incomplete": 2}
    assert run.ledgers[1].n_missing == 3


def test_an_end_packet_that_never_comes_is_waited_for_while_data_come() -> None:
    run = started(late_s=1.0, incomplete="deliver")
    run.push(0, [*data(0), *end(1)])
    run.push(1, data(0))
    run.tick(0.9)
    assert run.push(1, data(1)) == [(2, "b")]
    assert run.tick(0.9) == []
    assert run.tick(0.2) == [(3, "a")]
    assert run.builder.is_ended
    assert run.push(1, end(2)) == []
    assert run.dropped(1) == {"late": 1}


def test_a_series_that_was_broken_off_ends_the_scan_and_its_next_is_kept() -> None:
    run = started()
    run.push(0, data(0, 1))
    run.push(0, [*broken_off(2), *start(), *data(0)])
    assert run.push(1, [*data(0, 1, 2), *end(3)]) == [(1, "ab"), (2, "ab"), (4, "b")]
    assert run.builder.is_ended
    assert run.dropped(1) == {"aborted": 1}
    assert run.ledgers[0].gaps == [(3, 4)]
    later = run.builder.next_scan()
    assert [[item.kind for item in items] for items in later] == [[START, DATA], []]
    assert run.builder.held_bytes(0) == 0


def test_the_next_scan_goes_on_with_what_was_sent_ahead() -> None:
    run = started()
    run.push(0, [*data(0), *end(1), *start(), *data(0), *end(1)])
    run.push(1, [*data(0), *end(1)])
    ahead = run.builder.next_scan()
    following = EventBuilder([BuilderStream(ledger.name, ledger) for ledger in run.ledgers])
    for stream, items in enumerate(ahead):
        following.push(stream, items, run.now)
    run.builder = following
    assert run.push(1, [*start(), *data(0), *end(1)]) == [(0, "ab"), (1, "ab"), (2, "ab")]
    assert following.is_ended


def test_what_a_new_scan_gets_of_an_old_one_is_outside() -> None:
    run = Run()
    assert run.push(0, [*data(7), *end(8), *broken_off(8)]) == []
    assert run.dropped(0) == {"outside": 2}


def test_streams_that_both_wait_for_each_other_with_full_queues_go_on() -> None:
    run = started(stream_bytes=2 * (4 + ITEM_BYTES), late_s=None)
    run.push(0, data(1, 2))
    assert not run.builder.may_read(0)
    assert run.builder.may_read(1)
    assert run.push(1, data(0, 2)) == []
    assert run.ledgers[0].gaps == [(1, 1)]
    assert run.builder.may_read(1)
    assert run.push(1, data(3)) == [(3, "ab")]
    assert run.ledgers[1].gaps == [(2, 2)]


def test_a_stream_that_is_ahead_is_not_read_while_the_one_behind_is() -> None:
    run = started(stream_bytes=10 * (1000 + ITEM_BYTES))
    for number in range(10):
        assert run.builder.may_read(0)
        run.push(0, data(number, size=1000))
    assert not run.builder.may_read(0)
    assert run.builder.may_read(1)
    assert run.builder.held_bytes(0) == 10 * (1000 + ITEM_BYTES)
    run.push(1, data(0, size=1000))
    assert run.builder.may_read(0)


def test_an_optional_stream_joins_when_it_is_there_and_holds_up_nothing() -> None:
    run = started(streams={1: {"optional": True}}, reorder_events=2)
    assert run.push(0, data(0)) == []
    assert run.push(1, data(0)) == [(1, "ab")]
    assert run.push(0, data(1, 2)) == []
    assert run.push(0, data(3)) == [(2, "a")]
    assert run.push(1, data(1)) == []
    assert run.dropped(1) == {"late": 1}
    assert run.push(0, end(4)) == [(3, "a"), (4, "a"), (5, "a")]
    assert run.ledgers[1].n_missing == 0
    assert run.builder.is_ended


def test_an_optional_stream_that_never_starts_is_not_waited_for() -> None:
    run = Run(streams={1: {"optional": True}}, reorder_events=2, late_s=1.0)
    run.push(0, start())
    assert run.tick(1.1) == [(0, "a")]
    assert run.push(0, data(0)) == [(1, "a")]


def test_stop_gives_out_what_is_complete_and_drops_the_rest() -> None:
    run = started()
    run.push(0, data(0, 1, 2))
    run.push(1, [*data(1), *end(3)])
    assert run.stop() == []
    run = started()
    run.push(0, data(0, 1, 2))
    run.push(1, data(1))
    assert run.stop() == [(2, "ab")]
    assert run.builder.is_ended
    assert run.dropped(0) == {"stopped": 2}
    assert run.builder.held_bytes(0) == run.builder.held_bytes(1) == 0


def test_stop_may_drop_everything() -> None:
    run = started()
    run.push(0, [*data(0, 1), *end(2)])
    run.push(1, data(1))
    assert run.stop(deliver_waiting=False) == []
    assert run.dropped(0) == {"stopped": 3}
    assert run.dropped(1) == {"stopped": 1}
    run.push(1, data(2))
    assert run.dropped(1) == {"stopped": 1, "late": 1}


def test_after_stop_nothing_is_given_out_even_of_a_single_stream() -> None:
    run = started(1)
    run.push(0, data(0))
    run.stop()
    assert run.push(0, data(1, 2)) == []
    assert run.dropped(0) == {"late": 2}
    assert run.push(0, [*end(3), *start(), *data(0)]) == []
    assert [item.kind for item in run.builder.next_scan()[0]] == [START, DATA]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"streams": {0: {"optional": True}, 1: {"optional": True}}}, "at least one stream"),
        ({"reorder_events": -1}, "reorder_events is -1"),
        ({"late_s": 0.0}, "late_s is 0.0"),
        ({"late_s": float("nan")}, "late_s is nan"),
        ({"stream_bytes": 0}, "stream_bytes is 0"),
        ({"clock_tolerance": -1.0}, "clock_tolerance is -1"),
        ({"clock_tolerance": 1.0, "streams": {0: {"optional": True}}}, "opens the events of a clock join"),
        ({"clock_tolerance": 1.0, "trigger_map": TriggerMap.uniform(["a", "b"], 1)}, "by a clock or by a trigger map"),
        ({"trigger_map": TriggerMap.uniform(["a", "x"], 1)}, r"streams \{'x'\} not available"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        Run(2, **options)


def test_a_stream_named_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="stream 'a' is there twice"):
        EventBuilder([BuilderStream("a", StreamLedger("a"))] * 2)
