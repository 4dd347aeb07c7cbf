"""Xspress3: a real recording, both framings, and messages that get lost."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from glimt.codecs.protocol import Packet, PacketKind
from glimt.codecs.xspress3 import META_KEYS, PROTOCOL, XspressEnd, XspressImage, XspressStart, decode, encode
from glimt.model.errors import DecodeError
from raw_recordings import recorded_messages

START = [b'{"htype":"header","filename":"/x.h5","overwritable":false}']
END = [b'{"htype":"series_end"}']
SPECTRA = np.arange(8, dtype="u4").reshape(2, 4)
COUNTERS = [np.full(2, number) for number in range(8)]


def image_parts(frame: int | str = 0, **changes: Any) -> list[bytes]:
    """An image of two channels and four bins, with keys of the header changed."""
    header = {
        "htype": "image",
        "frame": frame,
        "shape": [2, 4],
        "exptime": 0.1,
        "type": "uint32",
        "compression": "none",
    }
    return [json.dumps(header | changes).encode(), SPECTRA.tobytes(), pickle.dumps(COUNTERS)]


def push_all(*messages: list[bytes]) -> list[Packet]:
    assembler = PROTOCOL.assembler()
    return [packet for message in messages for packet in assembler.push(message)]


@pytest.fixture(scope="module")
def recording(shared_data: Path) -> list[list[bytes]]:
    """The messages of one scan of NanoMAX, three for each image."""
    return recorded_messages(shared_data / "dranspose" / "xspress3-dump.cbors")


def test_sixty_two_recorded_messages_are_a_series_of_twenty_images(recording: list[list[bytes]]) -> None:
    assert len(recording) == 62
    packets = push_all(*recording)
    assert [packet.kind for packet in packets] == [PacketKind.START, *[PacketKind.DATA] * 20, PacketKind.END]
    assert [packet.frame_number for packet in packets[1:-1]] == list(range(20))
    assert [len(packet.frames) for packet in packets] == [1, *[3] * 20, 1]


def test_recorded_packets_decode_and_come_back_byte_for_byte(recording: list[list[bytes]]) -> None:
    records = [decode(packet.frames) for packet in push_all(*recording)]
    start, image, end = records[0], records[1], records[-1]
    assert isinstance(start, XspressStart)
    assert start.filename.endswith("scan_000002_xspress3.hdf5")
    assert start.overwritable is False
    assert isinstance(image, XspressImage)
    assert (image.frame, image.shape, image.exptime, image.type) == (0, [4, 4096], 0.099999875, "uint32")
    assert (image.data.shape, image.data.dtype.name, image.data.sum()) == ((4, 4096), "uint32", 1)
    assert list(image.meta) == list(META_KEYS)
    np.testing.assert_array_equal(image.meta["AllEvents"], [2, 0, 0, 3])
    np.testing.assert_allclose(image.meta["dtc"], [1.00000175, 1.0, 1.0, 1.000014])
    assert isinstance(end, XspressEnd)
    for packet, record in zip(push_all(*recording), records, strict=True):
        assert encode(record) == packet.frames
        assert pickle.loads(pickle.dumps(record)) == record


def test_an_image_in_one_message_is_the_same_packet_as_in_three() -> None:
    parts = image_parts(7)
    together = push_all(START, parts, END)
    apart = push_all(START, [parts[0]], [parts[1]], [parts[2]], END)
    assert together == apart
    assert together[1] == Packet(PacketKind.DATA, parts, 7)


def test_frames_of_zmq_decode() -> None:
    frames: list[Any] = [zmq.Frame(part) for part in image_parts()]
    image = decode(frames)
    assert isinstance(image, XspressImage)
    np.testing.assert_array_equal(image.data, SPECTRA)
    assert encode(image) == image_parts()


@pytest.mark.parametrize("lost", [1, 2])
def test_an_image_with_a_lost_part_is_no_event_and_the_next_one_is(lost: int) -> None:
    first = [[part] for part in image_parts(0)]
    del first[lost]
    second = [[part] for part in image_parts(1)]
    assembler = PROTOCOL.assembler()
    packets: list[Packet] = []
    errors = 0
    for message in [START, *first, *second, END]:
        try:
            packets += assembler.push(message)
        except DecodeError:
            errors += 1
    assert [packet.frame_number for packet in packets if packet.kind is PacketKind.DATA] == [1]
    assert [packets[0].kind, packets[-1].kind] == [PacketKind.START, PacketKind.END]
    others = sum(packet.kind is PacketKind.OTHER for packet in packets)
    # Counters cannot follow a header; the header of the next image can follow spectra.
    assert (errors, others) == ((1, 0) if lost == 1 else (0, 1))


def test_an_image_without_its_header_is_two_errors() -> None:
    assembler = PROTOCOL.assembler()
    for part in image_parts()[1:]:
        with pytest.raises(DecodeError, match="xspress3, part 0"):
            assembler.push([part])
    assert [packet.kind for packet in assembler.push(image_parts(1))] == [PacketKind.DATA]


def test_spectra_that_look_like_a_header_are_spectra() -> None:
    spectra = b'{"htype":"series_end"}'.ljust(32)
    parts = image_parts()
    assert push_all([parts[0]], [spectra], [parts[2]])[0].frames[1] == spectra


def test_an_image_is_made_as_dranspose_makes_it() -> None:
    image = XspressImage(frame=3, shape=[2, 4], type="uint32")
    assert str(image) == "htype='image' frame=3 shape=[2, 4] exptime=1 type='uint32' compression='none'"
    assert not hasattr(image, "data")
    image.data = SPECTRA
    image.meta = dict(zip(META_KEYS, COUNTERS, strict=True))
    read = decode(image.to_stream_data().frames)
    assert isinstance(read, XspressImage)
    np.testing.assert_array_equal(read.data, SPECTRA)
    np.testing.assert_array_equal(read.meta["dtc"], COUNTERS[7])
    keys: dict[str, Any] = {"type": "uint32", "data": SPECTRA, "meta": image.meta}
    assert XspressImage(frame=3, shape=[2, 4], **keys) == image
    assert image.model_dump(exclude={"data", "meta"})["frame"] == 3
    assert image.model_dump()["data"] is image.data


def test_spectra_that_were_assigned_are_what_is_sent() -> None:
    image = decode(image_parts())
    assert isinstance(image, XspressImage)
    image.data = SPECTRA + 1
    again = decode(encode(image))
    assert isinstance(again, XspressImage)
    np.testing.assert_array_equal(again.data, SPECTRA + 1)
    np.testing.assert_array_equal(again.meta["dtc"], COUNTERS[7])


@pytest.mark.parametrize(
    ("message", "what"),
    [
        ([], "a message without parts"),
        (image_parts()[:2], "xspress3 image: 2 parts, 3 are needed"),
        (START * 2, "2 parts, a message has 1"),
        (image_parts(shape=[2, 5]), r"xspress3 image, part 1: 32 bytes of spectra, \[2, 5\] of uint32 has 40"),
        (image_parts(shape=[1 << 40, 1 << 40]), "xspress3 image, part 0: shape"),
        (image_parts(type="object"), "xspress3 image, part 0: type 'object'"),
        (image_parts(compression="bslz4"), "compression 'bslz4'; only 'none' is known"),
        (image_parts(frame="0"), "xspress3 image, part 0: bad header"),
        ([b'{"htype":"picture"}'], "htype 'picture' is not one of header, image, series_end"),
        ([b'{"filename":"x"}'], "no 'htype'"),
    ],
)
def test_what_is_no_message_is_refused(message: list[bytes], what: str) -> None:
    with pytest.raises(DecodeError, match=what):
        decode(message)


def test_counters_that_are_no_list_are_an_error_when_they_are_read() -> None:
    image = decode([*image_parts()[:2], pickle.dumps({"ocr": 1})])
    assert isinstance(image, XspressImage)
    with pytest.raises(DecodeError, match="xspress3 image, part 2: a pickled dict, not a list of counters"):
        _ = image.meta
