"""PandABox over TCP: text in pieces of any length, and lines that do not fit their header."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
import zmq

from glimt.codecs.pandabox_text import (
    MAX_HEADER_BYTES,
    MAX_LINE_BYTES,
    PROTOCOL,
    PositionCapEnd,
    PositionCapField,
    PositionCapLine,
    PositionCapParser,
    PositionCapStart,
    PositionCapValues,
    decode,
    encode,
)
from glimt.codecs.protocol import Packet, PacketKind
from glimt.model.errors import DecodeError

HEADER = (
    b"arm_time: 2024-01-02T03:04:05.678Z\nstart_time: 2024-01-02T03:04:06Z\nmissed: 0\nprocess: Scaled\n"
    b"format: ASCII\nfields:\n PCAP.BITS2 uint32 Value\n COUNTER1.OUT double Min\n INENC1.VAL double Mean\n\n"
)
LINES = [b" 7 0 0.25\n", b" 4294967295 -1.5e3 nan\n"]
END = b"END 2 Disarmed\n"


def cut(text: bytes, size: int) -> list[Packet]:
    assembler = PROTOCOL.assembler()
    return [packet for at in range(0, len(text), size) for packet in assembler.push([text[at : at + size]])]


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
def test_pieces_of_any_length_give_the_same_packets(size: int) -> None:
    assert cut(b"OK\n" + HEADER + b"".join(LINES) + END, size) == [
        Packet(PacketKind.OTHER, [b"OK\n"]),
        Packet(PacketKind.START, [HEADER]),
        *(Packet(PacketKind.DATA, [line]) for line in LINES),
        Packet(PacketKind.END, [END]),
    ]


def test_lines_mean_what_the_header_says() -> None:
    parser = PositionCapParser()
    start = parser.read([HEADER])
    first, second = (parser.read([line]) for line in LINES)
    assert isinstance(start, PositionCapStart)
    assert start.arm_time == datetime(2024, 1, 2, 3, 4, 5, 678000)
    assert [(field.name, field.type) for field in start.fields] == [
        ("PCAP.BITS2.Value", "uint32"),
        ("COUNTER1.OUT.Min", "double"),
        ("INENC1.VAL.Mean", "double"),
    ]
    assert isinstance(first, PositionCapValues)
    assert {name: field.value for name, field in first.fields.items()} == {
        "PCAP.BITS2.Value": 7,
        "COUNTER1.OUT.Min": 0.0,
        "INENC1.VAL.Mean": 0.25,
    }
    assert isinstance(second, PositionCapValues)
    assert second.fields["PCAP.BITS2.Value"].value == 4294967295
    assert isinstance(parser.read([END]), PositionCapEnd)


def test_a_second_header_replaces_the_first() -> None:
    parser = PositionCapParser()
    parser.read([HEADER])
    parser.read([HEADER])
    assert len(parser.fields) == 3
    assert isinstance(parser.read([LINES[0]]), PositionCapValues)


def test_packets_come_back_byte_for_byte() -> None:
    for packet in (HEADER, *LINES, END):
        assert encode(decode([packet])) == [packet]
        frames: list[Any] = [zmq.Frame(packet)]
        assert encode(decode(frames)) == [packet]


def test_messages_made_here_are_read_again() -> None:
    fields = [
        PositionCapField(name="INENC1.VAL.Mean", type="double"),
        PositionCapField(name="A.B.Value", type="uint32"),
    ]
    arm_time = datetime(2024, 1, 2, 3, 4, 5, 678)
    start = PositionCapStart(arm_time=arm_time).to_stream_data(fields)
    values = PositionCapValues(
        fields={
            "INENC1.VAL.Mean": PositionCapField(name="INENC1.VAL.Mean", type="double", value=0.1),
            "A.B.Value": PositionCapField(name="A.B.Value", type="uint32", value=3),
        }
    )
    assert start.typ == "PCAP_RAW"
    assert values.to_stream_data().frames == [b" 0.1 3\n"]
    assert PositionCapEnd().to_stream_data().frames == [b"END 0 Disarmed\n"]
    parser = PositionCapParser()
    assert parser.read(start.frames).to_stream_data() == start
    assert parser.arm_time == arm_time
    assert parser.fields == fields
    assert parser.read(values.to_frames()) == values


def test_it_prints_as_a_pydantic_model_does() -> None:
    assert str(decode([HEADER])) == "arm_time=datetime.datetime(2024, 1, 2, 3, 4, 5, 678000)"
    field = PositionCapField(name="A", type="double", value=1.5)
    assert str(PositionCapValues(fields={"A": field})) == f"fields={{'A': {field!r}}}"
    assert repr(field) == "PositionCapField(name='A', type='double', value=1.5)"
    assert repr(PositionCapEnd()) == "PositionCapEnd()"
    assert PositionCapValues(fields={"A": field}).model_dump() == {
        "fields": {"A": {"name": "A", "type": "double", "value": 1.5}}
    }
    assert PositionCapStart(arm_time=datetime(2024, 1, 2)).model_dump_json() == '{"arm_time":"2024-01-02T00:00:00"}'


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (b"", "an empty line"),
        (b" \n", "an empty line"),
        (b" \xff1\n", "not ASCII text"),
        (b"arm_time: yesterday\n\n", "arm time 'arm_time: yesterday' is no date"),
        (b"arm_time: 2024-01-02T03:04:05Z\n A.B double\n\n", "has no name, type and capture mode"),
        (b" " * (MAX_HEADER_BYTES + 1), "at most"),
    ],
)
def test_what_is_no_text_of_the_box_is_refused(text: bytes, what: str) -> None:
    with pytest.raises(DecodeError, match=what):
        decode([text])


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b" 1 2\n", "2 numbers in a line, the header has 3 fields"),
        (b" 1 2 3 4\n", "4 numbers in a line, the header has 3 fields"),
        (b" 1.5 2 3\n", r"'1.5' is no uint32, which field 'PCAP.BITS2.Value' is"),
        (b" 1 x 3\n", "'x' is no double"),
        (b" " + b"9" * 5000 + b" 1 2\n", "is no uint32"),
    ],
)
def test_a_line_that_does_not_fit_the_header_is_refused(line: bytes, what: str) -> None:
    parser = PositionCapParser()
    parser.read([HEADER])
    with pytest.raises(DecodeError, match=what):
        parser.read([line])


def test_a_line_before_the_header_is_refused_by_the_parser_and_text_to_decode() -> None:
    assert isinstance(decode([LINES[0]]), PositionCapLine)
    with pytest.raises(DecodeError, match="numbers without the header that says what they are"):
        PositionCapParser().read([LINES[0]])


def test_a_type_nobody_knows_is_named() -> None:
    parser = PositionCapParser()
    parser.read([HEADER.replace(b"uint32", b"decimal")])
    with pytest.raises(DecodeError, match=r"type 'decimal' of field 'PCAP\.BITS2\.Value' is not known"):
        parser.read([LINES[0]])


def test_a_line_without_end_keeps_its_place_and_the_rest_of_it_is_skipped() -> None:
    packets = cut(HEADER + LINES[0] + b"1" * (10 * MAX_LINE_BYTES) + b"\n" + LINES[1] + END, 10_000)
    assert [packet.kind for packet in packets] == [PacketKind.START, *[PacketKind.DATA] * 3, PacketKind.END]
    assert packets[1].frames == [LINES[0]]
    assert len(packets[2].frames[0]) == MAX_LINE_BYTES + 1
    assert packets[3].frames == [LINES[1]]


def test_a_header_without_end_is_dropped() -> None:
    text = HEADER[:-1] + b" A.B double Value\n" * 80_000 + HEADER + LINES[0]
    packets = [packet for packet in cut(text, 65_536) if packet.kind is not PacketKind.OTHER]
    assert packets == [Packet(PacketKind.START, [HEADER]), Packet(PacketKind.DATA, [LINES[0]])]


def test_a_header_in_the_middle_of_a_capture_starts_a_new_one() -> None:
    packets = cut(HEADER + LINES[0] + HEADER + LINES[1] + END, 10_000)
    assert [packet.kind.value for packet in packets] == ["start", "data", "start", "data", "end"]
