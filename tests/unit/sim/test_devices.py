"""What simulated devices send is understood by the codecs."""

from __future__ import annotations

import threading
from typing import Any

import msgspec
import numpy as np
import pytest
from list_transport import ListTransport

from glimt.codecs import dectris_v1, dectris_v2, stins
from glimt.codecs.albaem import AlbaemData
from glimt.codecs.dectris_v1_header import DectrisV1Header
from glimt.codecs.pandabox_text import PositionCapParser, PositionCapValues
from glimt.codecs.protocol import Packet, PacketKind
from glimt.codecs.registry import PROTOCOLS
from glimt.model.errors import UsageError
from glimt.sim.albaem import CURRENT_A
from glimt.sim.beam import Beam
from glimt.sim.dectris_v1 import APPENDIX
from glimt.sim.devices import DEVICES, device_kind, make_device, make_transport
from glimt.sim.faults import Faults
from glimt.sim.header_template import HeaderTemplate
from glimt.sim.pandabox_text import I0
from glimt.sim.picture_pool import pool_size
from glimt.sim.plan import SimulationPlan
from glimt.sim.report import SimulationReport
from glimt.sim.sardana import PATHS, path_of
from glimt.sim.simulation import Simulation

SMALL: dict[str, dict[str, Any]] = {
    name: {"shape": (20, 30)} if "shape" in kind.options else {} for name, kind in DEVICES.items()
}
STAMPED = [name for name, kind in DEVICES.items() if "stamp" in kind.options]


def sent_by(
    name: str, plan: SimulationPlan | None = None, faults: Faults | None = None, **options: Any
) -> tuple[list[list[bytes]], SimulationReport]:
    transport = ListTransport()
    device = make_device(name, **(SMALL[name] | options))
    plan = plan or SimulationPlan(n_frames=10, rate_hz=0)
    report = Simulation(device, transport, plan=plan, faults=faults).run(threading.Event())
    return transport.messages, report


def packets_of(name: str, messages: list[list[bytes]]) -> list[Packet]:
    assembler = PROTOCOLS[name].assembler()
    return [packet for message in messages for packet in assembler.push(message)]


def kinds_of(packets: list[Packet]) -> list[PacketKind]:
    return [packet.kind for packet in packets if packet.kind is not PacketKind.OTHER]


START, DATA, END = PacketKind.START, PacketKind.DATA, PacketKind.END


def test_there_is_a_device_for_every_protocol() -> None:
    assert DEVICES.keys() == PROTOCOLS.keys()


@pytest.mark.parametrize("name", DEVICES)
def test_series_are_start_frames_and_end_to_the_codec(name: str) -> None:
    messages, report = sent_by(name, SimulationPlan(n_frames=7, n_series=2, rate_hz=0))
    packets = packets_of(name, messages)
    assert kinds_of(packets) == ([START] + [DATA] * 7 + [END]) * 2
    numbers = [packet.frame_number for packet in packets if packet.kind is DATA]
    unnumbered = name in {"contrast", "pandabox-text"}
    assert numbers == ([None] * 14 if unnumbered else [*range(7)] * 2)
    assert (report.n_series, report.n_frames, report.n_messages) == (2, 14, len(messages))
    assert report.n_bytes == sum(len(part) for message in messages for part in message)
    for packet in packets:
        PROTOCOLS[name].decode(packet.frames)


@pytest.mark.parametrize("name", STAMPED)
def test_stamped_messages_say_when_they_were_made(name: str) -> None:
    messages, report = sent_by(name, stamp=True)
    packets = [packet for packet in packets_of(name, messages) if packet.kind is DATA]
    assert len(packets) == 10
    for packet in packets:
        record = PROTOCOLS[name].decode(packet.frames)
        stamp = record.meta[0].sent_ns if name == "lecroy" else record.sent_ns
        assert abs(stamp - report.began_ns) < 60_000_000_000


def test_pandabox_text_has_no_place_for_a_stamp() -> None:
    with pytest.raises(UsageError, match="a pandabox-text device has no stamp; it has seed, beam_period"):
        make_device("pandabox-text", stamp=True)


@pytest.mark.parametrize("detail", ["none", "basic", "all"])
def test_a_v1_header_has_the_detail_asked_for(detail: str) -> None:
    messages, _ = sent_by("dectris-v1", header_detail=detail)
    header = dectris_v1.decode(messages[0])
    assert isinstance(header, DectrisV1Header)
    assert header.header_detail == detail
    assert header.number_of_images == (None if detail == "none" else 10)
    assert header.image_shape == (None if detail == "none" else (20, 30))
    mask = header.pixel_mask
    assert mask is not None if detail == "all" else mask is None
    assert mask is None or mask.shape == (20, 30)


@pytest.mark.parametrize(("name", "options"), [("dectris-v1", {"appendix": True}), ("eiger-legacy", {})])
def test_headers_and_images_have_appendices_if_wanted(name: str, options: dict[str, Any]) -> None:
    messages, _ = sent_by(name, **options)
    assert [len(message) for message in messages] == [9, *[5] * 10, 1]  # the only lengths that dranspose takes
    records = [dectris_v1.decode(message) for message in messages[:-1]]
    assert {record.appendix for record in records if not isinstance(record, dectris_v1.DectrisV1End)} == {APPENDIX}


@pytest.mark.parametrize("name", ["stins", "dectris-v1", "dectris-v2"])
@pytest.mark.parametrize("compression", ["none", "lz4", "bslz4"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32"])
def test_all_area_detectors_of_one_seed_see_the_same_pictures(name: str, compression: str, dtype: str) -> None:
    messages, _ = sent_by(name, compression=compression, dtype=dtype, seed=3)
    plain, _ = sent_by("stins", dtype=dtype, seed=3)
    for mine, reference in zip(messages[1:-1], plain[1:-1], strict=True):
        data = PROTOCOLS[name].decode(mine).data
        assert data.dtype == dtype
        np.testing.assert_array_equal(data, stins.decode(reference).data)


def test_each_v2_channel_counts_half_of_the_one_before() -> None:
    messages, _ = sent_by("dectris-v2", channels=3)
    start, image = dectris_v2.decode(messages[0]), dectris_v2.decode(messages[4])
    assert isinstance(start, dectris_v2.DectrisV2Start)
    assert isinstance(image, dectris_v2.DectrisV2Image)
    assert start.channels == [*image.channels] == ["threshold_1", "threshold_2", "threshold_3"]
    assert image.image_id == 3
    assert start.flatfield["threshold_3"].shape == start.image_shape == (20, 30)
    first, second, third = image.channels.values()
    np.testing.assert_array_equal(first // 2, second)
    np.testing.assert_array_equal(second // 2, third)


def test_xspress3_sends_one_message_an_image_or_three() -> None:
    joined, _ = sent_by("xspress3", seed=1)
    split, _ = sent_by("xspress3", seed=1, split=True)
    assert (len(joined), len(split)) == (12, 32)
    assert [packet.frames for packet in packets_of("xspress3", joined)] == [
        packet.frames for packet in packets_of("xspress3", split)
    ]
    image = PROTOCOLS["xspress3"].decode(joined[1])
    assert image.data.shape == (4, 4096)
    np.testing.assert_array_equal(image.meta["AllEvents"], image.data.sum(axis=1))
    assert (image.meta["dtc"] > 1).all()


def test_a_pandabox_sends_several_triggers_together_and_a_rest() -> None:
    messages, report = sent_by("pandabox", frames_per_message=4)
    assert len(messages) == 5
    assert [json_of(message)["message_id"] for message in messages] == [1, 2, 3, 4, 5]
    packets = packets_of("pandabox", messages)
    assert [packet.frame_number for packet in packets] == [None, *range(10), None]
    assert report.n_frames == 10


def json_of(message: list[bytes]) -> dict[str, Any]:
    values: dict[str, Any] = msgspec.json.decode(message[0])
    return values


def i0_values(name: str, *, seed: int, period: int, count: int) -> list[float]:
    plan = SimulationPlan(n_frames=count, rate_hz=0)
    packets = packets_of(name, sent_by(name, plan, seed=seed, beam_period=period)[0])
    frames = [packet.frames for packet in packets if packet.kind is not PacketKind.OTHER]
    if name == "pandabox-text":
        parser = PositionCapParser()
        read = [parser.read(parts) for parts in frames]
        return [float(line.fields[I0].value or 0) for line in read if isinstance(line, PositionCapValues)]
    records = [PROTOCOLS[name].decode(parts) for parts in frames[1:-1]]
    if name == "albaem":
        return [sum(record.extra[f"channel{n}"] for n in (1, 2, 3, 4)) for record in records]
    return [record.i0 for record in records]


@pytest.mark.parametrize("name", ["albaem", "pandabox", "pandabox-text", "contrast", "sardana"])
def test_dividing_by_i0_flattens_what_the_detector_sees(name: str) -> None:
    i0 = np.array(i0_values(name, seed=5, period=20, count=40))
    plan = SimulationPlan(n_frames=40, rate_hz=0)
    options: dict[str, Any] = {"shape": (200, 200), "seed": 5, "beam_period": 20}
    steady, _ = sent_by("stins", plan, **(options | {"beam_period": 0}))
    messages, _ = sent_by("stins", plan, **options)
    sums = np.array([stins.decode(message).data.sum() for message in messages[1:-1]], float)
    constant = np.array([stins.decode(message).data.sum() for message in steady[1:-1]], float)
    ratio = sums / i0 / constant
    assert np.ptp(i0) / i0.mean() > 0.2
    assert np.ptp(ratio) / ratio.mean() < 0.01


def test_the_beam_repeats_and_stays_within_its_bounds() -> None:
    beam = Beam(1, 50)
    values = [beam.intensity(number) for number in range(150)]
    assert values[:50] == values[50:100] == values[100:]
    assert 0.6 <= min(values) < max(values) <= 1.0
    assert values != [Beam(2, 50).intensity(number) for number in range(150)]
    assert {Beam(1, 0).intensity(number) for number in range(9)} == {1.0}


@pytest.mark.parametrize("period", [-1, 1_000_001])
def test_impossible_beams_are_refused(period: int) -> None:
    with pytest.raises(UsageError, match="beam"):
        Beam(0, period)


def test_a_pool_holds_whole_periods_of_the_beam_or_says_what_fits() -> None:
    assert pool_size(8, n_frames=30, beam_period=100) == 30
    assert pool_size(8, n_frames=0, beam_period=0) == 500
    assert pool_size(8, n_frames=0, beam_period=150) == 450
    assert pool_size(1 << 28, n_frames=0, beam_period=0) == 2
    with pytest.raises(UsageError, match="--beam-period 32 or less"):
        pool_size(8 << 20, n_frames=0, beam_period=100)


def test_albaem_samples_are_numbered_and_have_currents() -> None:
    messages, _ = sent_by("albaem")
    sample = PROTOCOLS["albaem"].decode(messages[3])
    assert isinstance(sample, AlbaemData)
    assert (sample.frame_number, sample.message_id) == (2, 4)
    assert sum(sample.extra.values()) == pytest.approx(CURRENT_A)


def test_sardana_messages_go_to_the_address_of_their_type() -> None:
    messages, _ = sent_by("sardana")
    paths = [path_of(message[0]) for message in messages]
    assert paths == [PATHS["DataDescription"], *[PATHS["RecordData"]] * 10, PATHS["RecordEnd"]]
    assert path_of(b"\xff\x00") == PATHS["RecordData"]


def test_header_templates_fill_gaps_in_any_order_and_keep_the_rest() -> None:
    header = b'{"b":1,"text":"100%d \\u00e9 %(0)d","a":[1,{"b":2}],"n":0}'
    filled = msgspec.json.decode(HeaderTemplate(header, ["n", "b"]).fill(7, 8))
    assert filled == {"b": 8, "text": "100%d é %(0)d", "a": [1, {"b": 2}], "n": 7}
    with pytest.raises(ValueError, match="no 'x'"):
        HeaderTemplate(header, ["x"])


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("stins", {"compression": "zip"}, "'zip' is not one of"),
        ("stins", {"shape": (0, 5)}, "no pixels"),
        ("stins", {"dtype": "object"}, "'object' is not one of"),
        ("stins", {"seed": -1}, "seed -1"),
        ("dectris-v1", {"header_detail": "some"}, "none, basic, all"),
        ("dectris-v2", {"header_detail": "none"}, "basic, all"),
        ("dectris-v2", {"channels": 0}, "1 to 4"),
        ("xspress3", {"channels": 65}, "1 to 64"),
        ("lecroy", {"channels": 0}, "1 to 64"),
        ("pandabox", {"frames_per_message": 0}, "frames a message"),
        ("albaem", {"shape": (2, 2)}, "a albaem device has no shape"),
        ("karabo", {}, "no device speaks 'karabo'; there are: stins"),
    ],
)
def test_impossible_devices_say_what_is_possible(name: str, options: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        make_device(name, **options)


def test_names_may_have_underscores_and_a_server_cannot_connect() -> None:
    assert device_kind("dectris_v1") is DEVICES["dectris-v1"]
    device = make_device("pandabox-text")
    with pytest.raises(UsageError, match="leave --connect out"):
        make_transport("pandabox-text", device, bind=False)
