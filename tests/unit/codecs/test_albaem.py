"""AlbaEM: a real recording, messages made here, and numbers that are none."""

from __future__ import annotations

import json
import math
import pickle
from pathlib import Path
from typing import Any

import pytest

from glimt.codecs.albaem import PROTOCOL, AlbaemData, AlbaemEnd, AlbaemStart, decode, encode
from glimt.codecs.open_record import MAX_JSON_BYTES
from glimt.codecs.protocol import PacketKind
from glimt.model.errors import DecodeError
from raw_recordings import recorded_messages


def sample(**changes: Any) -> bytes:
    """A data message with one channel, with keys changed; keys that become ``None`` are left out."""
    values = {
        "message_id": 2,
        "version": 1,
        "message_type": "data",
        "frame_number": 0,
        "timestamp": 7.5,
        "acquisition_timestamp": 1704807770443944912,
        "channel1": -2.5e-11,
    }
    return json.dumps({key: value for key, value in (values | changes).items() if value is not None}).encode()


def made(kind: Any, **keys: Any) -> Any:
    """Make a record with keys of the device, which its type does not name."""
    return kind(**keys)


def test_the_recording_is_a_series_of_four_samples(shared_data: Path) -> None:
    messages = recorded_messages(shared_data / "dranspose" / "albaem-dump.cbors")
    assembler = PROTOCOL.assembler()
    packets = [packet for message in messages for packet in assembler.push(message)]
    assert len(messages) == 6
    assert [packet.kind for packet in packets] == [PacketKind.START, *[PacketKind.DATA] * 4, PacketKind.END]
    assert [packet.frame_number for packet in packets] == [None, 0, 1, 2, 3, None]
    assert [packet.frames for packet in packets] == messages
    records = [decode(message) for message in messages]
    assert isinstance(records[0], AlbaemStart)
    assert isinstance(records[1], AlbaemData)
    assert (records[1].timestamp, records[1].acquisition_timestamp) == (7.72645192, 1704807770443944912)
    assert records[1].channel4 == 4.80528800718246e-10
    assert isinstance(records[5], AlbaemEnd)
    assert records[5].detector_specific == {"read_overflow": False, "memory_overflow": False}
    assert [encode(record) for record in records] == messages
    assert pickle.loads(pickle.dumps(records)) == records


def test_a_changed_message_is_written_with_the_change_and_all_other_keys() -> None:
    record = decode([sample()])
    assert isinstance(record, AlbaemData)
    record.frame_number = 9
    assert json.loads(encode(record)[0]) == json.loads(sample(frame_number=9))
    record.extra["channel1"] = 1.5
    assert json.loads(encode(record)[0]) == json.loads(sample(frame_number=9, channel1=1.5))


def test_nan_and_infinity_of_pythons_json_are_kept() -> None:
    part = sample(channel1=math.nan, channel2=-math.inf)
    record = decode([part])
    assert math.isnan(record.channel1)
    assert record.channel2 == -math.inf
    assert encode(record) == [part]
    assert record == decode([part])
    record.message_id = 3
    again = decode(encode(record))
    assert math.isnan(again.channel1)
    assert (again.message_id, again.channel2) == (3, -math.inf)


def test_none_is_kept_apart_from_nan() -> None:
    record = made(AlbaemStart, message_id=1, version=1, remark=None, gain=math.nan)
    assert encode(record) == [b'{"message_id":1,"version":1,"message_type":"series-start","remark":null,"gain":NaN}']


def test_it_prints_as_a_pydantic_model_does() -> None:
    record = AlbaemStart(message_id=1, version=1)
    assert str(record) == "message_id=1 version=1 message_type='series-start'"
    assert repr(record) == "AlbaemStart(message_id=1, version=1, message_type='series-start')"
    assert record.model_dump() == {"message_id": 1, "version": 1, "message_type": "series-start"}
    assert record.model_dump_json(exclude={"version"}) == '{"message_id":1,"message_type":"series-start"}'
    assert record.model_dump(include={"version"}) == {"version": 1}


@pytest.mark.parametrize(
    ("part", "what"),
    [
        (b"", "albaem, part 0: bad header"),
        (sample(remark="x" * MAX_JSON_BYTES), "bytes; at most 4194304 are accepted"),
        (b"[]", "albaem, part 0: a JSON list, not an object"),
        (
            sample(message_type=None),
            "no 'message_type', which says what the message is: series-start, data, series-end",
        ),
        (sample(message_type=[]), "no 'message_type'"),
        (sample(message_type="pause"), "message_type 'pause' is not one of"),
        (sample(version=2), "albaem data, part 0: bad header .*version"),
        (sample(version=None), "missing required field `version`"),
        (sample(frame_number=1.5), "frame_number"),
        (sample(timestamp="now"), "timestamp"),
    ],
)
def test_what_is_no_message_is_refused(part: bytes, what: str) -> None:
    with pytest.raises(DecodeError, match=what):
        decode([part])


def test_a_message_has_one_part() -> None:
    for parts in ([], [sample()] * 2):
        with pytest.raises(DecodeError, match="a message has 1"):
            decode(parts)


def test_keys_that_look_like_ours_are_the_senders() -> None:
    odd = {"_header": 1, "(glimt extra)": [2], "(glimt header)": "x", "self": 3, "extra": 4}
    record = decode([sample(**odd)])
    assert record.extra == odd | {"channel1": -2.5e-11}
    assert encode(record) == [sample(**odd)]
    assert decode(encode(made(AlbaemStart, message_id=1, version=1, **{"_header": 1, "typ": 2}))).extra == {
        "_header": 1,
        "typ": 2,
    }
