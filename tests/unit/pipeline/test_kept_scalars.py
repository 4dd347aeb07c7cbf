"""Which scalars are known of events that are over."""

from __future__ import annotations

import threading

import pytest

from glimt.codecs.albaem import AlbaemData
from glimt.model.event import EventData
from glimt.pipeline.kept_scalars import KeptScalars
from glimt.pipeline.stream_scalars import joined, small_frames


def frames(stream: str = "i0", **channels: float) -> bytes:
    data = AlbaemData(message_id=2, version=1, frame_number=0, timestamp=0.5, acquisition_timestamp=1, **channels)
    packed = small_frames(EventData(1, {stream: data.to_stream_data()}))
    assert packed is not None
    return packed


def newest(kept: KeptScalars) -> dict[str, float]:
    return kept.newest_and_means()[0]


def means(kept: KeptScalars) -> dict[str, float]:
    return kept.newest_and_means()[1]


def test_an_event_has_its_own_scalars_and_no_others() -> None:
    kept = KeptScalars()
    for number in range(1, 11):
        kept.keep(number, frames(a=float(number)))
    assert kept.at(7) == {"i0/a": 7.0}
    assert kept.at(11) == {}
    assert newest(kept) == {"i0/a": 10.0}


def test_what_several_workers_pass_on_of_an_event_is_joined_each_stream_once() -> None:
    kept = KeptScalars()
    kept.keep(1, frames(a=1.0))
    kept.keep(1, frames("motor", x=5.0))
    kept.keep(1, frames(a=99.0))
    assert kept.at(1) == {"i0/a": 1.0, "motor/x": 5.0}
    assert means(kept) == {"i0/a": 1.0, "motor/x": 5.0}


def test_a_stream_that_is_not_in_every_event_keeps_its_newest_value() -> None:
    kept = KeptScalars()
    kept.keep(1, joined(frames("motor", x=5.0), frames(a=1.0))[0])
    kept.keep(2, frames(a=2.0))
    assert newest(kept) == {"motor/x": 5.0, "i0/a": 2.0}
    assert kept.at(2) == {"i0/a": 2.0}


def test_the_oldest_events_are_forgotten() -> None:
    kept = KeptScalars(max_bytes=100_000)
    for number in range(1000):
        kept.keep(number, frames(a=float(number)))
    assert kept.at(0) == {}
    assert kept.at(999) == {"i0/a": 999.0}
    assert kept.at(900) == {"i0/a": 900.0}


def test_one_event_is_kept_however_large() -> None:
    kept = KeptScalars(max_bytes=10)
    kept.keep(1, frames(a=1.0))
    kept.keep(2, frames(a=2.0))
    assert kept.at(1) == {}
    assert kept.at(2) == {"i0/a": 2.0}


def test_means_are_of_all_events_and_of_those_that_have_a_value() -> None:
    kept = KeptScalars()
    for number in range(10):
        kept.keep(number, frames(a=float(number), b=float("nan") if number % 2 else 4.0, c=float("inf")))
    assert means(kept) == {"i0/a": 4.5, "i0/b": 4.0}
    kept.keep(10, frames(a=10.0))
    assert means(kept) == {"i0/a": 5.0, "i0/b": 4.0}
    assert means(kept) == {"i0/a": 5.0, "i0/b": 4.0}


def test_of_very_many_events_the_mean_is_that_of_a_sample() -> None:
    kept = KeptScalars()
    alternating = [frames(a=0.0), frames(a=1.0)]
    for number in range(0, 400_000, 2000):
        for one in range(number, number + 2000):
            kept.keep(one, alternating[one % 2])
        means(kept)
    assert means(kept)["i0/a"] == pytest.approx(0.5, abs=0.25)


def test_a_sender_that_makes_up_names_fills_no_memory() -> None:
    kept = KeptScalars(max_bytes=50_000)
    for number in range(5000):
        kept.keep(number, frames(f"s{number}", **{f"c{number}": 1.0}))
        means(kept)
    assert len(means(kept)) <= 64 * 32
    assert len(newest(kept)) == 64


def test_a_stream_name_with_a_slash_makes_no_level() -> None:
    kept = KeptScalars()
    kept.keep(1, frames("a/b", c=1.0))
    assert kept.at(1) == {"a_b/c": 1.0}


def test_one_thread_reads_while_another_keeps() -> None:
    kept = KeptScalars(max_bytes=100_000)
    stop = threading.Event()

    def fill() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            kept.keep(number, frames(a=1.0))

    thread = threading.Thread(target=fill)
    thread.start()
    try:
        for _ in range(100):
            assert set(newest(kept).values()) <= {1.0}
            assert set(means(kept).values()) <= {1.0}
    finally:
        stop.set()
        thread.join()


def test_a_stream_that_comes_after_the_others_of_its_event_were_read_counts_too() -> None:
    kept = KeptScalars()
    for number in range(1, 4):
        kept.keep(number, frames(a=float(number)))
        kept.newest_and_means()
        kept.keep(number, frames("motor", x=10.0 * number))  # from another worker, which takes longer
        kept.keep(number, frames(a=99.0))  # delivered again
    assert newest(kept) == {"i0/a": 3.0, "motor/x": 30.0}
    assert means(kept) == {"i0/a": 2.0, "motor/x": 20.0}


def test_it_is_told_of_which_events_the_newest_are() -> None:
    kept = KeptScalars()
    kept.keep(1, frames("motor", x=5.0))
    kept.keep(2, frames(a=2.0, b=3.0))
    assert kept.newest_and_means()[2] == {"motor/x": 1, "i0/a": 2, "i0/b": 2}


def test_what_nobody_reads_is_bounded() -> None:
    kept = KeptScalars(max_bytes=100_000)
    packed = frames(a=1.0)
    for number in range(60_000):
        kept.keep(number, packed)
    assert newest(kept) == {"i0/a": 1.0}
