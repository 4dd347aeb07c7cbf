"""Where the streams and the control of a beamline file listen and connect, and what cannot go together."""

from __future__ import annotations

from pathlib import Path

import pytest

from beamline_texts import HTTP, SMALL, STREAM, TOKEN, load, problem
from glimt.app.stream_address import is_loopback, parse_endpoint


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


SECOND = STREAM.replace("eiger", "second")


def test_two_streams_cannot_share_what_one_sender_pushes(folder: Path) -> None:
    assert "streams.second.address" in (found := problem(SMALL + SECOND))
    assert "as of streams.eiger: the sender would give each of them a part of its messages" in found


def test_two_streams_can_subscribe_to_one_publisher(folder: Path) -> None:
    assert len(load((SMALL + SECOND).replace("zmq-pull", "zmq-sub")).streams) == 2


def test_two_streams_cannot_listen_at_one_address(folder: Path) -> None:
    bound = "bind = true\n"
    second = SECOND.replace("127.0.0.1", "*")
    assert "where streams.eiger listens already" in problem(SMALL + bound + second + bound)


def test_a_stream_cannot_listen_where_the_control_does(folder: Path) -> None:
    assert "where control.port listens already" in problem(SMALL + HTTP.replace("PORT", "5000"))
    assert "where control.view_port listens already" in problem(SMALL + HTTP.replace("PORT", "5001"))
    assert len(load(SMALL + HTTP.replace("PORT", "5002")).streams) == 2


def test_http_for_other_machines_needs_a_token(folder: Path) -> None:
    text = SMALL + HTTP.replace("127.0.0.1:PORT", "0.0.0.0:8010")
    assert "which other machines reach; that needs a token" in problem(text)
    assert load(text + f'token = "{TOKEN}"').streams["http"].token == TOKEN


def test_addresses_of_version_6_and_names_are_understood() -> None:
    assert parse_endpoint("tcp://[::1]:9999", transport="zmq-pull", listens=False) == ("::1", 9999, False)
    assert parse_endpoint("tcp://dcu.example.org:9999/", transport="tcp", listens=False)[0] == "dcu.example.org"
    assert parse_endpoint("tcp://*:*", transport="zmq-pull", listens=True) == ("*", 0, True)
    assert [is_loopback(host) for host in ("127.0.0.9", "::1", "localhost", "*", "10.0.0.1", "name")] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]


def test_two_pipes_of_one_path_collide_and_free_ports_do_not() -> None:
    pipe = parse_endpoint("ipc:///tmp/a", transport="zmq-pull", listens=True)
    free = parse_endpoint("tcp://127.0.0.1:0", transport="zmq-pull", listens=True)
    assert pipe.collides(pipe)
    assert not free.collides(free)
