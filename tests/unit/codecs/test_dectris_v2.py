"""DECTRIS stream V2: real messages, messages made here, and messages that no detector would send."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import cbor2
import numpy as np
import pytest

from glimt.codecs.cbor_items import MAX_ITEMS, SELF_DESCRIBED
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
from glimt.codecs.typed_array import EncodedArray
from glimt.model.errors import DecodeError

PIXELS = np.arange(6, dtype="<u2").reshape(2, 3)


@pytest.fixture(scope="session")
def eiger16m(shared_data: Path) -> dict[str, bytes]:
    """The three messages of a series of one image."""
    folder = shared_data / "dectris" / "stream_v2_eiger16m"
    return {path.stem: path.read_bytes() for path in folder.glob("*.cbor")}


def tagged(tag: int, value: Any) -> cbor2.CBORTag:
    return cbor2.CBORTag(tag, value)


def image_message(**changes: Any) -> bytes:
    """An image of 2 rows and 3 columns; keys that become ``None`` are left out."""
    data = {"threshold_1": tagged(40, [[2, 3], tagged(69, PIXELS.tobytes())])}
    keys = {"type": "image", "series_id": 6, "image_id": 4, "data": data} | changes
    return SELF_DESCRIBED + cbor2.dumps({key: value for key, value in keys.items() if value is not None})


def image_of(message: bytes) -> DectrisV2Image:
    record = decode([message])
    assert isinstance(record, DectrisV2Image)
    return record


def with_value(raw: bytes) -> bytes:
    """An image that has under the additional key ``x`` what ``raw`` encodes."""
    return b"\xa5" + image_message()[4:] + b"\x61x" + raw


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


def test_recorded_tables_that_are_stubs_are_an_error_only_when_they_are_read(eiger16m: dict[str, bytes]) -> None:
    start = decode([eiger16m["start"]])
    assert isinstance(start, DectrisV2Start)
    assert list(start.flatfield) == ["threshold_1"]
    with pytest.raises(DecodeError, match="flatfield, channel 'threshold_1': a bytes, not an array"):
        _ = start.flatfield["threshold_1"]
    with pytest.raises(DecodeError, match="pixel_mask, channel"):
        _ = start.pixel_mask["threshold_1"]
    with pytest.raises(DecodeError, match="countrate_correction_lookup_table"):
        _ = start.countrate_correction_lookup_table


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


def test_pixels_stay_where_they_are_until_they_are_read(eiger16m: dict[str, bytes]) -> None:
    message = eiger16m["image"]
    array = image_of(message).read("data")["threshold_1"]
    assert isinstance(array, EncodedArray)
    assert isinstance(array.payload, memoryview)
    assert array.payload.obj is message
    assert (array.compression, array.dtype, array.shape) == ("bslz4", "uint16", (4362, 4148))


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


@pytest.mark.parametrize("denominator", [0, -1])
def test_times_without_a_unit_are_refused(denominator: int) -> None:
    with pytest.raises(DecodeError, match="time 5/"):
        nanoseconds((5, denominator))
    with pytest.raises(DecodeError, match="time 5/"):
        seconds((5, denominator))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int32", "float32"])
@pytest.mark.parametrize("compression", ["none", "lz4", "bslz4"])
def test_images_of_several_channels_come_back(compression: str, dtype: str) -> None:
    channels = {
        "threshold_1": (np.arange(35 * 50).reshape(35, 50) % 251).astype(dtype),
        "threshold_2": np.ones((3, 9), dtype),
    }
    made = DectrisV2Image(series_id=1, image_id=2, start_time=(0, 50), series_date=datetime.now(UTC))
    made.pack(channels, compression=compression)
    frames = encode(made)
    image = image_of(frames[0])
    assert image == made
    assert list(image.channels) == list(channels)
    for name, pixels in channels.items():
        np.testing.assert_array_equal(image.channels[name], pixels)
        assert image.channels[name].dtype == pixels.dtype
    np.testing.assert_array_equal(image.data, channels["threshold_1"])
    assert encode(image) == frames


def test_type_is_the_first_key_on_the_wire() -> None:
    made = DectrisV2Image(series_id=1, image_id=2)
    made.data = PIXELS
    assert encode(made)[0].startswith(SELF_DESCRIBED + b"\xa4\x64type\x65image")


def test_start_with_tables_comes_back() -> None:
    start = DectrisV2Start(series_id=1, number_of_images=5, user_data={"a": [1, None, "x"]})
    start.put("flatfield", {"threshold_1": np.ones((2, 3), "f4"), "threshold_2": np.zeros((2, 3), "f4")})
    start.put("pixel_mask", {"threshold_1": np.arange(6, dtype="u4").reshape(2, 3)})
    start.put("countrate_correction_lookup_table", np.arange(5, dtype="u4"))
    found = decode(encode(start))
    assert isinstance(found, DectrisV2Start)
    assert found.user_data == {"a": [1, None, "x"]}
    assert found.flatfield["threshold_2"].sum() == 0
    assert found.pixel_mask["threshold_1"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found.countrate_correction_lookup_table is not None
    assert found.countrate_correction_lookup_table.tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(KeyError, match="there are: threshold_1"):
        _ = found.pixel_mask["threshold_2"]


def test_start_without_tables_has_none() -> None:
    start = DectrisV2Start(series_id=1)
    assert len(start.flatfield) == len(start.pixel_mask) == 0
    assert start.countrate_correction_lookup_table is None
    assert start.image_shape is None


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


@pytest.mark.parametrize(
    ("tag", "stored"),
    [
        (64, "u1"),
        (68, "u1"),
        (65, ">u2"),
        (66, ">u4"),
        (67, ">u8"),
        (69, "<u2"),
        (70, "<u4"),
        (71, "<u8"),
        (72, "i1"),
        (73, ">i2"),
        (74, ">i4"),
        (75, ">i8"),
        (77, "<i2"),
        (78, "<i4"),
        (79, "<i8"),
        (80, ">f2"),
        (81, ">f4"),
        (82, ">f8"),
        (84, "<f2"),
        (85, "<f4"),
        (86, "<f8"),
    ],
)
def test_every_type_of_number_is_read_row_and_column_major(tag: int, stored: str) -> None:
    pixels = np.arange(6).reshape(2, 3).astype(stored)
    data = {
        "rows": tagged(40, [[2, 3], tagged(tag, pixels.tobytes())]),
        "columns": tagged(1040, [[2, 3], tagged(tag, pixels.tobytes(order="F"))]),
    }
    image = image_of(image_message(data=data))
    for name in data:
        assert image.channels[name].tolist() == [[0, 1, 2], [3, 4, 5]]
        assert image.channels[name].dtype.isnative
        assert image.channels[name].dtype.name == np.dtype(stored).name
        assert image.channels[name].flags.c_contiguous
    image.image_id = 7
    assert image_of(encode(image)[0]).channels["columns"].tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("algorithm", ["bszstd", "trpx", "zip" * 1000])
def test_other_compressions_are_named_when_the_pixels_are_read(algorithm: str) -> None:
    data = {"c": tagged(40, [[2, 3], tagged(69, tagged(56500, [algorithm, 2, b"1234"]))])}
    image = image_of(image_message(data=data))
    assert image.image_id == 4
    with pytest.raises(
        DecodeError, match=f"compression '{algorithm[:9]}.*cannot be decoded: set the detector"
    ) as caught:
        _ = image.data
    assert len(str(caught.value)) < 250


def test_cut_pixels_are_a_decode_error(eiger16m: dict[str, bytes]) -> None:
    image = image_of(eiger16m["image"])
    array = image.read("data")["threshold_1"]
    for length in (0, 7, 11, 12, 100, 400_000):
        image.put(
            "data", {"c": tagged(40, [[4362, 4148], tagged(69, tagged(56500, ["bslz4", 2, array.payload[:length]]))])}
        )
        with pytest.raises(DecodeError, match="channel 'c'"):
            _ = image_of(encode(image)[0]).data


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({}, "no channel"),
        ([], "no channel"),
        (5, "no channel"),
        ({"c": b"1234"}, "is no array with rows and columns"),
        ({1: tagged(40, [[1, 1], tagged(64, b"1")])}, "channel 1 is no array"),
        ({"c": tagged(69, b"1234")}, "is no array with rows and columns"),
        ({"c": tagged(40, [[2, 3], b"1234"])}, r"tag 40 needs \[shape, array of numbers\]"),
        ({"c": tagged(40, b"")}, "tag 40 needs"),
        ({"c": tagged(40, [[2, 3], tagged(40, [[2], tagged(64, b"12")])])}, "tag 40 needs"),
        ({"c": tagged(40, [[6], tagged(64, b"123456")])}, "is no array with rows and columns"),
        ({"c": tagged(40, [[2, 3], tagged(69, b"1234")])}, r"4 bytes, \[2, 3\] of uint16 has 12"),
        ({"c": tagged(40, [[1 << 40, 1 << 40], tagged(69, b"1234")])}, "at most 2147483648 are accepted"),
        ({"c": tagged(40, [[2**64 - 1, 0], tagged(69, b"1234")])}, "4 bytes"),
        ({"c": tagged(40, [[-2, 3], tagged(69, b"1234")])}, "not a whole number"),
        ({"c": tagged(40, [[2.0, 3], tagged(69, b"1234")])}, "tag 40 needs"),
        ({"c": tagged(40, [[True, 3], tagged(69, b"1234")])}, "tag 40 needs"),
        ({"c": tagged(40, [[1] * 9, tagged(69, b"1234")])}, "9 dimensions"),
        ({"c": tagged(40, [[2, 3], tagged(83, b"1234")])}, "tag 83 is a type of number that is not supported"),
        ({"c": tagged(40, [[2, 3], tagged(76, b"1234")])}, "tag 76"),
        ({"c": tagged(40, [[2, 3], tagged(69, "1234")])}, "tag 69 needs bytes"),
        ({"c": tagged(40, [[2, 3], tagged(69, tagged(56500, b"1234"))])}, "tag 69 needs bytes"),
        ({"c": tagged(40, [[2, 3], tagged(69, tagged(56500, [1, 2, b"1234"]))])}, "tag 69 needs bytes"),
        ({"c": tagged(40, [[2, 3], tagged(69, tagged(56500, ["bslz4", 4, b"1"]))])}, "bslz4 of 4-byte elements"),
    ],
)
def test_pixels_that_cannot_be_an_array_are_refused_on_arrival(data: Any, text: str) -> None:
    with pytest.raises(DecodeError, match=text) as caught:
        decode([image_message(data=data)])
    assert caught.value.where.startswith("dectris-v2 image")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"data": None}, "no key 'data'"),
        ({"image_id": None}, "missing required field `image_id`"),
        ({"image_id": -1}, "`int` >= 0"),
        ({"image_id": 2**63}, "`int` <= 9223372036854775807"),
        ({"image_id": 2**400}, "image_id"),
        ({"image_id": 1.5}, "Expected `int`"),
        ({"series_id": "6"}, "Expected `int`"),
        ({"real_time": [1, 2, 3]}, "length 2"),
        ({"real_time": [1, "s"]}, r"\$.real_time\[1\]"),
        ({"real_time": tagged(2, bytes(100))}, "a big number"),
        ({"series_date": tagged(0, "yesterday")}, "series_date: 'yesterday' is not a date"),
        ({"series_date": tagged(0, 5e300)}, "is not a date"),
        ({"series_date": tagged(1, float("nan"))}, "is not a date"),
        ({"series_date": tagged(1, 10**18)}, "is not a date"),
        ({"series_date": tagged(0, [[]])}, "is not a date"),
        ({"series_date": 5}, "Expected `datetime . null`"),
        ({"type": 5}, "no text under 'type'"),
        ({"type": None}, "no text under 'type'"),
        ({"type": "start", "beam_center_x": "left"}, "beam_center_x"),
        ({"type": "start", "threshold_energy": {"a": "b"}}, "threshold_energy"),
        ({"type": "start", "threshold_energy": {1: 2.0}}, "threshold_energy"),
        ({"type": "start", "channels": ["a", 2]}, "channels"),
    ],
)
def test_fields_of_the_wrong_type_are_named(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(DecodeError, match=text):
        decode([image_message(**changes)])


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"", "ends at byte"),
        (b"\x81" * 200 + b"\x00", "more than .* levels"),
        (b"\xd8\x64" * 200 + b"\x00", "more than .* levels"),
        (b"\x9f" * 200 + b"\xff" * 200, "more than .* levels"),
        (b"\xa1\x00" * 200 + b"\x00", "more than .* levels"),
        (b"\x9b" + b"\xff" * 8, "items announced"),
        (b"\x9b\x00\x00\x01\x00\x00\x00\x00\x00", "items announced"),
        (b"\xbb" + b"\x7f" * 8, "items announced"),
        (b"\x5b" + b"\xff" * 8, "a string of 18446744073709551615 bytes"),
        (b"\x7b\x00\x00\x01\x00\x00\x00\x00\x00", "the message is cut"),
        (b"\x5f\x5f\xff\xff", "a string in chunks"),
        (b"\x5f\x61a\xff", "a string in chunks"),
        (b"\x5f\x41a", "ends at byte"),
        (b"\x5f\x00\xff", "a string in chunks"),
        (b"\x7f\x41a\xff", "a string in chunks"),
        (b"\x7f" * 40, "a string in chunks"),
        (b"\xbf\x00\xff", "after a key without value"),
        (b"\xff", "starts no item"),
        (b"\x1c", "starts no item"),
        (b"\x1f", "starts no item"),
        (b"\x1b\x00", "ends inside the item"),
        (b"\xd8\x1c\x81\xd8\x1d\x00", "tag 28 .references"),
        (b"\x81\xd8\x1d\x00", "tag 29 .references"),
        (b"\xd9\x01\x00\x81\xd8\x19\x00", "tag 256 .references"),
        (b"\x00\x00", "key that is no text"),
        (b"\x00\x61x\x00", "key 'x' at byte .* occurs twice"),
    ],
)
def test_hostile_cbor_is_refused_by_its_structure(raw: bytes, text: str) -> None:
    message = with_value(raw)
    if raw.startswith((b"\x00",)):
        message = b"\xa6" + message[1:]
    with pytest.raises(DecodeError, match=text):
        decode([message])


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"\xc2\x58\x80" + b"\xff" * 128, "a big number"),
        (b"\xc3\x01", "a big number"),
        (b"\xc0\x63abc", "'abc' is not a date"),
        (b"\xc1\xfb\x7f\xf0" + bytes(6), "inf is not a date"),
        (b"\x62\xff\xff", "not UTF-8"),
        (b"\xa1\x80\x00", "cannot be one"),
        (b"\xa2\x01\x00\x01\x00", "occurs twice"),
        (b"\xf8\x18", "simple value 24 is reserved"),
        (b"\xd8\x28\x00", "tag 40 needs"),
        (b"\xd9\x04\x10\x82\x81\x01\x01", "tag 1040 needs"),
    ],
)
def test_hostile_values_of_unknown_keys_are_refused_when_they_are_read(raw: bytes, text: str) -> None:
    image = image_of(with_value(raw))
    with pytest.raises(DecodeError, match=text):
        _ = image.extra
    with pytest.raises(DecodeError, match="DECTRIS_V2 message, x"):
        _ = image.x
    assert "x=<DECTRIS_V2 message, x" in str(image)
    assert image.data.tolist() == PIXELS.tolist()


def test_tags_that_other_readers_act_upon_are_left_as_they_are() -> None:
    # A regular expression, a decimal of 10**9 digits, a rational, a MIME message, an address.
    for raw in (b"\xd8\x23\x63(a+", b"\xc4\x82\x1a\x3b\x9a\xca\x00\x01", b"\xd8\x1e\x82\x01\x00", b"\xd8\x24\x61x"):
        value = image_of(with_value(raw)).x
        assert isinstance(value, cbor2.CBORTag)


@pytest.mark.parametrize("item", [b"\x80", b"\x00", b"\x40"])
def test_a_message_of_very_many_items_is_refused(item: bytes) -> None:
    with pytest.raises(DecodeError, match=f"more than {MAX_ITEMS} items"):
        decode([with_value(b"\x9a" + (1_000_000).to_bytes(4, "big") + item * 1_000_000)])


def test_a_string_of_very_many_chunks_is_refused() -> None:
    with pytest.raises(DecodeError, match=f"more than {MAX_ITEMS} items"):
        decode([with_value(b"\x5f" + b"\x40" * 1_000_000 + b"\xff")])


def test_many_empty_keys_are_refused() -> None:
    message = b"\xba\x00\x10\x00\x00" + b"".join(b"\x63" + i.to_bytes(3, "big") + b"\x00" for i in range(4))
    with pytest.raises(DecodeError, match="a map of 1048576 keys, 20 bytes are left"):
        decode([message])


@pytest.mark.parametrize(
    ("frames", "text"),
    [
        ([], "0 parts"),
        ([b"\xa0", b"\xa0"], "2 parts"),
        ([b""], "ends at byte 0"),
        ([SELF_DESCRIBED], "ends at byte 3"),
        ([SELF_DESCRIBED + SELF_DESCRIBED + b"\xa0"], "not a CBOR map"),
        ([b"\x80"], "not a CBOR map"),
        ([b'{"htype":"header"}'], "not a CBOR map"),
        ([b"\xa0"], "no text under 'type'"),
        ([b"\xbf"], "ends at byte 1"),
        ([b"\xa1\x64type\x63end"], "series_id"),
        ([b"\xa0\x00"], "1 bytes behind the map"),
    ],
)
def test_what_is_no_message_is_refused(frames: list[bytes], text: str) -> None:
    with pytest.raises(DecodeError, match=text):
        decode(frames)


def test_recorded_messages_cut_anywhere_are_a_decode_error(eiger16m: dict[str, bytes]) -> None:
    for name in ("start", "end"):
        for length in range(len(eiger16m[name])):
            with pytest.raises(DecodeError):
                decode([eiger16m[name][:length]])
    for length in [*range(400), 513_000]:
        with pytest.raises(DecodeError):
            decode([eiger16m["image"][:length]])


def test_any_buffer_will_do() -> None:
    for kind in (bytes, bytearray, memoryview):
        record = decode([kind(image_message())])
        assert isinstance(record, DectrisV2Image)
        assert record.data.tolist() == PIXELS.tolist()
        assert pickle.loads(pickle.dumps(record)) == record
        assert record.to_stream_data().typ == "DECTRIS_V2"


def test_an_image_without_pixels_says_so() -> None:
    with pytest.raises(AttributeError, match="no field 'data'"):
        _ = DectrisV2Image(series_id=1, image_id=2).data


def test_images_are_equal_by_what_they_say() -> None:
    first, second = image_of(image_message()), image_of(image_message()[3:])
    assert first == second
    second.image_id = 9
    assert first != second
    assert first != decode([SELF_DESCRIBED + cbor2.dumps({"type": "end", "series_id": 6})])
