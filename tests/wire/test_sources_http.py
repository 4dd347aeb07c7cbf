"""Messages posted over HTTP, by good clients and by hostile ones."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import zmq

from glimt.codecs.protocol import PacketKind
from glimt.codecs.sardana import PROTOCOL
from glimt.model.errors import UsageError
from glimt.sources.http_post import HttpPostSource
from glimt.sources.http_server import MAX_CONNECTIONS

ANY_PORT = "http://127.0.0.1:0"
JSON = {"Content-Type": "application/json"}


def wait_for(condition: Callable[[], Any], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.005)


def client(source: HttpPostSource) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(source.address.removeprefix("http://"), timeout=10)


def post(source: HttpPostSource, path: str, body: bytes, headers: dict[str, str] = JSON) -> tuple[int, Any]:
    connection = client(source)
    try:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def raw(source: HttpPostSource, data: bytes) -> bytes:
    """Send bytes as they are; return what comes back until the connection is closed."""
    place = source.address.removeprefix("http://").split(":")
    with socket.create_connection((place[0], int(place[1])), timeout=10) as connection:
        connection.sendall(data)
        answer = b""
        try:
            while piece := connection.recv(1000):
                answer += piece
        except ConnectionError:
            pass
        return answer


def take(source: HttpPostSource, n_messages: int) -> list[list[bytes]]:
    poller = zmq.Poller()
    poller.register(source.socket, zmq.POLLIN)
    taken: list[list[bytes]] = []
    while len(taken) < n_messages:
        assert poller.poll(10_000), source.state()
        taken += source.receive_ready(3)
    return taken


def test_a_scan_of_sardana_becomes_packets_even_without_types() -> None:
    with HttpPostSource(ANY_PORT) as source:
        assert post(source, "/v1/data_desc", b'{"serialno": 3, "scandir": "/d", "title": "ascan"}') == (200, None)
        for number in range(5):
            body = json.dumps({"timestamp": 0.5, "point_nb": number, "diode": 1.5}).encode()
            assert post(source, "/v1/record_data/", body) == (200, None)
        assert post(source, "/v1/custom_data", b'{"anything": 1}') == (200, None)
        assert post(source, "/v1/record_end", b"{}") == (200, None)
        assembler = PROTOCOL.assembler()
        packets = [packet for parts in take(source, 7) for packet in assembler.push(parts)]
        kinds = [packet.kind for packet in packets]
        assert kinds == [PacketKind.START] + 5 * [PacketKind.DATA] + [PacketKind.END]
        assert [packet.frame_number for packet in packets[1:-1]] == list(range(5))
        assert (source.state().n_messages, source.state().n_refused) == (7, 0)


def test_bodies_for_other_addresses_are_messages_as_they_are_in_order() -> None:
    bodies = [b"", b"\x00\xff", b"x" * 3_000_000, *(b"%d" % number for number in range(200))]
    with HttpPostSource(ANY_PORT) as source:
        connection = client(source)
        taken: list[list[bytes]] = []
        for body in bodies:
            connection.request("POST", "/any/where?x=1", body)
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (200, b"null")
        assert source.state().connected is True
        taken = take(source, len(bodies))
        connection.close()
        assert taken == [[body] for body in bodies]
        wait_for(lambda: source.state().connected is False)


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        ("/v1/data_desc", b"not json", "sardana"),
        ("/v1/data_desc", b'{"serialno": "x"}', "sardana"),
        ("/v1/record_data", b"[]", "sardana"),
        ("/v1/record_data", b'{"type": "RecordEnd", "timestamp": 1}', "sardana"),
        ("/v1/record_end", b"[" * 100_000, "sardana"),
        ("/v1/record_end", b"\xff", "sardana"),
    ],
)
def test_what_is_no_message_of_sardana_is_refused_with_the_reason(path: str, body: bytes, reason: str) -> None:
    with HttpPostSource(ANY_PORT) as source:
        status, answer = post(source, path, body)
        assert status == 400
        assert reason in answer["detail"]
        assert source.receive_ready(9) == []
        assert source.state().n_refused == 1
        assert post(source, "/v1/record_end", b"{}") == (200, None)


@pytest.mark.parametrize("length", [str(1 << 40), "9" * 19, "1001"])
def test_a_body_that_announces_too_much_is_refused_unread(length: str) -> None:
    with HttpPostSource(ANY_PORT, max_body_bytes=1000) as source:
        request = f"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
        assert raw(source, request.encode()).startswith(b"HTTP/1.1 413 ")
        assert post(source, "/x", b"y" * 1000) == (200, None)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"Content-Length: -1\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: 0x10\r\n",
        b"Content-Length: " + b"9" * 20_000 + b"\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    ],
)
def test_a_body_without_one_plain_length_is_refused(head: bytes) -> None:
    with HttpPostSource(ANY_PORT) as source:
        answer = raw(source, b"POST /x HTTP/1.1\r\nHost: localhost\r\n" + head + b"\r\n5\r\nhello\r\n0\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 411 ")
        assert source.receive_ready(9) == []


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00" * 100_000,
        b"\xff\r\n\r\n",
        b"POST\r\n\r\n",
        b"POST /x HTTP/9.9\r\n\r\n",
        b"X: y\r\n" * 1000,
        b"POST /x HTTP/1.1\r\nHost: localhost\r\n" + b"A: b\r\n" * 1000 + b"\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
    ],
)
def test_garbage_is_answered_or_closed_and_the_next_message_is_good(garbage: bytes) -> None:
    with HttpPostSource(ANY_PORT, timeout_s=1) as source:
        assert not raw(source, garbage).startswith(b"HTTP/1.1 200")
        assert post(source, "/x", b"good") == (200, None)
        assert take(source, 1) == [[b"good"]]


def test_while_the_queue_is_full_senders_are_told_to_try_again_and_nothing_accepted_is_lost() -> None:
    with HttpPostSource(ANY_PORT, queue_bytes=1000) as source:
        assert [post(source, "/x", bytes([number]) * 400)[0] for number in range(3)] == [200, 200, 503]
        assert source.state().n_refused == 1
        assert [len(body) for (body,) in take(source, 2)] == [400, 400]
        assert post(source, "/x", b"z" * 400)[0] == 200


def test_slow_clients_hold_nobody_and_are_closed() -> None:
    with HttpPostSource(ANY_PORT, timeout_s=0.5, queue_bytes=1000) as source:
        place = source.address.removeprefix("http://").split(":")
        slow = [socket.create_connection((place[0], int(place[1])), timeout=10) for _ in range(2 * MAX_CONNECTIONS)]
        for connection in slow:
            connection.sendall(b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc")
        began = time.monotonic()
        wait_for(lambda: post(source, "/x", b"good")[0] == 200)
        assert time.monotonic() - began < 10
        assert take(source, 1) == [[b"good"]]
        wait_for(lambda: source.state().connected is False)
        for connection in slow:
            connection.close()
        assert post(source, "/x", b"z" * 1000)[0] == 200  # the room kept for their bodies was given back


def test_a_client_that_dribbles_is_closed_in_the_end() -> None:
    with HttpPostSource(ANY_PORT, timeout_s=0.5) as source:
        place = source.address.removeprefix("http://").split(":")
        with socket.create_connection((place[0], int(place[1])), timeout=10) as connection:
            began = time.monotonic()
            connection.settimeout(0.05)
            is_open = True
            while is_open:
                assert time.monotonic() - began < 30
                try:
                    connection.sendall(b"X")
                    is_open = connection.recv(1) != b""
                except TimeoutError:
                    continue
                except ConnectionError:
                    is_open = False


def test_others_than_this_machine_need_a_token() -> None:
    with pytest.raises(UsageError, match="token"):
        HttpPostSource("http://0.0.0.0:0")
    with HttpPostSource(ANY_PORT, token="s3cret") as source:
        assert post(source, "/x", b"")[0] == 401
        assert post(source, "/x", b"", {"Authorization": "Bearer wrong"})[0] == 401
        assert post(source, "/x", b"", {"Authorization": "Basic s3cret"})[0] == 401
        assert post(source, "/x", b"a", {"Authorization": "Bearer s3cret", "Host": "beamline.example"})[0] == 200
        assert take(source, 1) == [[b"a"]]


def test_web_pages_cannot_make_a_browser_post() -> None:
    with HttpPostSource(ANY_PORT) as source:
        assert post(source, "/x", b"", {"Origin": "http://evil.example"})[0] == 403
        assert post(source, "/x", b"", {"Host": "evil.example"})[0] == 403
        assert source.receive_ready(9) == []


def test_many_senders_at_once_lose_nothing() -> None:
    with HttpPostSource(ANY_PORT) as source:

        def send(sender: int) -> None:
            connection = client(source)
            for number in range(50):
                connection.request("POST", "/x", b"%d %d" % (sender, number))
                connection.getresponse().read()
            connection.close()

        threads = [threading.Thread(target=send, args=(sender,)) for sender in range(8)]
        for thread in threads:
            thread.start()
        bodies = [body.split() for (body,) in take(source, 400)]
        for thread in threads:
            thread.join()
        for sender in range(8):
            assert [int(number) for name, number in bodies if int(name) == sender] == list(range(50))


def test_closing_is_prompt_with_connections_open_and_the_port_is_free_again() -> None:
    source = HttpPostSource(ANY_PORT)
    connection = client(source)
    connection.request("POST", "/x", b"a")
    connection.getresponse().read()
    began = time.monotonic()
    source.close()
    source.close()
    assert time.monotonic() - began < 10
    connection.close()
    with HttpPostSource(source.address) as again:
        assert again.address == source.address


@pytest.mark.parametrize("address", ["", "127.0.0.1", "ftp://127.0.0.1:1", "http://127.0.0.1:1/path", "192.0.2.1:80"])
def test_an_address_that_cannot_be_used_is_refused(address: str) -> None:
    with pytest.raises(UsageError):
        HttpPostSource(address, token="t")
