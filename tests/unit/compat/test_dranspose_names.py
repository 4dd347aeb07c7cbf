"""The message types and parsers that people's analyses import from dranspose."""

from __future__ import annotations

import importlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from glimt.codecs.registry import PROTOCOLS
from glimt.model.errors import DecodeError
from glimt.model.event import StreamData
from raw_recordings import recorded_messages

PACKAGE = "glimt.compat.dranspose"

# Names of dranspose 0.2.0, module by module.
TYPES = {
    "albaem": "AlbaemBase AlbaemStart AlbaemData AlbaemEnd AlbaemPacket",
    "contrast": "ContrastBase ContrastStarted ContrastRunning ContrastFinished ContrastHeartbeat ContrastPacket",
    "eiger_legacy": "EigerLegacy EigerLegacyHeader EigerLegacyImage EigerLegacyEnd EigerLegacyPacket",
    "lecroy": "LECROY_TYPE WhatEnum LecroyBase LecroyPrepare LecroySeqStart LecroySeqEnd LecroyEnd LecroyData "
    "LecroyParsed LecroyPacket",
    "pcap": "PCAPBase PCAPStart PCAPData PCAPEnd PCAPPacket",
    "positioncap": "PositionCapField PositionCapStart PositionCapValues PositionCapEnd PositionCapPacketType "
    "PositionCapPacket",
    "sardana": "SardanaDataDescription SardanaRecordData SardanaRecordEnd SardanaPacketType SardanaPacket",
    "stream1": "Stream1 Stream1Start Stream1Data Stream1End Stream1Packet",
    "xspress3": "XspressBase XspressStart XspressImage XspressEnd XspressPacket",
}
PARSERS = ["albaem", "contrast", "eiger_legacy", "lecroy", "pcap", "sardana", "stream1", "xspress"]


def module(name: str) -> Any:
    return importlib.import_module(f"{PACKAGE}.{name}")


def test_every_name_is_there() -> None:
    for name, types in TYPES.items():
        found = module(f"data.{name}")
        assert [key for key in types.split() if not hasattr(found, key)] == []
    for name in PARSERS:
        assert callable(module(f"middlewares.{name}").parse)
    assert callable(module("middlewares.positioncap").PositioncapParser)


@pytest.mark.parametrize("name", PARSERS)
def test_a_parser_refuses_data_of_another_type(name: str) -> None:
    with pytest.raises(DecodeError, match="'CUSTOM'"):
        module(f"middlewares.{name}").parse(StreamData("CUSTOM", [b"{}"]))


@pytest.mark.parametrize(
    ("recording", "protocol", "parser", "types", "counts"),
    [
        ("albaem-dump.cbors", "albaem", "albaem", "albaem", {"AlbaemStart": 1, "AlbaemData": 4, "AlbaemEnd": 1}),
        (
            "contrast-dump.cbors",
            "contrast",
            "contrast",
            "contrast",
            {"ContrastHeartbeat": 4, "ContrastStarted": 1, "ContrastRunning": 20, "ContrastFinished": 1},
        ),
        (
            "xspress3-dump.cbors",
            "xspress3",
            "xspress",
            "xspress3",
            {"XspressStart": 1, "XspressImage": 20, "XspressEnd": 1},
        ),
        ("pcap-zmq.cbors", "pandabox", "pcap", "pcap", {"PCAPStart": 1, "PCAPData": 1500, "PCAPEnd": 1}),
        (
            "maui-02-continuous-3.cbor.gz",
            "lecroy",
            "lecroy",
            "lecroy",
            {"LecroyPrepare": 1, "LecroyParsed": 2, "LecroyEnd": 1},
        ),
    ],
)
@pytest.mark.parametrize("as_frame", [bytes, memoryview, zmq.Frame])
def test_recorded_packets_parse_to_these_types(
    shared_data: Path, recording: str, protocol: str, parser: str, types: str, counts: dict[str, int], as_frame: Any
) -> None:
    parse, known = module(f"middlewares.{parser}").parse, module(f"data.{types}")
    assembler = PROTOCOLS[protocol].assembler()
    parsed = [
        parse(StreamData(PROTOCOLS[protocol].typ, [as_frame(bytes(frame)) for frame in packet.frames]))
        for parts in recorded_messages(shared_data / "dranspose" / recording)
        for packet in assembler.push(parts)
    ]
    found = {name: sum(isinstance(record, getattr(known, name)) for record in parsed) for name in counts}
    assert found == counts
    assert len(parsed) == sum(counts.values())
    for record in parsed[:3]:
        assert parse(record.to_stream_data()) == record


def test_stream1_messages_are_made_as_dranspose_makes_them() -> None:
    data, parse = module("data.stream1"), module("middlewares.stream1").parse
    pixels = np.arange(6, dtype=np.uint16).reshape(2, 3)
    image = data.Stream1Data(
        htype="image", msg_number=1, frame=0, shape=pixels.shape, type=str(pixels.dtype), compression="none"
    )
    image.data = pixels
    stream = image.to_stream_data()
    assert (stream.typ, stream.length) == ("STINS", 2)
    read = parse(stream)
    assert isinstance(read, data.Stream1Data)
    assert isinstance(read, data.Stream1)
    np.testing.assert_array_equal(read.data, pixels)
    assert isinstance(parse(data.Stream1Start(msg_number=0, filename="").to_stream_data()), data.Stream1Start)
    assert isinstance(parse(data.Stream1End(msg_number=2).to_stream_data()), data.Stream1End)


def test_packets_tell_what_a_header_is() -> None:
    stream1, lecroy = module("data.stream1"), module("data.lecroy")
    pcap, contrast = module("data.pcap"), module("data.contrast")
    header = '{"htype":"image","msg_number":2,"frame":0,"shape":[2,3],"type":"uint16","compression":"none"}'
    for part in (header, header.encode(), memoryview(header.encode()), zmq.Frame(header.encode())):
        assert isinstance(stream1.Stream1Packet.validate_json(part), stream1.Stream1Data)
    end = stream1.Stream1Packet.validate_python({"htype": "series_end", "msg_number": 3})
    assert end == stream1.Stream1End(msg_number=3)
    assert stream1.Stream1Packet.validate_python(end) is end
    assert isinstance(lecroy.LecroyPacket.validate_json(b'{"htype":"msg","what":0,"frame":0}'), lecroy.LecroyPrepare)
    row = pcap.PCAPPacket.validate_json(
        b'{"message_id":2,"version":1,"message_type":"data","frame_number":0,"energy":[1.5]}'
    )
    assert isinstance(row, pcap.PCAPData)
    assert row.energy == [1.5]
    running = contrast.ContrastPacket.validate_python({"status": "running", "dt": 0.5, "x": np.arange(2)})
    assert isinstance(running, contrast.ContrastRunning)
    with pytest.raises(
        DecodeError, match=r"stins, part 0: htype 'dimage-1\.0' is not one of header, image, series_end"
    ):
        stream1.Stream1Packet.validate_json(b'{"htype":"dimage-1.0"}')


def test_messages_with_keys_of_the_beamline_are_made_as_dranspose_makes_them() -> None:
    pcap, contrast = module("data.pcap"), module("data.contrast")
    sardana, lecroy = module("data.sardana"), module("data.lecroy")
    row = pcap.PCAPData(message_id=2, version=1, message_type="data", frame_number=0, energy=8879.5)
    assert row.to_stream_data().frames == [
        b'{"message_id":2,"version":1,"message_type":"data","frame_number":0,"energy":8879.5}'
    ]
    assert row.model_dump()["energy"] == 8879.5
    started = contrast.ContrastStarted(path="/x", scannr=2, description="mesh", snapshot={"a": 1.5})
    assert module("middlewares.contrast").parse(started.to_stream_data()).snapshot == {"a": 1.5}
    point = sardana.SardanaRecordData(timestamp=0.5, point_nb=8)
    assert point.model_dump_json() == '{"type":"RecordData","timestamp":0.5,"point_nb":8}'
    prepare = lecroy.LecroyPrepare(htype="msg", what=lecroy.WhatEnum.PREPARE, frame=0)
    assert module("middlewares.lecroy").parse(prepare.to_stream_data()) == prepare
    assert pickle.loads(pickle.dumps(prepare)) == prepare


def test_the_positioncap_parser_needs_the_start_and_keeps_it() -> None:
    data, middleware = module("data.positioncap"), module("middlewares.positioncap")
    parser = middleware.PositioncapParser()
    fields = [data.PositionCapField(name="INENC1.VAL.Mean", type="double")]
    line = StreamData("PCAP_RAW", [zmq.Frame(b" 0.25\n")])
    with pytest.raises(DecodeError, match="without the header"):
        parser.parse(line)
    header = b"arm_time: 2024-01-02T03:04:05.678Z\nfields:\n INENC1.VAL double Mean\n\n"
    start = parser.parse(StreamData("PCAP_RAW", [header]))
    assert isinstance(start, data.PositionCapStart)
    assert parser.fields == fields
    values = parser.parse(line)
    assert isinstance(values, data.PositionCapValues)
    assert values.fields["INENC1.VAL.Mean"].value == 0.25
    assert isinstance(parser.parse(StreamData("PCAP_RAW", [b"END 0 Disarmed\n"])), data.PositionCapEnd)
    with pytest.raises(DecodeError, match="understands 'PCAP_RAW'"):
        parser.parse(StreamData("PCAP", [header]))
