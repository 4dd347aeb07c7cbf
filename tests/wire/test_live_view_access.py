"""Who reaches the live view, and where it listens: hosts, tokens, ports, requests that are no requests."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import httpx
import pytest

from glimt.model.errors import UsageError
from glimt.web.live_view import MAX_PARAMETER_BYTES, create_app
from glimt.web.server import ViewServer
from live_view_rig import Parameters, Reducer, get, opened, published, served


@pytest.fixture(scope="module")
def view() -> Iterator[ViewServer]:
    with served(published()) as (server, _):
        yield server


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "in chunks"])
def test_body_that_is_too_long_is_refused_and_the_server_lives_on(announced: bool) -> None:
    with served({}, parameters=Parameters()) as (server, _):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw:
            head = "POST /api/v1/parameter/till_x HTTP/1.1\r\nHost: localhost\r\n"
            if announced:
                raw.sendall(f"{head}Content-Length: {MAX_PARAMETER_BYTES + 1}\r\n\r\n".encode())
            else:
                raw.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
                chunk = b"100000\r\n" + bytes(1 << 20) + b"\r\n"
                for _ in range((MAX_PARAMETER_BYTES >> 20) + 1):
                    raw.sendall(chunk)
            assert b" 413 " in raw.recv(1000)
        assert get(server, "/api/v1/parameter/till_x").content == b"3"


def test_name_of_another_host_is_refused(view: ViewServer) -> None:
    assert get(view, "/json", headers={"Host": "evil.example"}).status_code == 403
    assert get(view, "/json", headers={"Host": f"localhost:{view.port}"}).status_code == 200
    assert get(view, "/json", headers={"Host": "[::1]:80"}).status_code == 200
    assert get(view, "/json", headers={"Host": "[::"}).status_code == 403


def test_page_of_elsewhere_changes_nothing() -> None:
    with served({}, parameters=Parameters()) as (server, _):
        address = server.url + "/api/v1/parameter/till_x"
        assert httpx.post(address, content=b"9", headers={"Origin": "http://evil.example"}).status_code == 403
        assert httpx.post(address, content=b"9", headers={"Origin": "null"}).status_code == 403
        assert get(server, "/api/v1/parameter/till_x").content == b"3"
        assert httpx.post(address, content=b"9", headers={"Origin": server.url}).status_code == 200


def test_token_is_asked_for_when_there_is_one() -> None:
    with served({"x": 1}, token="secret") as (server, _):
        assert get(server, "/json").status_code == 401
        assert get(server, "/json", headers={"Authorization": "Bearer wrong"}).status_code == 401
        assert get(server, "/json", headers={"Authorization": "Bearer secret"}).json() == {"x": 1}
        assert get(server, "/json?api_key=secret").json() == {"x": 1}
        with opened(server, api_key="secret") as file:
            assert file["x"][()] == 1


def test_other_hosts_need_a_token() -> None:
    with pytest.raises(UsageError, match="ssh tunnel"):
        ViewServer(create_app(Reducer({})), port=0, host="0.0.0.0")


def test_port_that_is_taken_is_named() -> None:
    with served({}) as (server, _), pytest.raises(UsageError, match=f"port {server.port} is taken"):
        ViewServer(create_app(Reducer({})), port=server.port)


@pytest.mark.parametrize("port", [-1, 65536])
def test_number_that_is_no_port_is_refused(port: int) -> None:
    with pytest.raises(UsageError, match="is no port"):
        ViewServer(create_app(Reducer({})), port=port)


def test_port_is_free_again_after_the_server() -> None:
    with served({}) as (server, _):
        port = server.port
        with httpx.Client(base_url=server.url, timeout=60) as client:
            assert client.get("/api/v1/status").json() is True
    with ViewServer(create_app(Reducer({})), port=port) as server:
        assert get(server, "/api/v1/status").json() is True


def test_broken_requests_do_not_end_the_server(view: ViewServer) -> None:
    for junk in (b"\x00\xff\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET " + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", view.port), timeout=10) as raw:
            raw.sendall(junk)
            raw.settimeout(20)
            raw.recv(100)
    assert get(view, "/api/v1/status").json() is True
