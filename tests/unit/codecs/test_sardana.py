"""Sardana: bodies as the recorder posts them, and as dranspose's captures hold them."""

from __future__ import annotations

import math
from typing import Any

import pytest

from glimt.codecs.protocol import Packet, PacketKind
from glimt.codecs.sardana import (
    PROTOCOL,
    SardanaDataDescription,
    SardanaRecordData,
    SardanaRecordEnd,
    decode,
    encode,
)
from glimt.model.errors import DecodeError

DESCRIPTION = (
    b'{"type":"DataDescription","serialno":20338,"scandir":"/data/x","title":"burstscan m 0.0 0.1 2 50",'
    b'"column_desc":[{"name":"point_nb","dtype":"int64","shape":[]}],"ref_moveables":["m"]}'
)
POINT = b'{"type":"RecordData","timestamp":0.61,"point_nb":8,"m":0}'
END = b'{"type":"RecordEnd"}'


def made(kind: Any, **keys: Any) -> Any:
    """Make a record with keys of the beamline, which its type does not name."""
    return kind(**keys)


def test_messages_decode_and_come_back_byte_for_byte() -> None:
    description, point, end = (decode([part]) for part in (DESCRIPTION, POINT, END))
    assert isinstance(description, SardanaDataDescription)
    assert (description.serialno, description.title) == (20338, "burstscan m 0.0 0.1 2 50")
    assert description.column_desc[0]["name"] == "point_nb"
    assert isinstance(point, SardanaRecordData)
    assert (point.timestamp, point.point_nb, point.m) == (0.61, 8, 0)
    assert isinstance(end, SardanaRecordEnd)
    assert [encode(record) for record in (description, point, end)] == [[DESCRIPTION], [POINT], [END]]


def test_points_carry_their_number_if_the_macro_sends_one() -> None:
    assembler = PROTOCOL.assembler()
    unnumbered = b'{"type":"RecordData","timestamp":1}'
    packets = [packet for part in (DESCRIPTION, POINT, unnumbered, END) for packet in assembler.push([part])]
    assert packets == [
        Packet(PacketKind.START, [DESCRIPTION]),
        Packet(PacketKind.DATA, [POINT], 8),
        Packet(PacketKind.DATA, [unnumbered]),
        Packet(PacketKind.END, [END]),
    ]


def test_a_body_without_a_type_gets_that_of_its_address() -> None:
    record = SardanaRecordData.from_frames([b'{"timestamp": 0.61, "point_nb": 8}'])
    assert record.to_frames() == [b'{"type":"RecordData","timestamp":0.61,"point_nb":8}']
    assert decode(record.to_frames()) == record
    assert SardanaRecordEnd.from_frames([b"{}"]).to_frames() == [END]
    with pytest.raises(DecodeError, match="Invalid enum value 'RecordEnd'"):
        SardanaRecordData.from_frames([END])


def test_counters_that_gave_no_value_stay_nan() -> None:
    record = made(SardanaRecordData, timestamp=1.0, counter=math.nan)
    assert encode(record) == [b'{"type":"RecordData","timestamp":1.0,"counter":NaN}']
    assert math.isnan(decode(encode(record)).counter)


@pytest.mark.parametrize(
    ("part", "what"),
    [
        (b"{}", "sardana, part 0: no 'type', which says what the message is: DataDescription, RecordData, RecordEnd"),
        (b'{"type":"CustomData"}', "type 'CustomData' is not one of"),
        (b'{"type":"RecordData"}', "sardana RecordData, part 0: bad header .*timestamp"),
        (b'{"type":"DataDescription","serialno":"1","scandir":"","title":""}', "Expected `int`, got `str`"),
        (b"NaN", "a JSON float, not an object"),
    ],
)
def test_what_is_no_message_is_refused(part: bytes, what: str) -> None:
    with pytest.raises(DecodeError, match=what):
        decode([part])
