"""From what sources hand out to complete events: automatic scans, trigger maps, stops, and the account of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from glimt.codecs.protocol import PacketKind
from glimt.engines.intake import READ_BYTES, READ_MESSAGES
from glimt.model.errors import DecodeError, UsageError
from stins_intake import SECOND, Bench, end, entries, image, series, start


def test_a_series_becomes_the_events_of_a_scan() -> None:
    bench = Bench()
    assert bench.feed(0, series(3)) == [0, 1, 2, 3, 4]
    bench.end_scan()
    assert not bench.is_ended
    assert bench.feed(0, series(1)) == [0, 1, 2]
    assert bench.ledgers[0].reduced == 8


def test_kinds_are_told_and_streams_are_joined() -> None:
    bench = Bench(2)
    assert bench.feed(0, series(1)) == []
    bench.sources[1].messages.extend(series(1))
    kinds, sizes = [], []
    while bench.sources[1].messages:
        bench.intake.read(1, bench.now)
        while (event := bench.intake.peek()) is not None:
            kinds.append(event.kind)
            sizes.append([index for index, _ in event.parts])
            bench.intake.pop()
    assert kinds == [PacketKind.START, PacketKind.DATA, PacketKind.END]
    assert sizes == [[0, 1]] * 3


def test_nothing_more_is_read_while_complete_events_wait() -> None:
    bench = Bench(2)
    bench.feed(0, [start()])
    bench.sources[1].messages.extend([start()])
    bench.intake.read(1, bench.now)
    assert bench.intake.n_ready == 1
    assert not bench.intake.may_read(0)
    assert not bench.intake.may_read(1)
    bench.take()
    assert bench.intake.may_read(0)


def test_a_read_takes_more_and_more_messages_up_to_a_bound() -> None:
    bench = Bench()
    bench.sources[0].messages.extend(series(5 * READ_MESSAGES))
    taken = []
    while bench.sources[0].messages:
        taken.append(bench.intake.read(0, bench.now))
        bench.take()
    assert taken[:-1] == sorted(taken[:-1])
    assert max(taken) == READ_MESSAGES
    assert sum(taken) == 5 * READ_MESSAGES + 2


def test_of_large_messages_a_read_takes_few() -> None:
    bench = Bench()
    large = bytes(READ_BYTES // 4)
    bench.sources[0].messages.extend([start(), *([image(n)[0], large] for n in range(40))])
    taken = []
    while bench.sources[0].messages:
        taken.append(bench.intake.read(0, bench.now))
        bench.take()
    assert max(taken[len(taken) // 2 :]) <= 4
    assert sum(taken) == 41


def test_what_breaks_the_protocol_is_counted_and_kept_as_an_example() -> None:
    bench = Bench()
    assert bench.feed(0, [[b"\xff\xfe"], [b"{}"]]) == []
    assert bench.feed(0, [DecodeError("a part is too large", where="part 1")]) == []
    assert bench.feed(0, series(1)) == [0, 1, 2]
    assert bench.ledgers[0].dropped == {"bad": 3}
    assert bench.intake.streams[0].bad_messages == [[b"\xff\xfe"], [b"{}"]]


def test_a_trigger_map_in_automatic_mode_is_refused_with_the_reason() -> None:
    with pytest.raises(UsageError, match="automatic"):
        Bench().begin({"a": entries(1)})


def test_a_map_that_does_not_fit_the_streams_begins_nothing() -> None:
    bench = Bench(automatic=False)
    with pytest.raises(UsageError, match="b"):
        bench.begin({"b": entries(1)})
    assert bench.intake.builder is None


def test_a_series_that_begins_before_its_map_is_not_lost() -> None:
    bench = Bench(automatic=False)
    assert bench.feed(0, [start(), image(0)]) == []
    bench.begin({"a": entries(2)})
    assert bench.take() == [0, 1]
    assert bench.feed(0, [image(1), end(2)]) == [2, 3]
    bench.end_scan()
    assert bench.intake.trigger_map is None


def test_what_comes_without_a_map_is_counted() -> None:
    bench = Bench(automatic=False)
    bench.feed(0, series(2))
    bench.feed(0, series(3))  # the newer series takes the place of the older
    assert bench.ledgers[0].dropped == {"no_scan": 4}
    assert bench.ledgers[0].pending == 5
    bench.begin({"a": entries(3)})
    assert bench.take() == [0, 1, 2, 3, 4]


def test_a_series_that_is_too_long_to_be_kept_for_its_map_is_counted_and_bounded() -> None:
    bench = Bench(automatic=False)
    bench.feed(0, [start(), *map(image, range(5000))])
    assert bench.ledgers[0].pending == 0
    assert bench.ledgers[0].dropped == {"no_scan": 5001}


def test_a_stop_gives_out_what_is_complete_and_leaves_out_the_rest_of_the_series() -> None:
    bench = Bench()
    assert bench.feed(0, [start(), image(0), image(1)]) == [0, 1, 2]
    bench.intake.stop(bench.now)
    while_stopped = bench.intake.is_stopped
    bench.end_scan()
    assert (while_stopped, bench.intake.is_stopped) == (True, False)
    assert bench.feed(0, [image(2), end(3)]) == []
    assert bench.ledgers[0].dropped == {"stopped": 2}
    assert bench.feed(0, series(1)) == [0, 1, 2]


def test_a_stop_while_nothing_runs_does_nothing() -> None:
    bench = Bench(automatic=False)
    bench.intake.stop(bench.now)
    bench.begin({"a": entries(1)})
    assert bench.feed(0, series(1)) == [0, 1, 2]


def test_a_stop_does_not_touch_the_next_series_of_a_stream_that_is_ahead() -> None:
    bench = Bench(2)
    bench.feed(0, series(1))
    assert bench.feed(1, [start(), image(0)]) == [0, 1]
    assert bench.feed(0, [start("second")]) == []  # the other has not ended yet
    bench.intake.stop(bench.now)
    bench.take()
    assert bench.feed(0, [image(0)]) == []
    bench.end_scan()
    bench.feed(0, [image(1), end(2)])
    assert bench.feed(1, [end(1), *series(2, "second")]) == [0, 1, 2, 3]
    assert bench.ledgers[0].dropped == {"stopped": 1}  # the end packet of the first series
    assert bench.ledgers[1].dropped == {"stopped": 1}


def test_a_series_that_began_while_the_scan_ended_is_the_next_scan() -> None:
    bench = Bench(2)
    bench.feed(0, [*series(1), *series(2, "second")])
    assert bench.feed(1, series(1)) == [0, 1, 2]
    bench.end_scan()
    assert bench.feed(1, series(2, "second")) == [0, 1, 2, 3]


@pytest.mark.parametrize("automatic", [True, False])
def test_after_the_last_stop_whatever_comes_is_counted(automatic: bool) -> None:
    bench = Bench(automatic=automatic)
    bench.feed(0, [start(), image(0)])
    bench.intake.stop(bench.now, last=True)
    if automatic:
        bench.take()
        bench.end_scan()
    bench.feed(0, [image(1), end(2), *series(1)])
    assert bench.intake.builder is None
    assert bench.ledgers[0].pending == 0
    assert bench.ledgers[0].dropped["stopped"] == (5 if automatic else 7)


def test_late_parts_are_given_up_by_the_clock() -> None:
    bench = Bench(2)
    bench.feed(0, [start(), image(0)])
    bench.feed(1, [start()])
    bench.intake.tick(bench.now + 31 * SECOND)
    assert bench.take() == []
    assert bench.ledgers[0].dropped == {"incomplete": 1}
    assert bench.ledgers[1].n_missing == 1


def test_the_first_frame_of_each_series_is_described_once() -> None:
    asked: list[tuple[Sequence[Any], Sequence[Any]]] = []

    def describe(header: Sequence[Any], frame: Sequence[Any]) -> dict[str, Any]:
        asked.append((header, frame))
        return {"n": len(asked)}

    bench = Bench()
    bench.intake.streams[0].describe = describe
    bench.feed(0, [start()])
    bench.feed(0, [image(0), image(1), end(2)])
    assert asked == [(start(), image(0))]
    bench.end_scan()
    bench.feed(0, series(1, "b"))
    assert bench.intake.streams[0].described == {"n": 2}


def test_closing_closes_every_source() -> None:
    bench = Bench(2)
    bench.intake.close()
    assert all(source.is_closed for source in bench.sources)
