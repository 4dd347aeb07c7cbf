"""DECTRIS stream V1: real recordings, messages made here, and messages that no detector would send."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glimt.codecs.dectris_v1 import (
    PROTOCOL,
    DectrisV1Image,
    decode,
    encode,
)
from glimt.codecs.dectris_v1_header import COUNTRATE_TABLE, FLATFIELD, PIXEL_MASK, DectrisV1Header
from glimt.codecs.dectris_v1_pixels import DectrisV1Times, pixel_packing
from glimt.codecs.protocol import PacketKind
from glimt.model.errors import DecodeError

END = b'{"htype":"dseries_end-1.0","series":6}'
TABLES = {
    FLATFIELD: np.linspace(0.9, 1.1, 6, dtype=np.float32).reshape(2, 3),
    PIXEL_MASK: np.arange(6, dtype=np.uint32).reshape(2, 3),
    COUNTRATE_TABLE: np.arange(8, dtype=np.float32).reshape(4, 2),
}
CONFIG = {
    "nimages": 10,
    "ntrigger": 3,
    "trigger_mode": "ints",
    "x_pixels_in_detector": 3,
    "y_pixels_in_detector": 2,
}


@pytest.fixture(scope="session")
def eiger4m(shared_data: Path) -> dict[int, bytes]:
    """Parts of the recording by number; 4 and 6 (the numbers of the flat field and the mask) were never published."""
    folder = shared_data / "dectris" / "stream_v1_eiger4m"
    return {int(path.name.split("_")[1]): path.read_bytes() for path in folder.iterdir()}


def image_frames(**changes: Any) -> list[bytes]:
    """An image of 2 rows and 3 columns, uncompressed, with keys of part 1 changed."""
    layout = {"encoding": "<", "htype": "dimage_d-1.0", "shape": [3, 2], "size": 12, "type": "uint16"} | changes
    return [
        b'{"frame":4,"hash":"x","htype":"dimage-1.0","series":6}',
        json.dumps(layout).encode(),
        np.arange(6, dtype="<u2").tobytes(),
        b'{"htype":"dconfig-1.0","real_time":1,"start_time":2,"stop_time":3}',
    ]


def test_recorded_images_decode_to_rows_and_columns(eiger4m: dict[int, bytes]) -> None:
    for first, frame in ((10, 0), (14, 1), (18, 2)):
        frames = [eiger4m[first + part] for part in range(4)]
        image = decode(frames)
        assert isinstance(image, DectrisV1Image)
        assert (image.frame, image.series, image.appendix) == (frame, 6, None)
        assert image.times.real_time == json.loads(frames[3])["real_time"]
        assert image.data.shape == (2167, 2070)
        assert image.data.dtype == np.uint16
        # Module gaps of an EIGER 4M: 37 rows or 10 columns of pixels that are not there.
        assert (image.data[514:551] == 65535).all()
        assert (image.data[:, 1030:1040] == 65535).all()
        assert (image.data[:514, :1030] != 65535).mean() > 0.99
        assert encode(image) == frames


def test_recorded_header_without_its_missing_blobs_says_how_many_parts_there_should_be(
    eiger4m: dict[int, bytes],
) -> None:
    frames = [eiger4m[part] for part in (1, 2, 3, 5, 7, 8, 9)]
    with pytest.raises(DecodeError, match=r"7 parts, with header_detail 'all' there are 8, or 9 with an appendix"):
        decode(frames)


def test_recorded_header_with_stub_blobs_decodes(eiger4m: dict[int, bytes]) -> None:
    n_pixels = 2070 * 2167
    frames = [eiger4m[part] for part in (1, 2, 3)] + [bytes(4 * n_pixels), eiger4m[5], bytes(4 * n_pixels)]
    frames += [eiger4m[part] for part in (7, 8, 9)]
    header = decode(frames)
    assert isinstance(header, DectrisV1Header)
    assert header.series == 6
    assert header.number_of_images == 10
    assert header.image_shape == (2167, 2070)
    assert header.config["description"] == "Dectris Eiger 4M"
    assert header.appendix == b'{"acqID": "test_1"}'
    assert header.flatfield is not None
    assert header.flatfield.shape == (2167, 2070)
    assert header.pixel_mask is not None
    assert header.pixel_mask.dtype == np.uint32
    table = header.countrate_table
    assert table is not None
    assert table.shape == (4000, 2)
    assert (np.diff(table[:, 0]) > 0).all()
    assert encode(header) == frames


def test_a_cut_table_is_an_error_only_when_it_is_read() -> None:
    frames = encode(DectrisV1Header.make(series=1, config=CONFIG, tables=TABLES))
    frames[5] = frames[5][:-1]
    header = decode(frames)
    assert isinstance(header, DectrisV1Header)
    assert header.flatfield is not None
    with pytest.raises(DecodeError, match=r"dpixelmask-1\.0: 23 bytes"):
        _ = header.pixel_mask


def test_recorded_series_end_decodes(eiger4m: dict[int, bytes]) -> None:
    end = decode([eiger4m[22]])
    assert end.series == 6
    assert encode(end) == [eiger4m[22]]


@pytest.mark.parametrize("appendix", [None, b"", b"\xff\x00 anything"])
@pytest.mark.parametrize(
    ("detail", "config", "tables", "n_parts"),
    [("none", None, None, 1), ("basic", CONFIG, None, 2), ("all", CONFIG, TABLES, 8)],
)
def test_headers_of_every_detail_come_back(
    detail: str, config: dict[str, Any] | None, tables: Any, n_parts: int, appendix: bytes | None
) -> None:
    frames = encode(DectrisV1Header.make(series=3, config=config, tables=tables, appendix=appendix))
    header = decode(frames)
    assert isinstance(header, DectrisV1Header)
    assert len(frames) == n_parts + (appendix is not None)
    assert header.header_detail == detail
    assert header.config == (config or {})
    assert header.appendix == appendix
    found = {FLATFIELD: header.flatfield, PIXEL_MASK: header.pixel_mask, COUNTRATE_TABLE: header.countrate_table}
    for kind, array in found.items():
        np.testing.assert_equal(array, None if tables is None else tables[kind])
    assert encode(header) == frames


@pytest.mark.parametrize(
    ("mode", "expected"), [("ints", 30), ("exts", 30), ("inte", 3), ("exte", 3), ("new", None), (None, None)]
)
def test_number_of_images_follows_from_the_trigger_mode(mode: str | None, expected: int | None) -> None:
    header = DectrisV1Header.make(series=1, config=CONFIG | {"trigger_mode": mode})
    assert header.number_of_images == expected


def test_number_of_images_is_unknown_without_configuration() -> None:
    assert DectrisV1Header.make(series=1).number_of_images is None
    assert DectrisV1Header.make(series=1).image_shape is None


def test_number_of_images_that_is_no_number_is_refused() -> None:
    header = DectrisV1Header.make(series=1, config=CONFIG | {"ntrigger": "many"})
    with pytest.raises(DecodeError, match="ntrigger 'many' is not a whole number"):
        _ = header.number_of_images


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32"])
@pytest.mark.parametrize("compression", ["none", "lz4", "bslz4"])
def test_images_of_every_encoding_come_back(compression: str, dtype: str) -> None:
    pixels = (np.arange(35 * 50).reshape(35, 50) % 251).astype(dtype)
    made = DectrisV1Image.make(
        pixels, series=3, frame=7, compression=compression, times=DectrisV1Times(real_time=1, start_time=2, stop_time=3)
    )
    frames = encode(made)
    image = decode(frames)
    assert isinstance(image, DectrisV1Image)
    assert image == made
    assert (image.times.start_time, image.layout.shape) == (2, [50, 35])
    np.testing.assert_array_equal(image.data, pixels)
    assert encode(image) == frames


def test_lz4_pixels_have_no_sizes_in_front() -> None:
    frames = encode(DectrisV1Image.make(np.zeros((64, 64), "u4"), series=1, frame=0, compression="lz4"))
    assert json.loads(frames[1])["encoding"] == "lz4<"
    assert int.from_bytes(frames[2][:8], "big") != 64 * 64 * 4


def test_big_endian_pixels_come_out_in_machine_order() -> None:
    frames = image_frames(encoding=">")
    frames[2] = np.arange(6, dtype=">u2").tobytes()
    image = decode(frames)
    assert isinstance(image, DectrisV1Image)
    np.testing.assert_array_equal(image.data, np.arange(6, dtype=np.uint16).reshape(2, 3))


def test_the_hash_is_never_checked() -> None:
    image = decode(image_frames())
    assert isinstance(image, DectrisV1Image)
    assert image.hash == "x"
    assert image.data.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_unknown_keys_of_all_parts_survive() -> None:
    frames = image_frames(gain="high")
    image = decode(frames)
    assert isinstance(image, DectrisV1Image)
    assert image.layout.gain == "high"
    image.frame = 9
    changed = decode(encode(image))
    assert isinstance(changed, DectrisV1Image)
    assert (changed.frame, changed.layout.gain, changed.series) == (9, "high", 6)


def test_images_travel_between_processes() -> None:
    views = [memoryview(part) for part in image_frames()]
    image = pickle.loads(pickle.dumps(decode(views)))
    assert image.data[1, 2] == 5
    assert pickle.loads(pickle.dumps(image.times)).stop_time == 3
    assert pickle.loads(pickle.dumps(image.layout)).shape == [3, 2]


def test_image_prints_without_decoding_its_pixels() -> None:
    frames = image_frames()
    frames[2] = b""
    assert "frame=4" in str(decode(frames))


@pytest.mark.parametrize(
    ("encoding", "dtype", "expected"),
    [
        ("bs32-lz4<", "uint32", ("bslz4", "hdf5", False)),
        ("bs16lz4", "uint16", ("bslz4", "hdf5", False)),
        ("bs8-lz4>", "uint8", ("bslz4", "hdf5", True)),
        ("lz4<", "uint32", ("lz4", "bare", False)),
        ("<", "uint32", ("none", "bare", False)),
        ("", "uint32", ("none", "bare", False)),
    ],
)
def test_encodings_are_understood(encoding: str, dtype: str, expected: tuple[str, str, bool]) -> None:
    assert pixel_packing(encoding, dtype, where="test") == expected


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("bs32-lz4<", "does not fit elements of type uint16"),
        ("bs12-lz4<", "is none of"),
        ("bs16<", "is none of"),
        ("zstd<", "is none of"),
        ("lz4<\n", "is none of"),
        ("x" * 1000, "is none of"),
    ],
)
def test_other_encodings_are_refused(encoding: str, text: str) -> None:
    with pytest.raises(DecodeError, match=text) as caught:
        decode(image_frames(encoding=encoding))
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"shape": [1 << 40, 1 << 40]}, "at most 2147483648 are accepted"),
        ({"shape": [3, -2]}, "whole number of pixels"),
        ({"shape": [6]}, r"not \[columns, rows\]"),
        ({"shape": [1, 2, 3]}, r"not \[columns, rows\]"),
        ({"shape": []}, "0 dimensions"),
        ({"shape": "3x2"}, r"Expected `array`"),
        ({"shape": [3.0, 2]}, r"Expected `int`"),
        ({"type": "object"}, "is not one of"),
        ({"type": 5}, r"Expected `str`"),
        ({"size": -1}, r"Expected `int` >= 0"),
        ({"htype": "dimage-1.0"}, r"Invalid enum value"),
    ],
)
def test_part_1_that_describes_no_image_is_refused_before_any_pixel(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(DecodeError, match=text) as caught:
        decode(image_frames(**changes))
    assert caught.value.where == "dectris-v1 image, part 1"


def test_cut_pixels_say_how_many_bytes_were_announced() -> None:
    frames = image_frames()
    frames[2] = frames[2][:5]
    image = decode(frames)
    assert isinstance(image, DectrisV1Image)
    with pytest.raises(DecodeError, match=r"part 2: 5 bytes of pixels where the header announces 12"):
        _ = image.data


def test_pixels_of_the_wrong_size_that_the_header_announces_are_refused() -> None:
    image = decode(image_frames(shape=[3, 3]))
    assert isinstance(image, DectrisV1Image)
    with pytest.raises(DecodeError, match="12 bytes"):
        _ = image.data


def test_compressed_pixels_cut_anywhere_are_a_decode_error() -> None:
    pixels = np.random.default_rng(1).integers(0, 900, (70, 90), dtype=np.uint16)
    frames = encode(DectrisV1Image.make(pixels, series=1, frame=0))
    for length in [*range(30), *range(30, len(frames[2]), 97)]:
        image = decode([*frames[:2], frames[2][:length], frames[3]])
        assert isinstance(image, DectrisV1Image)
        with pytest.raises(DecodeError, match=f"{length} bytes of pixels where the header announces"):
            _ = image.data


@pytest.mark.parametrize("n_parts", [1, 2, 3, 6])
def test_images_with_too_few_or_too_many_parts_are_refused(n_parts: int) -> None:
    with pytest.raises(DecodeError, match=f"{n_parts} parts, an image has 4, or 5"):
        decode([*image_frames(), b"", b""][:n_parts])


@pytest.mark.parametrize(
    ("part", "content", "text"),
    [
        (0, b"{", "part 0: bad header"),
        (0, b'{"frame":-1,"htype":"dimage-1.0","series":6}', "`int` >= 0"),
        (0, b'{"frame":99999999999999999999,"htype":"dimage-1.0","series":6}', "`int` <= 9223372036854775807"),
        (0, b'{"htype":"dimage-1.0","series":6}', "missing required field `frame`"),
        (1, b"[]", "part 1: bad header"),
        (3, b"", "part 3: bad header"),
        (3, b'{"htype":"dconfig-1.0","real_time":"long"}', "part 3: bad header"),
        (3, b"[" * 100_000, "part 3: bad header"),
        (3, b'{"htype":"\xff"}', "part 3: bad header"),
        (1, b'{"x":[' + b"{}," * 400_000 + b"{}]}", "part 1: 1200010 bytes of JSON, at most 1048576"),
        (0, b'{"frame":0,"htype":"dimage-1.0","series":6,"\x80":1}', "part 0: bad header"),
        (0, b'{"frame":0,"htype":"dimage-1.0","series":6,"x":1e400}', "part 0: bad header"),
        (3, b'{"real_time":1,"start_time":2,"stop_time":3,"x":' + b"9" * 5000 + b"}", "part 3: bad header"),
    ],
)
def test_malformed_parts_are_named(part: int, content: bytes, text: str) -> None:
    frames = image_frames()
    frames[part] = content
    with pytest.raises(DecodeError, match=text):
        decode(frames)


@pytest.mark.parametrize(
    ("frames", "text"),
    [
        ([], "without parts"),
        ([b""], "part 0: bad header"),
        ([b'{"htype":"dimage-2.0"}'], "htype 'dimage-2.0' is not one of"),
        ([b'{"htype":"header","msg_number":1,"filename":""}'], "htype 'header' is not one of"),
        ([b'{"htype":"dheader-1.0","series":1}'], "header_detail"),
        ([b'{"htype":"dheader-1.0","header_detail":"some","series":1}'], "Invalid enum value 'some'"),
        ([b'{"htype":"dheader-1.0","header_detail":"basic","series":1}'], "1 parts"),
        ([b'{"htype":"dheader-1.0","header_detail":"basic","series":1}', b"[]"], "part 1"),
        ([b'{"htype":"dseries_end-1.0"}'], "series"),
    ],
)
def test_what_is_no_message_is_refused(frames: list[bytes], text: str) -> None:
    with pytest.raises(DecodeError, match=text):
        decode(frames)


@pytest.mark.parametrize(
    ("part", "content", "text"),
    [
        (2, b'{"htype":"dnew-1.0","shape":[3,2],"type":"float32"}', "part 2: bad header"),
        (2, b'{"htype":"dpixelmask-1.0","shape":[3,2],"type":"float32"}', "occurs twice"),
        (4, b'{"htype":"dpixelmask-1.0","shape":[300000,200000],"type":"uint32"}', "part 4: shape"),
        (6, b"", "part 6: bad header"),
    ],
)
def test_malformed_tables_are_named(part: int, content: bytes, text: str) -> None:
    frames = encode(DectrisV1Header.make(series=1, config=CONFIG, tables=TABLES))
    frames[part] = content
    with pytest.raises(DecodeError, match=text):
        decode(frames)


def test_a_header_with_some_tables_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="all of"):
        DectrisV1Header.make(series=1, config=CONFIG, tables={FLATFIELD: TABLES[FLATFIELD]})


def test_messages_of_a_recording_become_packets(eiger4m: dict[int, bytes]) -> None:
    assembler = PROTOCOL.assembler()
    messages = [[eiger4m[first + part] for part in range(4)] for first in (10, 14, 18)] + [[eiger4m[22]]]
    packets = [packet for message in messages for packet in assembler.push(message)]
    assert [(packet.kind, packet.frame_number) for packet in packets] == [
        (PacketKind.DATA, 0),
        (PacketKind.DATA, 1),
        (PacketKind.DATA, 2),
        (PacketKind.END, None),
    ]
    assert packets[1].frames == messages[1]


def test_leftovers_of_an_aborted_series_are_no_events() -> None:
    assembler = PROTOCOL.assembler()
    start = encode(DectrisV1Header.make(series=7))
    of_new = encode(DectrisV1Image.make(np.zeros((2, 2), "u2"), series=7, frame=0))
    kinds = [assembler.push(message)[0].kind for message in (image_frames(), start, image_frames(), [END], of_new)]
    assert kinds == [PacketKind.DATA, PacketKind.START, PacketKind.OTHER, PacketKind.OTHER, PacketKind.DATA]


def test_assembler_goes_on_after_a_bad_message() -> None:
    assembler = PROTOCOL.assembler()
    with pytest.raises(DecodeError):
        assembler.push([b"junk"])
    assert assembler.push([END])[0].kind is PacketKind.END


def test_records_keep_the_type_name_of_existing_captures() -> None:
    assert PROTOCOL.typ == "EIGER_LEGACY"
    assert decode([END]).to_stream_data().typ == "EIGER_LEGACY"
