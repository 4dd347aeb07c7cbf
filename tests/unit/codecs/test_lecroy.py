"""LeCroy: a real recording in continuous mode, sequence mode made here, and messages that get lost."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from glimt.codecs.lecroy import (
    PROTOCOL,
    LecroyData,
    LecroyEnd,
    LecroyParsed,
    LecroyPrepare,
    LecroySeqEnd,
    LecroySeqStart,
    What,
    decode,
    encode,
)
from glimt.codecs.protocol import Packet, PacketKind
from glimt.model.errors import DecodeError
from raw_recordings import recorded_messages

TRACES = np.linspace(-1, 1, 10).reshape(2, 5)


def message(what: int, frame: int, **keys: Any) -> list[bytes]:
    return [json.dumps({"htype": "msg", "what": what, "frame": frame} | keys).encode()]


def start(ntriggers: int = 2, seqno: int = 0) -> list[bytes]:
    return message(1, 2 * seqno, ntriggers=ntriggers, seqno=seqno, channels=[2, 4])


def traces(channel: int, frame: int, **changes: Any) -> list[bytes]:
    header = {
        "htype": "traces",
        "ch": channel,
        "ts": 1.7e9,
        "frame": frame,
        "shape": [2, 5],
        "horiz_offset": -1e-7,
        "horiz_interval": 1.25e-11,
        "dtype": "float64",
    }
    return [json.dumps(header | changes).encode(), (TRACES + frame).tobytes(), pickle.dumps([1.7e9, 1.7e9 + 1])]


PREPARE, STOP = message(0, 0), message(3, 4, frames=4)
SEQUENCE = [
    PREPARE, start(), traces(2, 0), traces(4, 1), message(2, 2),
    start(seqno=1), traces(2, 2), traces(4, 3), message(2, 4), STOP,
]  # fmt: skip


def push_all(*messages: list[bytes]) -> list[Packet]:
    assembler = PROTOCOL.assembler()
    return [packet for parts in messages for packet in assembler.push(parts)]


def event_of(messages: list[list[bytes]]) -> list[bytes]:
    return [part for parts in messages for part in parts]


def test_nine_recorded_messages_are_two_events(shared_data: Path) -> None:
    messages = recorded_messages(shared_data / "dranspose" / "maui-02-continuous-3.cbor.gz")
    assert len(messages) == 9
    packets = push_all(*messages)
    assert [packet.kind.value for packet in packets] == ["start", "data", "data", "end"]
    assert [packet.frame_number for packet in packets] == [None, 0, 1, None]
    assert [len(packet.frames) for packet in packets] == [1, 8, 8, 1]
    assert packets[2].frames == event_of([messages[1], *messages[5:8]])  # the one start stands for all events
    for packet in packets:
        record = decode(packet.frames)
        assert encode(record) == packet.frames
        assert pickle.loads(pickle.dumps(record)) == record


def test_recorded_events_decode(shared_data: Path) -> None:
    packets = push_all(*recorded_messages(shared_data / "dranspose" / "maui-02-continuous-3.cbor.gz"))
    prepare, event, end = decode(packets[0].frames), decode(packets[1].frames), decode(packets[3].frames)
    assert isinstance(prepare, LecroyPrepare)
    assert prepare.what is What.PREPARE
    assert isinstance(event, LecroyParsed)
    assert isinstance(event, LecroySeqStart)
    assert (event.channels, event.ntriggers) == ([2, 4], -1)
    assert [header.ch for header in event.meta] == [2, 4]
    assert event.meta[0].horiz_interval == 1.25000001668929e-11
    assert [(trace.shape, trace.dtype.name) for trace in event.data] == [((1, 8002), "float64")] * 2
    assert event.timestamps == [[1740563664.870739]] * 2
    assert isinstance(end, LecroyEnd)
    assert (end.frame, end.frames) == (4, 4)


def test_in_sequence_mode_every_event_has_its_own_start() -> None:
    packets = push_all(*SEQUENCE)
    assert packets == [
        Packet(PacketKind.START, PREPARE),
        Packet(PacketKind.DATA, event_of(SEQUENCE[1:5]), 0),
        Packet(PacketKind.DATA, event_of(SEQUENCE[5:9]), 1),
        Packet(PacketKind.END, STOP),
    ]
    second = decode(packets[2].frames)
    assert isinstance(second, LecroyParsed)
    assert second.seqno == 1
    np.testing.assert_array_equal(second.data[1], TRACES + 3)
    assert second.timestamps == [[1.7e9, 1.7e9 + 1]] * 2


def test_frames_of_zmq_decode() -> None:
    frames: list[Any] = [zmq.Frame(part) for part in event_of(SEQUENCE[1:5])]
    event = decode(frames)
    assert isinstance(event, LecroyParsed)
    np.testing.assert_array_equal(event.data[0], TRACES)


def test_a_start_without_a_sequence_after_it_is_no_packet() -> None:
    assert push_all(PREPARE, PREPARE, STOP) == [Packet(PacketKind.END, STOP)]


@pytest.mark.parametrize("lost", [2, 3])
def test_an_event_without_all_its_traces_is_an_error_and_the_next_one_keeps_its_number(lost: int) -> None:
    messages = [*SEQUENCE]
    del messages[lost]
    assembler = PROTOCOL.assembler()
    packets: list[Packet] = []
    errors: list[str] = []
    for parts in messages:
        try:
            packets += assembler.push(parts)
        except DecodeError as error:
            errors.append(str(error))
    assert errors == ["lecroy sequence end: event with 1 traces, channels [2, 4] were announced"]
    assert [packet.frame_number for packet in packets if packet.kind is PacketKind.DATA] == [1]
    assert packets[-1].kind is PacketKind.END


def test_an_event_without_its_end_is_of_no_series() -> None:
    messages = [*SEQUENCE]
    del messages[4]
    packets = push_all(*messages)
    assert [packet.kind.value for packet in packets] == ["start", "other", "data", "end"]
    assert [packet.frame_number for packet in packets] == [None, None, 1, None]


def test_in_continuous_mode_a_lost_end_joins_no_two_events() -> None:
    assembler = PROTOCOL.assembler()
    for parts in (PREPARE, start(ntriggers=-1), traces(2, 0), traces(4, 1)):
        assembler.push(parts)
    with pytest.raises(DecodeError, match="more traces than the channels"):
        assembler.push(traces(2, 2))
    assert assembler.push(traces(4, 3)) == []
    with pytest.raises(DecodeError, match="event with 1 traces"):
        assembler.push(message(2, 4))
    packets = [packet for parts in (traces(2, 4), traces(4, 5), message(2, 6)) for packet in assembler.push(parts)]
    assert [packet.frame_number for packet in packets] == [2]


@pytest.mark.parametrize("parts", [traces(2, 0), message(2, 2)])
def test_what_comes_before_the_start_of_a_sequence_is_an_error(parts: list[bytes]) -> None:
    with pytest.raises(DecodeError, match=r"before the start of a sequence"):
        push_all(PREPARE, parts)


def test_an_event_is_made_of_records_and_arrays() -> None:
    header = LecroyData(frame=0, ch=2, ts=1.5, shape=[2, 5], dtype="float64", horiz_offset=0.0, horiz_interval=1e-9)
    keys: dict[str, Any] = {"meta": [header], "data": [TRACES], "timestamps": [[1.0, 2.0]]}
    event = LecroyParsed(frame=0, ntriggers=2, seqno=0, channels=[2], **keys)
    read = decode(event.to_stream_data().frames)
    assert isinstance(read, LecroyParsed)
    np.testing.assert_array_equal(read.data[0], TRACES)
    assert read.timestamps == [[1.0, 2.0]]
    assert read == event
    assert isinstance(decode(event.to_frames()[-1:]), LecroySeqEnd)


def test_it_prints_as_a_pydantic_model_does() -> None:
    assert str(LecroyPrepare(frame=0)) == "frame=0 htype='msg' what=<What.PREPARE: 0>"
    event = LecroyParsed(frame=0, ntriggers=-1, seqno=0, channels=[2])
    assert str(event).endswith("channels=[2] meta=[] data=[] timestamps=[]")
    assert event.model_dump()["meta"] == []


@pytest.mark.parametrize(
    ("changed", "part", "what"),
    [
        (b'{"htype":"msg","what":1,"frame":0,"ntriggers":2,"seqno":0,"channels":[]}', 0, "0 channels, 1 to 64"),
        (
            b'{"htype":"msg","what":1,"frame":0,"ntriggers":2,"seqno":0,"channels":[1]}',
            0,
            "8 parts, channels .* give 5",
        ),
        (traces(2, 0, shape=[2, 6])[0], 1, "lecroy traces, part 2: 80 bytes"),
        (traces(2, 0, dtype="object")[0], 1, "lecroy traces, part 2: type 'object'"),
        (traces(2, 0, ch="2")[0], 1, "lecroy traces, part 1: bad header"),
        (pickle.dumps({}), 3, "lecroy traces, part 3: the trigger times are no list of numbers"),
        (b"cos\nsystem\n.", 6, "lecroy traces, part 6: bad pickle"),
        (traces(2, 0)[0], 7, "lecroy event, part 7: not the end of a sequence"),
    ],
)
def test_a_damaged_event_is_refused(changed: bytes, part: int, what: str) -> None:
    frames = event_of(SEQUENCE[1:5])
    frames[part] = changed
    with pytest.raises(DecodeError, match=what):
        decode(frames)


def test_what_is_no_message_is_refused() -> None:
    for frames, what in (
        ([], "a message without parts"),
        (message(4, 0), "what '4' is not one of 0, 1, 2, 3"),
        ([b'{"htype":"msg","frame":0}'], "no 'what'"),
        (PREPARE * 2, "2 parts, a message has 1"),
    ):
        with pytest.raises(DecodeError, match=what):
            decode(frames)
