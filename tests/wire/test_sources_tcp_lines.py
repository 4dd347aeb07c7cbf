"""Lines over TCP from a server that is late, dies, returns and misbehaves."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import zmq

from glimt.codecs.pandabox_text import MAX_LINE_BYTES, PositionCapAssembler
from glimt.codecs.protocol import PacketKind
from glimt.model.errors import UsageError
from glimt.sources.tcp_lines import TcpLinesSource

HEADER = b"arm_time: 2026-11-21T01:50:00.000Z\nmissed: 0\nfields:\n A double Value\n\n"


def wait_for(condition: Callable[[], Any], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.005)


@contextmanager
def listening(port: int = 0) -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", port)) as server:
        server.settimeout(10)
        yield server


def address_of(server: socket.socket) -> str:
    return f"tcp://127.0.0.1:{server.getsockname()[1]}"


def accept(server: socket.socket) -> socket.socket:
    """Accept the source and answer it as a box does."""
    connection, _ = server.accept()
    connection.settimeout(10)
    assert connection.recv(100) == b"\n"
    connection.sendall(b"OK\n")
    return connection


def take_text(source: TcpLinesSource, ends_with: bytes, seconds: float = 10) -> bytes:
    poller = zmq.Poller()
    poller.register(source.socket, zmq.POLLIN)
    text = b""
    deadline = time.monotonic() + seconds
    while not text.endswith(ends_with):
        assert time.monotonic() < deadline, f"{text[-100:]!r}; {source.state()}"
        if poller.poll(100):
            for (piece,) in source.receive_ready(3):
                assert piece.endswith(b"\n")
                text += piece
    return text


def test_a_capture_becomes_packets_however_it_is_cut() -> None:
    text = HEADER + b"".join(b" %d.5\n" % number for number in range(1000)) + b"END 1000 Ok\n"
    with listening() as server, TcpLinesSource(address_of(server)) as source, accept(server) as box:
        for start in range(0, len(text), 7):
            box.sendall(text[start : start + 7])
        received = take_text(source, b"Ok\n")
        assert received == text
        packets = PositionCapAssembler().push([received])
        assert [packet.kind for packet in packets] == [PacketKind.START] + 1000 * [PacketKind.DATA] + [PacketKind.END]
        state = source.state()
        assert (state.connected, state.n_bytes, state.n_refused) == (True, len(text), 0)


def test_text_that_comes_together_with_the_answer_is_not_lost() -> None:
    with listening() as server, TcpLinesSource(address_of(server)) as source:
        connection, _ = server.accept()
        with connection:
            connection.sendall(b"OK\n" + HEADER + b"1\n2")
            assert take_text(source, b"1\n") == HEADER + b"1\n"
            connection.sendall(b"3\n")
            assert take_text(source, b"23\n") == b"23\n"


def test_a_server_that_is_late_dies_and_returns_is_connected_to_and_half_a_line_is_counted() -> None:
    with listening() as server:
        port = server.getsockname()[1]
    with TcpLinesSource(f"127.0.0.1:{port}") as source:
        wait_for(lambda: "refused" in source.state().last_error)
        assert source.state().connected is False
        for number in range(4):
            with listening(port) as server, accept(server) as box:
                box.sendall(b"%d\nhalf" % number)
                assert take_text(source, b"\n") == b"%d\n" % number
                assert source.state().connected is True
                assert source.state().n_reconnects == number
            wait_for(lambda: source.state().connected is False)
        wait_for(lambda: source.state().n_refused == 4)
        assert "4 bytes of a line" in source.state().detail


def test_an_endless_line_is_cut_in_bounded_memory_and_the_next_line_is_good() -> None:
    with listening() as server, TcpLinesSource(address_of(server)) as source, accept(server) as box:
        for _ in range(200):
            box.sendall(b"x" * 50_000)
        box.sendall(b"\ngood\n")
        text = take_text(source, b"good\n")
        assert text == b"x" * MAX_LINE_BYTES + b"\ngood\n"
        assert source.state().n_refused == 1
        assert "was cut" in source.state().last_error


def test_an_endless_line_before_a_lost_connection_does_not_swallow_the_next_capture() -> None:
    with listening() as server, TcpLinesSource(address_of(server)) as source:
        with accept(server) as box:
            box.sendall(b"x" * (2 * MAX_LINE_BYTES))
            take_text(source, b"x\n")
        with accept(server) as box:
            box.sendall(HEADER)
            assert take_text(source, b"\n\n") == HEADER


@pytest.mark.parametrize("answer", [b"ERR no such thing\n", b"\x00" * 100_000, b"", b"HTTP/1.0 400\r\n"])
def test_a_server_that_does_not_answer_ok_is_left_and_asked_ever_more_rarely(answer: bytes) -> None:
    with listening() as server, TcpLinesSource(address_of(server), timeout_s=0.3) as source:
        began = time.monotonic()
        n_connections = 0
        server.settimeout(0.2)
        while time.monotonic() - began < 1.5 or (n_connections < 2 and time.monotonic() - began < 30):
            try:
                connection, _ = server.accept()
            except TimeoutError:
                continue
            n_connections += 1
            with connection:
                connection.sendall(answer)
        assert 2 <= n_connections <= 7
        assert source.state().connected is False
        assert source.state().last_error
        assert source.receive_ready(10) == []


def test_a_server_is_held_back_while_nothing_is_taken_and_nothing_is_lost() -> None:
    line = b"y" * 999 + b"\n"
    with (
        listening() as server,
        TcpLinesSource(address_of(server), queue_bytes=100_000) as source,
        accept(server) as box,
    ):
        box.setblocking(False)
        sent = b""
        quiet_since = time.monotonic()
        while time.monotonic() - quiet_since < 0.5:
            try:
                sent += (line * 1000)[: box.send(line * 1000)]
                quiet_since = time.monotonic()
            except BlockingIOError:
                time.sleep(0.01)
            assert len(sent) < 200e6, "the server was never held back"
        box.setblocking(True)
        n_whole = sent.count(b"\n")
        received = 0
        deadline = time.monotonic() + 20
        while received < n_whole:
            assert time.monotonic() < deadline
            received += sum(piece.count(b"\n") for (piece,) in source.receive_ready(100))


def test_nothing_is_said_to_a_server_that_expects_nothing() -> None:
    with listening() as server, TcpLinesSource(address_of(server), request=b"") as source:
        connection, _ = server.accept()
        with connection:
            connection.sendall(b"a\n")
            assert take_text(source, b"a\n") == b"a\n"
            connection.setblocking(False)
            with pytest.raises(BlockingIOError):
                connection.recv(10)


@pytest.mark.parametrize("situation", ["nobody there", "no answer", "connected", "queue full"])
def test_closing_is_prompt(situation: str) -> None:
    with listening() as server:
        port = server.getsockname()[1]
        if situation == "nobody there":
            server.close()
        source = TcpLinesSource(f"127.0.0.1:{port}", queue_bytes=10, timeout_s=60.0)
        box = None
        if situation in {"connected", "queue full"}:
            box = accept(server)
            box.sendall(b"line\nline\n" * 10_000 if situation == "queue full" else b"line\n")
            wait_for(lambda: zmq.select([source.socket], [], [], 0.1)[0])
        time.sleep(0.2)
        began = time.monotonic()
        source.close()
        source.close()
        assert time.monotonic() - began < 10
        assert not source._thread.is_alive()
        if box is not None:
            box.close()


@pytest.mark.parametrize(
    "address", ["", "host", "host:0", "host:99999", "http://host:80", "tcp://h:1/path", "[::1:5", "u@h:1"]
)
def test_an_address_that_cannot_be_used_says_what_one_looks_like(address: str) -> None:
    with pytest.raises(UsageError, match=r"tcp://127\.0\.0\.1:8888"):
        TcpLinesSource(address)


def test_a_host_that_does_not_exist_is_in_the_state() -> None:
    with TcpLinesSource("no-such-host.invalid:8888") as source:
        wait_for(lambda: source.state().last_error)
        assert "no-such-host.invalid" in source.state().last_error
