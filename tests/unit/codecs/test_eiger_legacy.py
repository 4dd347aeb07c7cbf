"""DECTRIS stream V1 as analyses written for dranspose see it."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import cbor2
import numpy as np
import pytest
import zmq

from glimt.codecs import dectris_v1
from glimt.codecs.dectris_v1 import DectrisV1Image
from glimt.codecs.dectris_v1_header import DectrisV1Header
from glimt.codecs.eiger_legacy import PROTOCOL, decode, encode
from glimt.codecs.protocol import PacketKind
from glimt.compat.dranspose.data.eiger_legacy import (
    EigerLegacy,
    EigerLegacyEnd,
    EigerLegacyHeader,
    EigerLegacyImage,
    EigerLegacyPacket,
)
from glimt.compat.dranspose.middlewares.eiger_legacy import parse
from glimt.model.errors import DecodeError
from glimt.model.event import StreamData


@pytest.fixture(scope="session")
def messages(shared_data: Path) -> list[list[bytes]]:
    """A recorded series of an EIGER2 9M: header, three images whose pixels were cut to 20 kB, end."""
    found: list[list[bytes]] = []
    with (shared_data / "dranspose" / "eiger-small.cbors").open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        while file.tell() < size:
            found.append([bytes(part) for part in cbor2.load(file)])
    return found


def test_recorded_header_has_configuration_and_appendix(messages: list[list[bytes]]) -> None:
    packet = parse(StreamData("EIGER_LEGACY", messages[0]))
    assert isinstance(packet, EigerLegacyHeader)
    assert isinstance(packet, EigerLegacy)
    assert (packet.htype, packet.header_detail, packet.series) == ("dheader-1.0", "all", 6)
    assert packet.info["description"] == "Dectris EIGER2 CdTe 9M"
    assert packet.info["x_pixels_in_detector"] == 3108
    assert packet.appendix["collect_dict"]["col_id"] == 128579
    assert encode(packet) == messages[0]


def test_recorded_images_keep_their_cut_pixels(messages: list[list[bytes]]) -> None:
    for number, message in enumerate(messages[1:-1]):
        packet = parse(StreamData("EIGER_LEGACY", message))
        assert isinstance(packet, EigerLegacyImage)
        assert (packet.frame, packet.series) == (number, 6)
        assert packet.data["encoding"] == "bs32-lz4<"
        assert packet.data["shape"] == [3108, 3262]
        assert packet.data["size"] > 700_000
        assert packet.data["buffer"] == message[2]
        assert packet.config["real_time"] == 9999900
        assert encode(packet) == message


def test_recorded_end_decodes(messages: list[list[bytes]]) -> None:
    packet = parse(StreamData("EIGER_LEGACY", messages[-1]))
    assert isinstance(packet, EigerLegacyEnd)
    assert packet.series == 6


def test_cut_pixels_are_a_decode_error_that_says_so_when_they_are_read(messages: list[list[bytes]]) -> None:
    image = dectris_v1.decode(messages[1])
    assert isinstance(image, DectrisV1Image)
    with pytest.raises(DecodeError, match="20000 bytes of pixels where the header announces 755083"):
        _ = image.data


def test_header_of_the_recording_has_its_tables_as_far_as_they_were_kept(messages: list[list[bytes]]) -> None:
    header = dectris_v1.decode(messages[0])
    assert isinstance(header, DectrisV1Header)
    assert header.number_of_images == 3
    assert header.countrate_table is not None
    assert header.countrate_table.shape == (1001, 2)
    with pytest.raises(DecodeError, match="20000 bytes"):
        _ = header.flatfield


def test_the_recording_becomes_packets(messages: list[list[bytes]]) -> None:
    assembler = PROTOCOL.assembler()
    packets = [packet for message in messages for packet in assembler.push(message)]
    assert [packet.kind for packet in packets] == [PacketKind.START, *[PacketKind.DATA] * 3, PacketKind.END]
    assert [packet.frame_number for packet in packets[1:4]] == [0, 1, 2]


def test_frames_of_a_live_run_are_understood(messages: list[list[bytes]]) -> None:
    live: list[Any] = [zmq.Frame(part) for part in messages[2]]
    packet = parse(StreamData("EIGER_LEGACY", live))
    assert isinstance(packet, EigerLegacyImage)
    assert type(packet.data["buffer"]) is bytes
    assert packet.data["buffer"] == messages[2][2]
    image = dectris_v1.decode(live)
    assert isinstance(image, DectrisV1Image)
    assert image.frame == 1


def test_what_user_code_writes_into_a_packet_stays(messages: list[list[bytes]]) -> None:
    packet = decode(messages[1])
    assert isinstance(packet, EigerLegacyImage)
    packet.data["pixels"] = 5
    assert packet.data["pixels"] == 5


def test_packets_travel_between_processes(messages: list[list[bytes]]) -> None:
    for message in messages:
        packet = decode(message)
        assert pickle.loads(pickle.dumps(packet)) == packet


def test_packets_print_like_those_of_dranspose(messages: list[list[bytes]]) -> None:
    text = str(decode(messages[1]))
    assert "frame=0" in text
    assert "config={'htype': 'dconfig-1.0', 'real_time': 9999900" in text
    assert "series=6" in str(decode(messages[0]))


def test_header_without_appendix_and_configuration_has_neither() -> None:
    packet = decode(DectrisV1Header.make(series=2).to_frames())
    assert isinstance(packet, EigerLegacyHeader)
    assert packet.info == {}
    assert packet.appendix is None


def test_appendix_that_is_no_json_is_given_as_it_is() -> None:
    packet = decode(DectrisV1Header.make(series=2, config={"a": 1}, appendix=b"sample 5").to_frames())
    assert isinstance(packet, EigerLegacyHeader)
    assert packet.appendix == b"sample 5"
    assert packet.info == {"a": 1}


def test_a_packet_made_of_one_part_says_what_it_lacks() -> None:
    with pytest.raises(AttributeError, match="has no field 'data'"):
        _ = EigerLegacyImage(frame=3).data


@pytest.mark.parametrize(
    ("frames", "text"),
    [
        ([], "without parts"),
        ([b"x"], "part 0"),
        ([b'{"htype":"image"}'], "htype 'image' is not one of"),
        ([b'{"htype":"dimage-1.0","frame":0,"series":1}'], "1 parts, an image has 4"),
        ([b'{"htype":"dimage-1.0","frame":"a","series":1}', b"", b"", b""], "frame"),
        ([b'{"htype":"dheader-1.0","header_detail":"all","series":1}'], "1 parts"),
    ],
)
def test_what_is_no_message_is_refused(frames: list[bytes], text: str) -> None:
    with pytest.raises(DecodeError, match=text):
        decode(frames)


def test_data_of_another_protocol_is_refused() -> None:
    with pytest.raises(DecodeError, match="'STINS', 'EIGER_LEGACY' is needed"):
        parse(StreamData("STINS", [b'{"htype":"dseries_end-1.0","series":6}']))


def test_images_made_by_the_codec_have_the_shape_fast_axis_first() -> None:
    packet = decode(DectrisV1Image.make(np.zeros((2, 3), "u4"), series=1, frame=0, appendix=b"{}").to_frames())
    assert isinstance(packet, EigerLegacyImage)
    assert packet.data["shape"] == [3, 2]


def test_first_parts_alone_tell_the_message_as_in_ingesters_written_for_dranspose() -> None:
    packet = EigerLegacyPacket.validate_json(b'{"htype":"dimage-1.0","frame":3,"series":1}')
    assert isinstance(packet, EigerLegacyImage)
    assert packet.frame == 3
    assert isinstance(EigerLegacyPacket.validate_python({"htype": "dseries_end-1.0", "series": 1}), EigerLegacyEnd)
    with pytest.raises(DecodeError, match="htype"):
        EigerLegacyPacket.validate_json(b'{"htype":"image"}')
