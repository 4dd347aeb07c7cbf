"""The client of the control interface against servers that are none, or bad ones."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from glimt.app.status_client import UnreachableError, fetch_health
from glimt.model.errors import DecodeError, UsageError


def test_the_client_says_that_nothing_answers() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(UnreachableError, match=r"nothing answers at http://127.0.0.1:\d+ .*start `glimt run`"):
            fetch_health(f"127.0.0.1:{taken.getsockname()[1]}")


@contextmanager
def answering(content: bytes) -> Iterator[str]:
    """Give the address of a server that sends the same to everybody."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(10_000)
                connection.sendall(content)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread.join()


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nnot json", DecodeError),
        (b'HTTP/1.1 200 OK\r\n\r\n{"streams": 5}', DecodeError),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 100_000, DecodeError),
        (b"HTTP/1.1 404 Not Found\r\n\r\n{}", DecodeError),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n", DecodeError),
        (b"SSH-2.0-OpenSSH\r\n", UnreachableError),
        (b"", UnreachableError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}", UnreachableError),
    ],
)
def test_the_client_says_what_is_wrong_with_an_answer(content: bytes, error: type[Exception]) -> None:
    with answering(content) as url, pytest.raises(error, match=url):
        fetch_health(url)


def test_the_client_does_not_wait_for_an_answer_that_trickles() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection, suppress(OSError):
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                for _ in range(200):
                    connection.sendall(b" ")
                    time.sleep(0.05)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(UnreachableError, match="answers too slowly"):
            fetch_health(f"http://127.0.0.1:{listening.getsockname()[1]}", timeout_s=2.0)
        thread.join()


@pytest.mark.parametrize("url", ["ftp://host", "http://", "http://a b", "http://[", "http://host:99999", "file:///etc"])
def test_the_client_refuses_what_is_no_address(url: str) -> None:
    with pytest.raises(UsageError, match="is no address of a run"):
        fetch_health(url)
