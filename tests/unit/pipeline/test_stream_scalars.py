"""What numbers are found in the small frames of streams."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glimt.codecs.albaem import AlbaemData, AlbaemStart
from glimt.codecs.contrast import ContrastRunning
from glimt.codecs.pandabox import PcapData
from glimt.codecs.registry import PROTOCOLS
from glimt.codecs.sardana import SardanaRecordData
from glimt.codecs.stins import StinsImage
from glimt.model.event import EventData, StreamData
from glimt.pipeline.stream_scalars import MAX_EVENT_BYTES, MAX_NAMES, scalars_of, small_frames, unpacked
from raw_recordings import recorded_messages


def sample(**channels: Any) -> StreamData:
    return AlbaemData(
        message_id=2, version=1, frame_number=0, timestamp=0.5, acquisition_timestamp=1, **channels
    ).to_stream_data()


def image(pixels: np.ndarray, compression: str = "none") -> StreamData:
    made = StinsImage(msg_number=1, frame=0, shape=list(pixels.shape), type=str(pixels.dtype), compression=compression)
    made.data = pixels
    return made.to_stream_data()


def found(data: StreamData) -> dict[str, float]:
    packed = small_frames(EventData(1, {"s": data}))
    assert packed is not None
    ((name, typ, frames),) = unpacked(packed)
    assert name == "s"
    return scalars_of(typ, frames)


def test_channels_of_an_electrometer_have_their_own_names_and_the_protocols_keys_are_left_out() -> None:
    assert found(sample(channel1=2e-9, channel2=-3.0)) == {"channel1": 2e-9, "channel2": -3.0}


def test_points_of_scan_engines_give_motors_and_counters_nested_ones_with_a_slash() -> None:
    panda = {"COUNTER1.OUT_Value": np.array([4.0]), "spectrum": np.arange(3.0), "one": np.array([[7]], np.int32)}
    point = ContrastRunning(dt=1.0, sx=-2.0, panda0=panda, name="text", x3={"type": "Link", "ok": True})
    expected = {"sx": -2.0, "panda0/COUNTER1.OUT_Value": 4.0, "panda0/one": 7.0, "x3/ok": 1.0}
    assert found(point.to_stream_data()) == expected
    step = SardanaRecordData(timestamp=1.0, point_nb=3, ct01=12.5, diode=[8.0], mca=[1, 2, 3])
    assert found(step.to_stream_data()) == {"point_nb": 3.0, "ct01": 12.5, "diode": 8.0}
    trigger = PcapData(message_id=1, version=1, frame_number=0, energy=8879.3)
    assert found(trigger.to_stream_data()) == {"energy": 8879.3}


@pytest.mark.parametrize("shape", [(1,), (1, 1)])
@pytest.mark.parametrize("compression", ["none", "bslz4", "lz4"])
def test_a_frame_of_one_number_is_its_value(shape: tuple[int, ...], compression: str) -> None:
    assert found(image(np.full(shape, 41.5, np.float32), compression)) == {"value": 41.5}


def test_images_are_not_passed_on_and_of_a_small_one_nothing_is_told() -> None:
    assert small_frames(EventData(1, {"s": image(np.zeros((10, 10), np.uint16))})) is None
    assert found(image(np.zeros((2, 2), np.uint16))) == {}


def test_starts_and_ends_of_series_have_no_scalars() -> None:
    assert found(AlbaemStart(message_id=1, version=1).to_stream_data()) == {}
    assert small_frames(EventData(0, {"s": StreamData("STINS", [b'{"htype":"series_end","msg_number":3}'])})) is None


def test_other_protocols_and_large_messages_are_left_out() -> None:
    assert small_frames(EventData(1, {"s": StreamData("EIGER_V2", [b"x"])})) is None
    assert small_frames(EventData(1, {"s": StreamData("albaem", [b" " * 9000])})) is None
    assert small_frames(EventData(1, {})) is None


def test_one_event_passes_on_only_so_many_bytes() -> None:
    part = b" " * (8 << 10)
    event = EventData(1, {f"s{i}": StreamData("albaem", [part]) for i in range(9)})
    packed = small_frames(event)
    assert packed is not None
    assert sum(len(frames[0]) for _, _, frames in unpacked(packed)) == MAX_EVENT_BYTES


def test_what_is_passed_on_is_a_copy() -> None:
    content = bytearray(sample(channel1=1.0).frames[0])
    packed = small_frames(EventData(1, {"s": StreamData("albaem", [memoryview(content)])}))
    content[:] = b" " * len(content)
    assert packed is not None
    assert scalars_of("albaem", unpacked(packed)[0][2]) == {"channel1": 1.0}


def test_events_of_a_users_own_source_may_be_anything() -> None:
    for streams in (None, [1], {"s": None}, {"s": StreamData([], [b""])}, {"s": StreamData("albaem", [7])}):  # type: ignore[arg-type]
        assert small_frames(EventData(1, streams)) is None  # type: ignore[arg-type]


def test_a_stream_has_at_most_so_many_names() -> None:
    channels = {f"c{i}": float(i) for i in range(100)}
    assert list(found(sample(**channels))) == [f"c{i}" for i in range(MAX_NAMES)]


def test_nan_stays_and_numbers_too_large_for_a_float_become_nan() -> None:
    numbers = scalars_of(
        "albaem",
        [
            b'{"message_type":"data","message_id":1,"version":1,"frame_number":0,"timestamp":0.0,'
            b'"acquisition_timestamp":1,"a":NaN,"b":-Infinity,"c":1' + b"0" * 400 + b"}"
        ],
    )
    assert math.isnan(numbers["a"])
    assert numbers["b"] == -math.inf
    assert math.isnan(numbers["c"]) or math.isinf(numbers["c"])


@pytest.mark.parametrize("name", ["", "x" * 101, "a\nb", "\x00"])
def test_names_that_cannot_be_shown_are_left_out(name: str) -> None:
    assert found(ContrastRunning.from_values({"status": "running", "dt": 1.0, name: 2.0, "b": 3.0}, where="test")
                 .to_stream_data()) == {"b": 3.0}  # fmt: skip


def test_slashes_in_names_make_no_levels() -> None:
    assert found(sample(**{"a/b": 1.0})) == {"a_b": 1.0}


@pytest.mark.parametrize("typ", ["albaem", "contrast", "PCAP", "sardana", "STINS", "nothing"])
@pytest.mark.parametrize("frames", [[], [b""], [b"{}"], [b"["], [b"\x80\x04."], [b"\xff" * 40, b"\xff"], [b"{}", b""]])
def test_damaged_frames_have_no_scalars(typ: str, frames: list[bytes]) -> None:
    assert scalars_of(typ, frames) == {}


@pytest.mark.parametrize(
    ("recording", "protocol", "expected"),
    [
        ("albaem-dump.cbors", "albaem", {"channel1", "channel2", "channel3", "channel4"}),
        ("contrast-dump.cbors", "contrast", {"sx", "sy", "pseudo/x", "panda0/FMC_IN.VAL1_Mean"}),
        ("pcap-zmq.cbors", "pandabox", {"energy", "INENC3.VAL.Mean", "triggernumber"}),
    ],
)
def test_real_recordings(shared_data: Path, recording: str, protocol: str, expected: set[str]) -> None:
    assembler = PROTOCOLS[protocol].assembler()
    packets = [p for m in recorded_messages(shared_data / "dranspose" / recording) for p in assembler.push(m)]
    names = [found(StreamData(PROTOCOLS[protocol].typ, p.frames)).keys() for p in packets if p.frame_number]
    running = names or [found(StreamData(PROTOCOLS[protocol].typ, p.frames)).keys() for p in packets[1:-1]]
    assert running
    assert any(expected <= one for one in running)
    assert all(len(one) <= MAX_NAMES for one in running)


@pytest.mark.parametrize("name", [7, None, b"i0", "i\udcff"])
def test_streams_of_a_users_own_source_may_have_any_name(name: Any) -> None:
    assert small_frames(EventData(1, {name: sample(a=1.0)})) is None
