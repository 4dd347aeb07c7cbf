"""PandABox over ZeroMQ: a real recording, and messages that become several events."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from glimt.codecs import pandabox
from glimt.codecs.pandabox import PROTOCOL, PcapData, PcapEnd, PcapStart, decode, encode
from glimt.codecs.protocol import Packet, PacketKind
from glimt.model.errors import DecodeError
from raw_recordings import recorded_messages


def data(**channels: Any) -> list[bytes]:
    """A data message that starts at trigger 15."""
    return [json.dumps({"message_id": 3, "message_type": "data", "version": 1, "frame_number": 15} | channels).encode()]


def push(message: list[bytes]) -> list[Packet]:
    return PROTOCOL.assembler().push(message)


def test_a_hundred_and_two_recorded_messages_are_1502_packets(shared_data: Path) -> None:
    messages = recorded_messages(shared_data / "dranspose" / "pcap-zmq.cbors")
    assert len(messages) == 102
    assembler = PROTOCOL.assembler()
    packets = [packet for message in messages for packet in assembler.push(message)]
    assert [packet.kind for packet in packets] == [PacketKind.START, *[PacketKind.DATA] * 1500, PacketKind.END]
    assert [packet.frame_number for packet in packets[1:-1]] == list(range(1500))
    # Byte for byte what dranspose's ingester makes of them.
    assert packets[1].frames == [
        b'{"message_id":2,"version":1,"message_type":"data","frame_number":0,"inttime":7.1160000000000005,'
        b'"triggernumber":1.0,"repeatindex":1.0,"energy":8879.101048716273,"INENC3.VAL.Mean":0.0}'
    ]
    row = decode(packets[1500].frames)
    assert isinstance(row, PcapData)
    assert row.frame_number == 1499
    assert getattr(row, "INENC3.VAL.Mean") == 0.0
    for message in messages:
        assert encode(decode(message)) == message


def test_recorded_start_has_the_time_of_arming(shared_data: Path) -> None:
    messages = recorded_messages(shared_data / "dranspose" / "pcap-zmq.cbors")
    start, end = decode(messages[0]), decode(messages[-1])
    assert isinstance(start, PcapStart)
    assert start.arm_time == datetime(2024, 10, 7, 8, 49, 10, 627000, UTC)
    assert start.model_dump_json().endswith('"arm_time":"2024-10-07T08:49:10.627000Z"}')
    assert isinstance(end, PcapEnd)


def test_scalars_are_repeated_and_elements_are_dealt_out() -> None:
    packets = push(data(energy=[1.5, 2.5], mode="x", flags=[[1], [2]], nothing=None, bad=[math.nan, 0.0]))
    rows = [decode(packet.frames) for packet in packets]
    assert [packet.frame_number for packet in packets] == [15, 16]
    assert [row.frame_number for row in rows] == [15, 16]
    assert [(row.energy, row.mode, row.flags, row.nothing) for row in rows] == [
        (1.5, "x", [1], None),
        (2.5, "x", [2], None),
    ]
    assert math.isnan(rows[0].bad)


def test_a_message_without_lists_is_one_packet() -> None:
    message = data(energy=1.5)
    assert push(message) == [Packet(PacketKind.DATA, message, 15)]


def test_a_message_with_empty_lists_is_no_packet() -> None:
    assert push(data(energy=[], mode=[])) == []


def test_channels_of_different_length_are_refused() -> None:
    with pytest.raises(DecodeError, match=r"pandabox data, part 0: channels differ in length \(energy 2, mode 1\)"):
        push(data(energy=[1, 2], mode=[1]))


def test_what_would_be_repeated_without_bound_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pandabox, "MAX_SPLIT_BYTES", 10_000)
    assert len(push(data(energy=[1] * 10, remark="x" * 100))) == 10
    with pytest.raises(DecodeError, match="10 elements that become more than 10000 bytes"):
        push(data(energy=[1] * 10, remark="x" * 1000))


def test_keys_that_look_like_ours_are_channels() -> None:
    packets = push(data(**{"_header": [1, 2], "cls": [3, 4], "(glimt extra)": [5, 6]}))
    assert [decode(packet.frames).extra for packet in packets] == [
        {"_header": 1, "cls": 3, "(glimt extra)": 5},
        {"_header": 2, "cls": 4, "(glimt extra)": 6},
    ]


def test_a_message_of_two_parts_is_refused() -> None:
    with pytest.raises(DecodeError, match="pandabox: 2 parts, a message has 1"):
        push(data(energy=[1]) * 2)
