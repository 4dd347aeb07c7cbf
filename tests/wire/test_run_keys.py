"""Sockets between the processes of a run on several machines: encrypted, and a broken connection is noticed."""

from __future__ import annotations

import os
import select
import socket as network
from collections.abc import Iterator
from typing import Any

import pytest
import zmq

from glimt.engines.parent import ParentWatch
from glimt.engines.run_keys import NO_KEYS, LossWatch, RunKeys

WAIT_MS = 20_000


class OpenSockets:
    """Sockets of one test, closed at its end."""

    def __init__(self) -> None:
        self._context: zmq.Context[Any] = zmq.Context()
        self._sockets: list[zmq.Socket[bytes]] = []

    def socket(self, kind: int) -> zmq.Socket[bytes]:
        self._sockets.append(self._context.socket(kind))
        return self._sockets[-1]

    def close(self) -> None:
        for socket in self._sockets:
            socket.close(linger=0)
        self._context.destroy(linger=0)


@pytest.fixture
def context() -> Iterator[OpenSockets]:
    sockets = OpenSockets()
    yield sockets
    sockets.close()


def served(context: OpenSockets, keys: RunKeys) -> tuple[zmq.Socket[bytes], str]:
    server = context.socket(zmq.ROUTER)
    keys.serve(server)
    server.bind("tcp://127.0.0.1:*")
    return server, server.get_string(zmq.LAST_ENDPOINT)


def joined(context: OpenSockets, keys: RunKeys, address: str) -> zmq.Socket[bytes]:
    client = context.socket(zmq.DEALER)
    keys.join(client)
    client.connect(address)
    client.send(b"hello")
    return client


@pytest.mark.parametrize("keys", [NO_KEYS, RunKeys.made()])
def test_who_has_the_key_is_heard(context: OpenSockets, keys: RunKeys) -> None:
    server, address = served(context, keys)
    joined(context, keys.for_clients(), address)
    assert server.poll(WAIT_MS)
    assert server.recv_multipart()[1] == b"hello"


@pytest.mark.parametrize("keys", [NO_KEYS, RunKeys.made()])
def test_who_has_no_or_another_key_is_not_heard(context: OpenSockets, keys: RunKeys) -> None:
    right = RunKeys.made()
    server, address = served(context, right)
    joined(context, keys, address)
    joined(context, right.for_clients(), address).send(b"second")  # heard later than the other would have been
    assert server.poll(WAIT_MS)
    heard = [server.recv_multipart() for _ in range(2)]
    assert len({identity for identity, _ in heard}) == 1
    assert not server.poll(300)


def test_clients_are_not_given_the_secret_and_nothing_shows_it() -> None:
    keys = RunKeys.made()
    assert keys.for_clients().secret == b""
    assert keys.for_clients().public == keys.public
    assert keys.secret.decode() not in repr(keys)


def test_a_lost_connection_is_noticed_although_zeromq_connects_again(
    context: OpenSockets,
) -> None:
    server, address = served(context, NO_KEYS)
    client = context.socket(zmq.DEALER)
    watch = LossWatch(client, address)
    client.connect(address)
    client.send(b"hello")
    assert server.poll(WAIT_MS)
    assert not watch.has_lost()
    server.close(linger=0)
    poller = zmq.Poller()
    watch.register(poller)
    assert poller.poll(WAIT_MS)
    assert watch.has_lost()
    watch.close()
    assert not watch.has_lost()


def test_a_server_that_is_not_there_yet_is_no_loss(context: OpenSockets) -> None:
    with network.socket() as reserved:  # bound and not listening: nobody else gets the port, and nobody answers
        reserved.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{reserved.getsockname()[1]}"
        client = context.socket(zmq.DEALER)
        watch = LossWatch(client, address)
        client.connect(address)
        poller = zmq.Poller()
        watch.register(poller)
        assert not poller.poll(500)
        watch.close()


def test_a_closed_pipe_ends_what_was_started_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    monkeypatch.setattr(ParentWatch, "pipe", read)
    try:
        watch = ParentWatch()
        poller = zmq.Poller()
        watch.register(poller)
        assert not watch.is_gone()
        assert not poller.poll(0)
    finally:
        os.close(write)
    assert watch.is_gone()
    assert poller.poll(0)
    assert select.select([read], [], [], 0)[0]
    os.close(read)
