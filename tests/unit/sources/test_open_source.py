"""What a configuration may say about a source, and what it is told otherwise."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from captures import stins_messages, write_capture
from glimt.model.errors import UsageError
from glimt.sources.capture_player import CapturePlayer
from glimt.sources.http_post import HttpPostSource
from glimt.sources.network_address import host_and_port
from glimt.sources.open_source import TRANSPORTS, check_options, open_source
from glimt.sources.source_options import SourceOptions
from glimt.sources.tcp_lines import TcpLinesSource
from glimt.sources.zmq_request import ZmqRequestSource
from glimt.sources.zmq_socket import ZmqSource


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"transport": "zmq-pull", "address": "tcp://127.0.0.1:*", "bind": True}, ZmqSource),
        ({"transport": "zmq-sub", "address": "tcp://127.0.0.1:1", "topic": "data"}, ZmqSource),
        ({"transport": "zmq-req", "address": "tcp://127.0.0.1:1", "request": "next", "timeout_s": 1}, ZmqRequestSource),
        ({"transport": "tcp", "address": "127.0.0.1:1", "request": ""}, TcpLinesSource),
        ({"transport": "http", "address": "127.0.0.1:0", "token": "t"}, HttpPostSource),
    ],
)
def test_every_transport_opens_its_source(options: dict[str, Any], kind: type) -> None:
    source = open_source(pickle.loads(pickle.dumps(SourceOptions(**options))))
    try:
        assert type(source) is kind
        assert source.receive_ready(10) == []
        assert source.state().n_messages == 0
    finally:
        source.close()


def test_a_capture_is_opened_by_path_or_file_address(tmp_path: Path) -> None:
    path = write_capture(tmp_path / "a.cbors", stins_messages(1))
    for address in (str(path), f"file://{path}"):
        source = open_source(SourceOptions(transport="capture", address=address, speed=0, loops=2))
        assert type(source) is CapturePlayer
        source.close()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"transport": 3}, "transport is 3; it can be text"),
        ({"address": ""}, "address is ''; it can be text that is not empty"),
        ({"bind": 1}, "bind is 1; it can be true or false"),
        ({"queue_messages": 0}, "queue_messages is 0; it can be a whole number from 1 to"),
        ({"queue_messages": True}, "queue_messages is True"),
        ({"queue_bytes": 1.5}, "queue_bytes is 1.5"),
        ({"max_message_bytes": 1 << 40}, "max_message_bytes is"),
        ({"request": b"next"}, "request is b'next'; it can be text"),
        ({"token": ""}, "token is"),
        ({"speed": float("nan")}, "speed is nan; it can be a number from 0"),
        ({"speed": -1}, "speed is -1"),
        ({"rate_hz": "fast"}, "rate_hz is 'fast'"),
        ({"timeout_s": 0}, "timeout_s is 0"),
        ({"loops": -1}, "loops is -1"),
        ({"stream": None}, "stream is None"),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(options: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError) as raised:
        SourceOptions(**({"transport": "zmq-pull", "address": "tcp://127.0.0.1:1"} | options))
    assert text in str(raised.value)


def test_an_unknown_transport_is_told_those_there_are() -> None:
    with pytest.raises(UsageError, match="'carrier-pigeon'; it can be zmq-pull, zmq-sub, zmq-req, tcp, http, capture"):
        open_source(SourceOptions(transport="carrier-pigeon", address="x"))


def test_an_option_that_a_transport_does_not_use_is_refused_with_whose_it_is() -> None:
    with pytest.raises(UsageError, match="speed means nothing to transport zmq-pull; it belongs to capture"):
        check_options(SourceOptions(transport="zmq-pull", address="tcp://127.0.0.1:1", speed=2.0))
    for name, transport in TRANSPORTS.items():
        assert transport.options <= set(SourceOptions.__dataclass_fields__), name


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("tcp://panda:8888", ("panda", 8888)),
        ("127.0.0.1:1", ("127.0.0.1", 1)),
        ("[::1]:5", ("::1", 5)),
        ("tcp://h:2/", ("h", 2)),
    ],
)
def test_addresses_are_taken_apart(address: str, expected: tuple[str, int]) -> None:
    assert host_and_port(address, "tcp") == expected
