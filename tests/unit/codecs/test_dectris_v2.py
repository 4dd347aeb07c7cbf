"""DECTRIS stream V2: recorded messages, and what is written back of a message."""

from __future__ import annotations

import pickle
from datetime import datetime, timedelta, timezone
from pathlib import Path

import cbor2
import numpy as np
import pytest

from dectris_v2_messages import PIXELS, image_message, image_of, recorded_series, tagged
from glimt.codecs.cbor_items import SELF_DESCRIBED
from glimt.codecs.dectris_v2 import (
    PROTOCOL,
    DectrisV2End,
    DectrisV2Image,
    DectrisV2Other,
    DectrisV2Start,
    decode,
    encode,
    nanoseconds,
    seconds,
)
from glimt.codecs.protocol import PacketKind


@pytest.fixture(scope="session")
def eiger16m(shared_data: Path) -> dict[str, bytes]:
    return recorded_series(shared_data)


def test_recorded_start_decodes(eiger16m: dict[str, bytes]) -> None:
    start = decode([eiger16m["start"]])
    assert isinstance(start, DectrisV2Start)
    assert (start.series_id, start.series_unique_id) == (15614, "01HBV3JPF9T4ZDPADX6EMK6XMZ")
    assert start.arm_date == datetime(2023, 10, 3, 17, 47, 48, 329000, timezone(timedelta(hours=2)))
    assert start.image_shape == (4362, 4148)
    assert start.number_of_images == 1
    assert start.channels == ["threshold_1"]
    assert start.threshold_energy is not None
    assert start.threshold_energy["threshold_1"] == pytest.approx(6750.15)
    assert start.goniometer["omega"] == {"increment": 0.1, "start": 0.0}
    assert start.image_dtype is None
    assert start.extra == {}
    assert encode(start) == [eiger16m["start"]]


def test_recorded_image_decodes_to_rows_and_columns(eiger16m: dict[str, bytes]) -> None:
    image = image_of(eiger16m["image"])
    assert (image.series_id, image.image_id) == (15614, 0)
    assert image.series_date == datetime(2023, 10, 3, 17, 47, 49, 434000, timezone(timedelta(hours=2)))
    assert image.real_time == (215873, 50000000)
    assert list(image.channels) == ["threshold_1"]
    assert image.data is image.channels["threshold_1"]
    assert image.data.shape == (4362, 4148)
    assert image.data.dtype == np.uint16
    # Gaps of 38 rows or 12 columns between the modules of an EIGER2 16M.
    assert (image.data[512:550] == 65535).all()
    assert (image.data[:, 1028:1040] == 65535).all()
    assert (image.data[:512, :1028] == 65535).mean() < 0.01
    assert encode(image) == [eiger16m["image"]]


def test_recorded_end_decodes(eiger16m: dict[str, bytes]) -> None:
    end = decode([eiger16m["end"]])
    assert isinstance(end, DectrisV2End)
    assert end.series_id == 15614
    assert encode(end) == [eiger16m["end"]]


def test_the_recording_becomes_packets(eiger16m: dict[str, bytes]) -> None:
    assembler = PROTOCOL.assembler()
    packets = [assembler.push([eiger16m[name]])[0] for name in ("start", "image", "end")]
    assert [packet.kind for packet in packets] == [PacketKind.START, PacketKind.DATA, PacketKind.END]
    assert packets[1].frame_number == 0
    assert packets[1].frames == [eiger16m["image"]]


def test_leftovers_of_an_aborted_series_are_no_events() -> None:
    assembler = PROTOCOL.assembler()
    start = encode(DectrisV2Start(series_id=7))
    kinds = [assembler.push([m])[0].kind for m in (start[0], image_message(), image_message(series_id=7))]
    assert kinds == [PacketKind.START, PacketKind.OTHER, PacketKind.DATA]


def test_times_are_exact_in_nanoseconds() -> None:
    assert nanoseconds((215873, 50_000_000)) == 4_317_460
    assert nanoseconds((1, 3)) == 333_333_333
    assert nanoseconds((2, 3)) == 666_666_667
    assert nanoseconds((2**63, 50_000_000)) == 2**63 * 20
    assert seconds((1, 4)) == 0.25


def test_type_is_the_first_key_on_the_wire() -> None:
    made = DectrisV2Image(series_id=1, image_id=2)
    made.data = PIXELS
    assert encode(made)[0].startswith(SELF_DESCRIBED + b"\xa4\x64type\x65image")


def test_changing_a_field_leaves_the_other_bytes_as_they_came() -> None:
    # A float of 16 bits and a date without fraction: no encoder would write them that way on its own.
    message = b"\xa5" + image_message()[4:] + b"\x6aexposure_s\xf9\x3c\x00"
    image = image_of(message)
    assert encode(image) == [message]
    image.image_id = 5
    changed = encode(image)[0]
    assert changed == SELF_DESCRIBED + message.replace(b"\x68image_id\x04", b"\x68image_id\x05")
    assert image_of(changed).exposure_s == 1.0


def test_a_field_set_to_none_is_left_out_and_a_new_one_is_added() -> None:
    image = image_of(image_message(user_data=5))
    image.user_data = None
    image.series_unique_id = "abc"
    changed = image_of(encode(image)[0])
    assert changed.user_data is None
    assert changed.series_unique_id == "abc"
    assert changed.data.tolist() == PIXELS.tolist()


def test_null_in_a_field_is_written_back() -> None:
    message = b"\xa5" + image_message()[4:] + b"\x69user_data\xf6"
    assert encode(image_of(message)) == [message]


def test_unknown_keys_are_readable_and_written_back() -> None:
    profile = tagged(85, np.array([1.5, 2.5], "<f4").tobytes())
    message = image_message(magic_number=5, spots=[{"x": 1.0, "y": 2}], az_int_profile=profile, odd=tagged(4711, "?"))
    image = image_of(message)
    assert image.magic_number == 5
    assert image.spots == [{"x": 1.0, "y": 2}]
    assert set(image.extra) == {"magic_number", "spots", "az_int_profile", "odd"}
    assert np.asarray(image.az_int_profile).tolist() == [1.5, 2.5]
    assert image.odd == tagged(4711, "?")
    assert "magic_number=5" in str(image)
    assert "magic_number" in image.field_names()
    assert encode(image) == [message]
    with pytest.raises(AttributeError, match="has no field 'spot'; it has type, series_id"):
        _ = image.spot


def test_unknown_types_of_messages_belong_to_no_series() -> None:
    message = SELF_DESCRIBED + cbor2.dumps({"type": "calibration", "series_id": 1, "channels": ["c"]})
    other = decode([message])
    assert isinstance(other, DectrisV2Other)
    assert other.type == "calibration"
    assert other.extra == {"series_id": 1, "channels": ["c"]}
    assert encode(other) == [message]
    assert PROTOCOL.assembler().push([message])[0].kind is PacketKind.OTHER


def test_maps_arrays_and_strings_of_indefinite_length_are_understood() -> None:
    payload = b"\x5f" + b"".join(b"\x42" + PIXELS.tobytes()[at : at + 2] for at in range(0, 12, 2)) + b"\xff"
    message = (
        b"\xbf\x7f\x62ty\x62pe\xff\x65image\x69series_id\x06\x68image_id\x04\x64data"
        b"\xbf\x61c\xd8\x28\x9f\x9f\x02\x03\xff\xd8\x45" + payload + b"\xff\xff\xff"
    )
    image = image_of(message)
    assert image.data.tolist() == PIXELS.tolist()
    assert encode(image) == [message]


def test_any_buffer_will_do() -> None:
    for kind in (bytes, bytearray, memoryview):
        record = decode([kind(image_message())])
        assert isinstance(record, DectrisV2Image)
        assert record.data.tolist() == PIXELS.tolist()
        assert pickle.loads(pickle.dumps(record)) == record
        assert record.to_stream_data().typ == "DECTRIS_V2"


def test_images_are_equal_by_what_they_say() -> None:
    first, second = image_of(image_message()), image_of(image_message()[3:])
    assert first == second
    second.image_id = 9
    assert first != second
    assert first != decode([SELF_DESCRIBED + cbor2.dumps({"type": "end", "series_id": 6})])
