"""DECTRIS stream V2: images and tables of its messages, and arrays that are none."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dectris_v2_messages import image_message, image_of, recorded_series, tagged
from glimt.codecs.dectris_v2 import DectrisV2Image, DectrisV2Start, decode, encode
from glimt.codecs.typed_array import EncodedArray
from glimt.model.errors import DecodeError


@pytest.fixture(scope="session")
def eiger16m(shared_data: Path) -> dict[str, bytes]:
    return recorded_series(shared_data)


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


def test_pixels_stay_where_they_are_until_they_are_read(eiger16m: dict[str, bytes]) -> None:
    message = eiger16m["image"]
    array = image_of(message).read("data")["threshold_1"]
    assert isinstance(array, EncodedArray)
    assert isinstance(array.payload, memoryview)
    assert array.payload.obj is message
    assert (array.compression, array.dtype, array.shape) == ("bslz4", "uint16", (4362, 4148))


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


def test_an_image_without_pixels_says_so() -> None:
    with pytest.raises(AttributeError, match="no field 'data'"):
        _ = DectrisV2Image(series_id=1, image_id=2).data
