from __future__ import annotations

from typing import Any

from event_run import DATA, Run, data, end, started
from glimt.pipeline.builder_stream import ITEM_BYTES
from glimt.pipeline.live_stream import StreamItem


def clocked(n_streams: int = 2, **options: Any) -> Run:
    return started(n_streams, **({"clock_tolerance": 0.4} | options))


def test_packets_join_the_event_that_is_nearest_in_time() -> None:
    run = clocked()
    run.push(1, data(0, 1, 2, clocks=[100.1, 101.9, 103.0]))
    assert run.push(0, data(0, 1, 2, clocks=[100.0, 101.0, 102.0])) == [(1, "ab")]
    run.push(0, data(3, clocks=[103.0]))
    run.push(1, end(3))
    assert run.push(0, end(4)) == [(5, "ab")]
    run.stop()
    assert [(event.event_number, event.parts[-1][1]) for event in run.delivered[1:-1]] == [
        (1, [b"0"]),
        (3, [b"1"]),
        (4, [b"2"]),
    ]


def test_a_packet_that_no_event_is_near_is_incomplete() -> None:
    run = clocked()
    run.push(0, data(0, 1, clocks=[1.0, 2.0]))
    run.push(1, data(0, 1, clocks=[1.5, 2.0]))
    run.push(0, end(2))
    assert run.push(1, end(2)) == [(2, "ab"), (3, "ab")]
    assert run.dropped(1) == {"incomplete": 1}
    assert run.ledgers[1].gaps == [(1, 1)]


def test_the_order_of_arrival_does_not_change_a_clock_join() -> None:
    reference, follower = data(0, 1, 2, clocks=[1.0, 1.3, 1.6]), data(0, 1, clocks=[1.2, 1.55])
    runs = [clocked(incomplete="deliver"), clocked(incomplete="deliver")]
    runs[0].push(0, reference)
    runs[0].push(1, follower)
    for item in follower:
        runs[1].push(1, [StreamItem(DATA, item.number, item.frames, 4, 4, item.clock)])
    for item in data(0, 1, 2, clocks=[1.0, 1.3, 1.6]):
        runs[1].push(0, [item])
    for run in runs:
        run.push(0, end(3))
        run.push(1, end(2))
    both = [[(event.event_number, event.parts) for event in run.delivered] for run in runs]
    assert both[0] == both[1]
    assert [len(parts) for _, parts in both[0]] == [2, 1, 2, 2, 2]


def test_two_packets_for_one_event_are_repeated() -> None:
    run = clocked()
    run.push(0, data(0, 1, clocks=[1.0, 2.0]))
    assert run.push(1, data(0, 1, clocks=[0.9, 1.0])) == [(1, "ab")]
    assert run.dropped(1) == {"repeated": 1}


def test_what_waits_for_a_silent_reference_is_settled_and_bounded() -> None:
    run = clocked(late_s=2.0, stream_bytes=3 * (4 + ITEM_BYTES))
    run.push(1, data(0, 1, 2, clocks=[5.0, 6.0, 7.0]))
    assert not run.builder.may_read(1)
    assert run.tick(2.1) == []
    assert run.dropped(1) == {"incomplete": 3}
    assert run.builder.may_read(1)


def test_stop_drops_what_waits_for_the_clock() -> None:
    run = clocked()
    run.push(1, data(0, clocks=[5.0]))
    run.stop()
    assert run.dropped(1) == {"stopped": 1}
