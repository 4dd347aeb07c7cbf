from __future__ import annotations

import pytest

import glimt
from glimt.codecs.registry import PROTOCOLS, parse, protocol_named
from glimt.codecs.stins import StinsStart
from glimt.model.errors import DecodeError, UsageError
from glimt.model.event import StreamData


def test_parse_knows_the_protocol_from_the_type() -> None:
    start = StinsStart(msg_number=0, filename="a.h5")
    assert parse(start.to_stream_data()) == start


def test_parse_of_an_unknown_type_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"no protocol has stream data of type 'X'; there are: .*STINS"):
        parse(StreamData("X", [b""]))


def test_parse_of_broken_frames_is_a_decode_error() -> None:
    with pytest.raises(DecodeError):
        parse(StreamData("STINS", [b"{"]))


def test_protocols_are_found_by_name() -> None:
    assert protocol_named("stins") is PROTOCOLS["stins"]
    with pytest.raises(UsageError, match="no protocol 'stin'"):
        protocol_named("stin")


def test_every_public_name_can_be_imported() -> None:
    for name in glimt.__all__:
        assert getattr(glimt, name) is not None
    assert set(glimt.__all__) < set(dir(glimt))
    with pytest.raises(AttributeError, match="glimt has no 'pares'"):
        _ = glimt.pares
