from __future__ import annotations

import pickle

import numpy as np
import pytest
import zmq

from glimt.codecs import stins
from glimt.codecs.protocol import PacketKind
from glimt.model.errors import DecodeError

HEADER = (
    b'{"htype": "image", "frame": 3, "shape": [2, 3], "type": "uint16", "compression": "none", "msg_number": 4,'
    b' "exposure_time": 0.1}'
)
PIXELS = np.arange(6, dtype=np.uint16).tobytes()


def test_image_is_decoded_without_a_copy_and_encoded_byte_for_byte() -> None:
    image = stins.decode([HEADER, PIXELS])
    assert isinstance(image, stins.StinsImage)
    assert (image.msg_number, image.frame, image.shape, image.type, image.compression) == (
        4,
        3,
        [2, 3],
        "uint16",
        "none",
    )
    assert image.data.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert not image.data.flags.writeable
    assert stins.encode(image) == [HEADER, PIXELS]


def test_frames_of_zeromq_are_read_as_they_are() -> None:
    image = stins.decode([zmq.Frame(HEADER), zmq.Frame(PIXELS)])
    assert image.data.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert image.exposure_time == 0.1


def test_keys_of_the_beamline_stay_readable() -> None:
    image = stins.decode([HEADER, PIXELS])
    assert image.extra == {"exposure_time": 0.1}
    assert image.exposure_time == 0.1
    with pytest.raises(AttributeError, match=r"has no field 'temperature'; it has .*exposure_time"):
        _ = image.temperature


def test_a_changed_field_is_encoded_with_the_extra_keys_kept() -> None:
    image = stins.decode([HEADER, PIXELS])
    image.frame = 9
    again = stins.decode(stins.encode(image))
    assert (again.frame, again.exposure_time) == (9, 0.1)


def test_printed_form_is_the_one_of_dranspose() -> None:
    start = stins.decode([b'{"htype":"header","msg_number":0,"filename":""}'])
    assert str(start) == "msg_number=0 htype='header' filename=''"
    assert str(stins.decode([HEADER, PIXELS])).startswith(
        "msg_number=4 htype='image' frame=3 shape=[2, 3] type='uint16' compression='none' exposure_time=0.1 data=array("
    )


def test_start_with_detector_metadata_in_a_second_part() -> None:
    frames = [b'{"htype":"header","msg_number":0,"filename":"/x.h5"}', b'{"photon_energy":12800.0}']
    start = stins.decode(frames)
    assert start.details == [{"photon_energy": 12800.0}]
    assert stins.encode(start) == frames


@pytest.mark.parametrize("compression", ["none", "lz4", "bslz4"])
def test_an_image_made_in_python_makes_the_round_trip(compression: str) -> None:
    data = np.random.default_rng(1).poisson(2, (31, 17)).astype(np.uint32)
    image = stins.StinsImage(
        htype="image", msg_number=1, frame=0, shape=data.shape, type="uint32", compression=compression
    )
    image.data = data
    again = stins.decode(image.to_stream_data().frames)
    assert np.array_equal(again.data, data)
    assert again == pickle.loads(pickle.dumps(again))


@pytest.mark.parametrize(
    ("frames", "says"),
    [
        ([], "without parts"),
        ([b""], "part 0"),
        ([b"{"], "part 0"),
        ([b'{"htype":"image"}', PIXELS], "missing required field"),
        ([HEADER], "1 parts, 2 are needed"),
        ([HEADER, PIXELS, PIXELS], "3 parts, 2 are needed"),
        ([HEADER, PIXELS[:-1]], "11 bytes of pixels, [2, 3] of uint16 has 12"),
        ([HEADER.replace(b"[2, 3]", b"[1099511627776, 1024]"), PIXELS], "at most 2147483648 are accepted"),
        ([HEADER.replace(b"[2, 3]", b"[-2, -3]"), PIXELS], "not a whole number"),
        ([HEADER.replace(b"[2, 3]", b"[2.5, 3]"), PIXELS], "shape"),
        ([HEADER.replace(b"[2, 3]", b"[]"), PIXELS], "0 dimensions"),
        ([HEADER.replace(b"uint16", b"object"), PIXELS], "'object' is not one of"),
        ([HEADER.replace(b'"none"', b'"zip"'), PIXELS], "compression 'zip' is not one of none, lz4, bslz4"),
        ([HEADER.replace(b'"image"', b'"picture"'), PIXELS], "htype 'picture' is not one of"),
        ([b'{"htype":"header","msg_number":0,"filename":""}', b"\xff"], "part 1"),
        ([b'{"htype":"header","msg_number":"zero","filename":""}'], "msg_number"),
        ([b"[" * 100_000], "part 0"),
        ([HEADER.replace(b'"exposure_time"', b'"(glimt payload)"'), PIXELS], "(glimt payload)"),
    ],
)
def test_a_bad_message_is_an_error_that_names_the_part(frames: list[bytes], says: str) -> None:
    with pytest.raises(DecodeError) as error:
        stins.decode(frames)
    assert says in str(error.value)
    assert "stins" in str(error.value)


def test_packets_are_start_data_end() -> None:
    assembler = stins.PROTOCOL.assembler()
    kinds = [
        assembler.push(parts)[0]
        for parts in (
            [b'{"htype":"header","msg_number":0,"filename":""}'],
            [HEADER, PIXELS],
            [b'{"htype":"series_end","msg_number":5}'],
        )
    ]
    assert [packet.kind for packet in kinds] == [PacketKind.START, PacketKind.DATA, PacketKind.END]
    assert [packet.frame_number for packet in kinds] == [None, 3, None]
