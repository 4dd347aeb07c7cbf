from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import cbor2
import pytest

from glimt.codecs.protocol import PacketKind
from glimt.codecs.registry import PROTOCOLS
from glimt.model.errors import DecodeError, UsageError
from glimt.pipeline.join_field import JoinField
from glimt.pipeline.ledger import ARRIVAL, StreamLedger
from glimt.pipeline.live_stream import LiveStream, StreamItem
from glimt.pipeline.series_numbers import MAX_JUMP, REMEMBERED, SeriesNumbers
from hostile_wire import SERIES, attacks
from raw_recordings import recorded_messages

START, DATA, END = PacketKind.START, PacketKind.DATA, PacketKind.END

Message = list[bytes]


def live(protocol: str = "stins", **options: Any) -> LiveStream:
    return LiveStream("xrd", PROTOCOLS[protocol], StreamLedger("xrd"), **options)


def header(message: int = 0, **extra: Any) -> Message:
    return [json.dumps({"htype": "header", "msg_number": message, "filename": ""} | extra).encode()]


def image(message: int, frame: int, **extra: Any) -> Message:
    content = {"htype": "image", "msg_number": message, "frame": frame, "shape": [1], "type": "uint8"}
    return [json.dumps(content | {"compression": "none"} | extra).encode(), b"\x00"]


def end(message: int) -> Message:
    return [json.dumps({"htype": "series_end", "msg_number": message}).encode()]


def point(number: int | None = None, **extra: Any) -> Message:
    content: dict[str, Any] = {"type": "RecordData", "timestamp": 0.5} | extra
    return [json.dumps(content if number is None else content | {"point_nb": number}).encode()]


DESCRIPTION, RECORD_END = SERIES["sardana"][0], SERIES["sardana"][2]


def places(items: list[StreamItem]) -> list[tuple[str, int]]:
    return [(item.kind.value, item.number) for item in items]


def push(stream: LiveStream, *messages: Message) -> list[tuple[str, int]]:
    items = stream.push_many(messages, 7)
    stream.ledger.check()
    return places(items)


@pytest.mark.parametrize("protocol", sorted(SERIES))
def test_a_series_of_every_protocol_is_start_data_and_end(protocol: str) -> None:
    stream = live(protocol)
    items = stream.push_many(SERIES[protocol], 7)
    kinds = [item.kind for item in items]
    assert kinds[0] is START
    assert kinds[-1] is END
    assert set(kinds[1:-1]) == {DATA}
    assert [item.number for item in items] == list(range(-1, len(items) - 1))
    assert all(item.n_bytes == sum(map(len, item.frames)) and item.created_ns == 7 for item in items)
    assert stream.ledger.pending == stream.ledger.received == len(items)
    assert not stream.is_open
    stream.ledger.check()


@pytest.mark.parametrize("protocol", sorted(SERIES))
def test_whatever_a_hostile_sender_sends_is_counted_and_the_next_series_is_good(protocol: str) -> None:
    stream = live(protocol)
    for attack in attacks(protocol):
        stream.push_many([attack], 1)
        stream.ledger.check()
    assert stream.ledger.n_dropped > 10
    if protocol != "pandabox-text":  # any line outside a series is a remark there
        assert stream.ledger.dropped["bad"] > 10
        assert "(message " in stream.ledger.first_bad
    stream.push_many(SERIES[protocol], 2)  # the first may end what an attack began
    kinds = [item.kind for item in stream.push_many(SERIES[protocol], 2)]
    assert (kinds[0], kinds[-1]) == (START, END)


RECORDINGS = {
    "albaem-dump.cbors": "albaem",
    "contrast-dump.cbors": "contrast",
    "eiger-small.cbors": "eiger-legacy",
    "maui-02-continuous-3.cbor.gz": "lecroy",
    "pcap-zmq.cbors": "pandabox",
    "xspress3-dump.cbors": "xspress3",
}


@pytest.mark.parametrize("recording", sorted(RECORDINGS))
def test_a_real_recording_is_one_whole_series(recording: str, shared_data: Path) -> None:
    stream = live(RECORDINGS[recording])
    out = push(stream, *recorded_messages(shared_data / "dranspose" / recording))
    assert out == [("start", -1), *(("data", number) for number in range(len(out) - 2)), ("end", len(out) - 2)]
    assert set(stream.ledger.dropped) <= {"other"}
    assert stream.ledger.is_whole


def test_numbers_count_from_0_whatever_the_first_frame_is_called() -> None:
    assert push(live(), header(), image(1, 1), image(2, 2), end(3)) == [
        ("start", -1),
        ("data", 0),
        ("data", 1),
        ("end", 2),
    ]
    assert push(live(), header(70), image(71, 500), image(72, 501))[1:] == [("data", 0), ("data", 1)]


def test_a_lost_first_frame_does_not_shift_the_others_where_the_message_number_tells() -> None:
    assert push(live(), header(10), image(13, 2), image(14, 3)) == [("start", -1), ("data", 2), ("data", 3)]
    assert push(live(), header(10), image(12, 2), image(13, 3)) == [("start", -1), ("data", 1), ("data", 2)]


def test_a_sender_whose_message_number_stands_still_is_counted_by_frame() -> None:
    assert push(live(), header(0), image(0, 0), image(0, 1), image(0, 3))[1:] == [("data", 0), ("data", 1), ("data", 3)]


def test_dectris_frames_count_from_0_even_if_the_first_is_lost() -> None:
    def message(**values: Any) -> Message:
        return [cbor2.dumps(cbor2.CBORTag(55799, {"series_id": 6} | values))]

    start, image_0, _ = (cbor2.loads(m[0]) for m in SERIES["dectris-v2"])
    frame = {**(image_0.value if hasattr(image_0, "value") else image_0)}
    stream = live("dectris-v2")
    second = message(**(frame | {"image_id": 1}))
    begin = {**(start.value if hasattr(start, "value") else start)}
    assert push(stream, message(**begin), second)[1:] == [("data", 1)]


def test_the_first_number_of_a_protocol_that_tells_nothing_is_guessed_or_configured() -> None:
    assert push(live("sardana"), DESCRIPTION, point(1))[1:] == [("data", 0)]
    assert push(live("sardana"), DESCRIPTION, point(3))[1:] == [("data", 3)]
    assert push(live("sardana", first_frame=0), DESCRIPTION, point(1))[1:] == [("data", 1)]
    assert push(live("sardana", first_frame=3), DESCRIPTION, point(4))[1:] == [("data", 1)]


def test_a_number_before_the_first_of_the_series_is_bad() -> None:
    stream = live("sardana")
    assert push(stream, DESCRIPTION, point(1), point(0)) == [("start", -1), ("data", 0)]
    assert stream.ledger.dropped == {"bad": 1}
    assert "1 before the first of the series" in stream.ledger.first_bad


def test_packets_without_numbers_are_counted_as_they_arrive_and_the_ledger_says_so() -> None:
    stream = live("sardana")
    assert push(stream, DESCRIPTION, point(), point(), RECORD_END)[1:] == [("data", 0), ("data", 1), ("end", 2)]
    assert stream.ledger.joined_by == ARRIVAL
    numbered = live("sardana")
    push(numbered, DESCRIPTION, point(0))
    assert numbered.ledger.joined_by == "frame number"


def test_data_before_the_first_start_is_outside() -> None:
    stream = live()
    assert push(stream, image(5, 4), end(6)) == []
    assert stream.ledger.dropped == {"outside": 2}
    assert push(stream, header(7), image(8, 0)) == [("start", -1), ("data", 0)]


def test_messages_behind_the_end_are_outside() -> None:
    stream = live()
    push(stream, header(0), image(1, 0), end(2))
    assert push(stream, image(3, 1), end(2)) == []
    assert stream.ledger.dropped == {"outside": 2}
    assert (stream.ledger.n_series, stream.ledger.n_ended) == (1, 1)


def test_leftovers_of_an_older_series_are_stale() -> None:
    stream = live()
    push(stream, header(100), image(101, 0))
    assert push(stream, image(57, 55), end(58), image(102, 1)) == [("data", 1)]
    assert stream.ledger.dropped == {"stale": 2}
    assert stream.is_open


def test_leftovers_of_an_older_dectris_series_are_stale() -> None:
    stream = live("dectris-v1")
    start, frame, _ = SERIES["dectris-v1"]
    old = [frame[0].replace(b'"series": 6', b'"series": 5'), *frame[1:]]
    assert push(stream, start, old, frame) == [("start", -1), ("data", 0)]
    assert stream.ledger.dropped == {"stale": 1}


def test_heartbeats_are_other() -> None:
    stream = live("contrast")
    started = SERIES["contrast"][0]
    assert push(stream, started, [pickle.dumps({"status": "heartbeat"})]) == [("start", -1)]
    assert stream.ledger.dropped == {"other": 1}


def test_a_start_in_an_open_series_breaks_that_off() -> None:
    stream = live()
    items = stream.push_many([header(0), image(1, 0), header(9), image(10, 0)], 7)
    assert places(items) == [("start", -1), ("data", 0), ("end", 1), ("start", -1), ("data", 0)]
    assert items[2].frames == []
    assert stream.ledger.received == stream.ledger.pending == 4
    assert (stream.ledger.n_series, stream.ledger.n_ended, stream.ledger.n_broken_off) == (2, 0, 1)


def test_the_same_start_again_is_repeated_and_begins_no_series() -> None:
    stream = live()
    assert push(stream, header(0), header(0), image(1, 0)) == [("start", -1), ("data", 0)]
    assert stream.ledger.dropped == {"repeated": 1}
    assert stream.ledger.n_series == 1


def test_the_same_start_behind_data_is_a_new_series() -> None:
    stream = live()
    assert push(stream, header(0), image(1, 0), header(0)) == [("start", -1), ("data", 0), ("end", 1), ("start", -1)]


def test_a_repeated_number_is_left_out() -> None:
    stream = live()
    assert push(stream, header(0), image(1, 0), image(1, 0), image(2, 1), image(1, 0))[1:] == [("data", 0), ("data", 1)]
    assert stream.ledger.dropped == {"repeated": 2}


def test_a_number_that_comes_out_of_order_is_taken_once() -> None:
    stream = live()
    out = push(stream, header(0), image(1, 0), image(4, 3), image(3, 2), image(3, 2), image(2, 1), image(5, 4))
    assert out[1:] == [("data", number) for number in (0, 3, 2, 1, 4)]
    assert stream.ledger.dropped == {"repeated": 1}


def test_a_jump_too_far_is_bad_and_does_not_spoil_the_rest() -> None:
    stream = live()
    push(stream, header(0), image(1, 0))
    assert push(stream, image(2, MAX_JUMP + 2), image(3, 10**15), image(2, 1)) == [("data", 1)]
    assert stream.ledger.dropped == {"bad": 2}
    assert "ahead of the expected one" in stream.ledger.first_bad


def test_a_damaged_first_number_does_not_shift_the_rest() -> None:
    stream = live(first_frame="auto")
    assert push(stream, header(0), image(10**12, 10**12), image(2, 1)) == [("start", -1), ("data", 1)]
    assert stream.ledger.dropped == {"bad": 1}


def test_a_new_series_counts_anew() -> None:
    stream = live()
    push(stream, header(0), image(1, 0), image(2, 1), end(3))
    assert push(stream, header(4), image(5, 0), end(6)) == [("start", -1), ("data", 0), ("end", 1)]
    assert stream.ledger.dropped == {}


def test_numbers_older_than_what_is_remembered_are_late_and_memory_is_bounded() -> None:
    numbers = SeriesNumbers()
    for step in range(50):
        assert numbers.place(step * REMEMBERED) is None
    assert len(numbers._skipped) <= 2 * REMEMBERED
    assert numbers.place(1) == "late"
    assert numbers.place(49 * REMEMBERED) == "repeated"
    assert numbers.place(49 * REMEMBERED - 1) is None


def test_triggers_number_the_packets() -> None:
    stream = live(join="trigger", number_field="extra.trigger_id")
    out = push(stream, header(), image(1, 0, trigger_id=0), image(2, 1, trigger_id=5), image(3, 2, trigger_id=6.0))
    assert out[1:] == [("data", 0), ("data", 5), ("data", 6)]
    assert stream.ledger.joined_by == "trigger extra.trigger_id"


@pytest.mark.parametrize("value", ["x", None, 0.5, True, [1], {"a": 1}, 10**30])
def test_a_trigger_that_is_no_number_is_bad(value: Any) -> None:
    stream = live(join="trigger", number_field="extra.trigger_id")
    assert push(stream, header(), image(1, 0, trigger_id=value), image(2, 1)) == [("start", -1)]
    assert stream.ledger.dropped == {"bad": 2}


def test_clocks_are_numbers_or_iso_times() -> None:
    stream = live(join="clock", number_field="extra.t")
    times = [12, 0.5, "1970-01-01T00:01:00Z", "1970-01-01T00:02:00"]
    items = stream.push_many([header(), *(image(n + 1, n, t=when) for n, when in enumerate(times))], 1)
    assert [item.clock for item in items] == [None, 12, 0.5, 60.0, 120.0]
    assert [item.number for item in items] == [-1, 0, 1, 2, 3]


@pytest.mark.parametrize("value", ["yesterday", True, "x" * 10_000, 1 << 70, [], "NaN"])
def test_a_clock_that_is_none_is_bad_and_its_text_is_short(value: Any) -> None:
    stream = live(join="clock", number_field="extra.t")
    assert push(stream, header(), image(1, 0, t=value)) == [("start", -1)]
    assert "field extra.t is" in stream.ledger.first_bad
    assert len(stream.ledger.first_bad) < 200


def test_a_field_inside_a_field_is_found() -> None:
    field = JoinField(PROTOCOLS["stins"], "extra.clock.ns")
    packet = PROTOCOLS["stins"].assembler().push(image(1, 0, clock={"ns": 17}))[0]
    assert field.integer(packet) == 17
    with pytest.raises(DecodeError, match=r"nothing under 'ns'"):
        field.integer(PROTOCOLS["stins"].assembler().push(image(1, 0, clock={}))[0])


@pytest.mark.parametrize("path", [".", "a..b", "_header", "extra.__class__", "a." * 20 + "b"])
def test_a_path_that_is_none_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match="is no path to a field"):
        live(join="clock", number_field=path)


@pytest.mark.parametrize(
    "options", [{"join": "clock"}, {"number_field": "frame"}, {"first_frame": -1}, {"first_frame": "first"}]
)
def test_options_that_do_not_go_together_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="stream 'xrd'"):
        live(**options)
