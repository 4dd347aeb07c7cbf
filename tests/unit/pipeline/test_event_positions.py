from __future__ import annotations

from event_run import DATA, END, ONE, START, data, end, mapped, start
from glimt.model.trigger_map import TriggerMap
from glimt.pipeline.builder_stream import BuilderStream
from glimt.pipeline.event_builder import EventBuilder
from glimt.pipeline.ledger import StreamLedger


def test_packets_take_the_entries_that_are_not_null() -> None:
    run = mapped({"b": [None, ONE, None, ONE], "a": [ONE, ONE, ONE, ONE]})
    run.push(0, [*start(), *data(0, 1, 2, 3), *end(4)])
    out = run.push(1, [*start(), *data(0, 1), *end(2)])
    assert out == [(0, "ab"), (1, "a"), (2, "ab"), (3, "a"), (4, "ab"), (5, "ab")]
    assert run.delivered[2].parts == [(0, [b"1"]), (1, [b"0"])]
    assert run.delivered[2].map_event.number == 2
    assert run.builder.is_ended


def test_a_sparse_stream_that_lost_a_packet_does_not_shift() -> None:
    run = mapped({"a": [ONE] * 4, "b": [None, ONE, None, ONE]})
    run.push(0, [*start(), *data(0, 1, 2, 3), *end(4)])
    assert run.push(1, [*start(), *data(1), *end(2)]) == [(0, "ab"), (1, "a"), (3, "a"), (4, "ab"), (5, "ab")]
    assert run.ledgers[1].gaps == [(2, 2)]


def test_an_empty_list_discards_the_frame_whenever_it_comes() -> None:
    run = mapped({"a": [ONE, [], ONE], "b": [ONE, ONE, ONE]})
    run.push(1, [*start(), *data(0, 1, 2)])
    assert run.push(0, [*start(), *data(0)]) == [(0, "ab"), (1, "ab"), (2, "b")]
    assert run.push(0, [*data(1, 2), *end(3)]) == [(3, "ab")]
    assert run.dropped(0) == {"discarded": 1}
    run.push(1, end(3))
    assert run.builder.is_ended


def test_an_event_that_nobody_records_or_needs_is_over_at_once() -> None:
    run = mapped({"a": [None, ONE, [], None]}, all_wrap=False)
    assert run.push(0, start()) == [(1, "a")]
    assert run.builder.is_ended
    assert run.builder.n_missed == 0


def test_a_stream_that_ends_early_leaves_gaps_and_its_end_is_the_last_entry() -> None:
    run = mapped({"a": [ONE] * 4, "b": [ONE] * 4})
    run.push(0, [*start(), *data(0), *end(1)])
    out = run.push(1, [*start(), *data(0, 1, 2, 3), *end(4)])
    assert out == [(0, "ab"), (1, "ab"), (5, "ab")]
    assert run.ledgers[0].gaps == [(2, 4)]
    assert run.dropped(1) == {"incomplete": 3}
    assert run.builder.is_ended


def test_data_beyond_the_map_is_outside_and_the_end_packet_is_not() -> None:
    run = mapped({"a": [ONE] * 2})
    assert run.push(0, [*start(), *data(0, 1, 2, 3), *end(4)]) == [(n, "a") for n in range(4)]
    assert run.dropped(0) == {"outside": 2}
    assert run.delivered[-1].kind is END


def test_an_end_packet_that_the_map_has_no_entry_for_is_outside() -> None:
    run = mapped({"a": [ONE] * 3}, all_wrap=False)
    assert run.push(0, [*start(), *data(0, 1), *end(2)]) == [(n, "a") for n in range(3)]
    assert run.dropped(0) == {"outside": 1}


def test_without_wrap_start_and_end_take_entries_of_the_map() -> None:
    run = mapped({"a": [ONE, ONE, None, ONE]}, all_wrap=False)
    assert run.push(0, [*start(), *data(0), *end(1)]) == [(0, "a"), (1, "a"), (3, "a")]
    assert [event.kind for event in run.delivered] == [START, DATA, END]


def test_several_series_follow_one_another_through_the_map_if_asked_for() -> None:
    run = mapped({"a": [ONE] * 6}, all_wrap=False, streams={0: {"several_series": True}})
    assert run.push(0, [*start(), *data(0), *end(1)]) == [(n, "a") for n in range(3)]
    assert not run.builder.is_ended
    assert run.push(0, [*start(), *data(0), *end(1)]) == [(n, "a") for n in range(3, 6)]
    assert run.builder.is_ended


def test_a_second_series_belongs_to_the_next_scan_otherwise() -> None:
    run = mapped({"a": [ONE] * 4, "b": [ONE] * 4})
    run.push(0, [*start(), *data(0), *end(1), *start(), *data(0)])
    assert run.builder.n_held(0) == 5
    run.stop()
    assert [len(items) for items in run.builder.next_scan()] == [2, 0]


def test_a_stream_that_the_map_does_not_name_has_no_events() -> None:
    ledgers = [StreamLedger("a"), StreamLedger("b")]
    builder = EventBuilder(
        [BuilderStream(ledger.name, ledger) for ledger in ledgers], trigger_map=TriggerMap.uniform(["a"], 1)
    )
    ledgers[1].receive(2, 0)
    builder.push(1, [*start(), *data(0)], 0)
    assert ledgers[1].dropped == {"outside": 2}


def test_after_stop_nothing_is_held_for_the_rest_of_the_map() -> None:
    run = mapped({"a": [ONE] * 4, "b": [[]] * 4})
    run.push(0, [*start(), *data(0)])
    run.push(1, start())
    run.stop()
    assert run.push(0, data(1, 2)) == []
    assert run.push(1, data(1)) == []
    assert run.dropped(0) == {"late": 2}
    assert run.dropped(1) == {"discarded": 1}
    assert run.builder.held_bytes(0) == 0
