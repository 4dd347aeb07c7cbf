"""ZeroMQ sources over real sockets: PULL, SUB, and REQ against servers that come and go."""

from __future__ import annotations

import socket as sockets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import zmq

from glimt.model.errors import UsageError
from glimt.sources.message_source import READ_BYTES, MessageSource
from glimt.sources.zmq_request import ZmqRequestSource
from glimt.sources.zmq_socket import LARGE_PART, MAX_PARTS, ZmqSource

ANY_PORT = "tcp://127.0.0.1:*"


@contextmanager
def peer(kind: int, address: str, *, bind: bool = False) -> Iterator[zmq.Socket[bytes]]:
    with zmq.Context() as context, context.socket(kind) as socket:
        for option in (zmq.SNDTIMEO, zmq.RCVTIMEO):
            socket.setsockopt(option, 10_000)
        socket.setsockopt(zmq.LINGER, 2_000)
        (socket.bind if bind else socket.connect)(address)
        yield socket


def endpoint(socket: zmq.Socket[bytes]) -> str:
    return str(socket.get_string(zmq.LAST_ENDPOINT)).rstrip("\0")


def free_address() -> str:
    with sockets.socket() as socket:
        socket.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{socket.getsockname()[1]}"


def wait_for(condition: Callable[[], Any], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.005)


def take(source: MessageSource, n_messages: int, seconds: float = 10) -> list[list[bytes]]:
    """Return as many messages, received the way the ingester does it."""
    poller = zmq.Poller()
    poller.register(source.socket, zmq.POLLIN)
    taken: list[list[bytes]] = []
    deadline = time.monotonic() + seconds
    while len(taken) < n_messages:
        assert time.monotonic() < deadline, f"{len(taken)} of {n_messages} came; {source.state()}"
        if poller.poll(100):
            taken += [[bytes(part) for part in parts] for parts in source.receive_ready(7)]
    return taken


def test_messages_come_in_order_and_are_counted() -> None:
    with ZmqSource(ANY_PORT, bind=True) as source, peer(zmq.PUSH, source.address) as sender:
        sent = [[str(number).encode(), b"p" * number] for number in range(500)]
        for parts in sent:
            sender.send_multipart(parts)
        assert take(source, 500) == sent
        assert source.receive_ready(7) == []
        state = source.state()
        assert (state.connected, state.n_messages, state.n_refused) == (True, 500, 0)
        assert state.n_bytes == sum(len(part) for parts in sent for part in parts)
        assert abs(time.time_ns() - state.last_message_ns) < 60e9


def test_large_parts_come_without_a_copy_and_small_ones_as_bytes() -> None:
    large = bytes(range(256)) * (LARGE_PART // 128)
    with ZmqSource(ANY_PORT, bind=True) as source, peer(zmq.PUSH, source.address) as sender:
        kinds = []
        for parts in ([b"a", b"b"], [b"h", large], [b"h", large], [b"a", b"b"], [b"a", b"b"]):
            sender.send_multipart(parts)
            wait_for(lambda: source.socket.poll(100))
            (received,) = source.receive_ready(64)
            assert [bytes(part) for part in received] == parts
            kinds.append([type(part) for part in received])
    assert kinds == [[bytes, bytes], [bytes, zmq.Frame], [bytes, zmq.Frame], [bytes, bytes], [bytes, bytes]]


@pytest.mark.parametrize("after", [b"small", b"l" * LARGE_PART])
def test_thousands_of_parts_are_refused_and_counted_and_the_next_message_is_good(after: bytes) -> None:
    with ZmqSource(ANY_PORT, bind=True) as source, peer(zmq.PUSH, source.address) as sender:
        sender.send_multipart([after])
        sender.send_multipart([b"p"] * (3 * MAX_PARTS))
        sender.send_multipart([b"p"] * MAX_PARTS)
        sender.send_multipart([b"good"])
        messages = take(source, 3)
        assert [len(parts) for parts in messages] == [1, MAX_PARTS, 1]
        state = source.state()
        assert state.n_refused == 1
        assert f"{3 * MAX_PARTS} parts" in state.last_error


def test_a_part_that_announces_too_much_ends_its_connection_only() -> None:
    with ZmqSource(ANY_PORT, bind=True, max_message_bytes=1000) as source:
        with peer(zmq.PUSH, source.address) as sender:
            sender.send(b"x" * 1001)
            wait_for(lambda: "lost 1 times" in source.state().detail)
        with peer(zmq.PUSH, source.address) as sender:
            sender.send(b"x" * 1000)
            assert take(source, 1) == [[b"x" * 1000]]


def strange(address: str, garbage: bytes) -> None:
    """Connect with something else than ZeroMQ, and go away again."""
    with sockets.create_connection(("127.0.0.1", int(address.rpartition(":")[2]))) as stranger:
        stranger.sendall(garbage)
        time.sleep(0.05)


GARBAGE = [
    b"",
    b"GET / HTTP/1.1\r\n\r\n",
    b"\xff" + b"\x7f" * 63,
    bytes(64),
    b"\xff" + (1 << 40).to_bytes(8, "big") + b"\x01",
]


@pytest.mark.parametrize("garbage", GARBAGE)
def test_what_does_not_speak_zeromq_is_no_sender(garbage: bytes) -> None:
    with ZmqSource(ANY_PORT, bind=True) as source:
        strange(source.address, garbage)
        wait_for(lambda: source.state().last_error)
        assert "does not speak ZeroMQ" in source.state().last_error
        assert source.state().connected is False
        with peer(zmq.PUSH, source.address) as sender:
            sender.send(b"good")
            assert take(source, 1) == [[b"good"]]
            strange(source.address, garbage)
            sender.send(b"good")
            assert take(source, 1) == [[b"good"]]
            assert source.state().connected is True
        wait_for(lambda: source.state().connected is False)
        assert source.state().n_reconnects == 0


@pytest.mark.parametrize("kind", ["pull", "sub"])
def test_a_sender_that_starts_late_dies_and_returns_is_followed(kind: str) -> None:
    address = free_address()
    with ZmqSource(address, kind=kind) as source:  # type: ignore[arg-type]  # the parameters are the two kinds
        assert source.state().connected is False
        assert "ever" in source.state().detail
        for number in range(4):
            with peer(zmq.PUSH if kind == "pull" else zmq.XPUB, address, bind=True) as sender:
                if kind == "sub":
                    wait_for(lambda: source.state() and sender.poll(10))
                    assert sender.recv() == b"\x01"
                sender.send(b"%d" % number)
                assert take(source, 1) == [[b"%d" % number]]
                wait_for(lambda: source.state().connected)
            wait_for(lambda: source.state().connected is False)
            assert source.state().n_reconnects == number


def test_a_subscriber_gets_its_topic_only() -> None:
    with (
        peer(zmq.XPUB, ANY_PORT, bind=True) as sender,
        ZmqSource(endpoint(sender), kind="sub", topic=b"ondaframe") as source,
    ):
        assert sender.recv() == b"\x01ondaframe"
        for topic in (b"other", b"ondaframedata"):
            sender.send_multipart([topic, b"body"])
        assert take(source, 1) == [[b"ondaframedata", b"body"]]


def test_two_sources_are_polled_together() -> None:
    with (
        ZmqSource(ANY_PORT, bind=True) as one,
        ZmqSource(ANY_PORT, bind=True) as other,
        peer(zmq.PUSH, other.address) as sender,
    ):
        poller = zmq.Poller()
        poller.register(one.socket, zmq.POLLIN)
        poller.register(other.socket, zmq.POLLIN)
        sender.send(b"x")
        assert [found for found, _ in poller.poll(10_000)] == [other.socket]


def test_closing_is_prompt_and_twice_is_safe_with_messages_waiting() -> None:
    source = ZmqSource(ANY_PORT, bind=True)
    with peer(zmq.PUSH, source.address) as sender:
        sender.send(b"x")
        began = time.monotonic()
        source.close()
        source.close()
        assert time.monotonic() - began < 10
        assert source.state().n_messages == 0
        sender.setsockopt(zmq.LINGER, 0)


# REQ


def answer(server: zmq.Socket[bytes], parts: list[bytes]) -> None:
    """Answer one question as OM's ROUTER does."""
    identity, empty, question = server.recv_multipart()
    assert (empty, question) == (b"", b"next")
    server.send_multipart([identity, b"", *parts])


def test_questions_are_put_one_at_a_time_and_answers_are_messages() -> None:
    large = b"l" * LARGE_PART
    with peer(zmq.ROUTER, ANY_PORT, bind=True) as server, ZmqRequestSource(endpoint(server)) as source:
        for number in range(30):
            answer(server, [b"%d" % number, large])
            assert take(source, 1) == [[b"%d" % number, large]]
        assert server.poll(2_000)  # the next question
        server.recv_multipart()
        assert not server.poll(300)  # and no other
        state = source.state()
        assert (state.connected, state.n_messages, state.n_reconnects) == (True, 30, 0)


def test_a_rep_server_is_asked_too() -> None:
    with peer(zmq.REP, ANY_PORT, bind=True) as server, ZmqRequestSource(endpoint(server), request=b"more") as source:
        for number in range(5):
            assert server.recv() == b"more"
            server.send(b"%d" % number)
        assert take(source, 5) == [[b"%d" % number] for number in range(5)]


def test_a_server_that_dies_with_a_question_unanswered_is_asked_again_when_it_is_back() -> None:
    address = free_address()
    with ZmqRequestSource(address) as source:
        for number in range(4):
            with peer(zmq.ROUTER, address, bind=True) as server:
                answer(server, [b"%d" % number])
                assert take(source, 1) == [[b"%d" % number]]
                server.recv_multipart()  # a question that is never answered
        wait_for(lambda: source.state().connected is False)
        state = source.state()
        assert state.n_reconnects == 3
        assert "went away before it answered" in state.last_error


def test_a_server_that_is_there_and_silent_is_asked_again_over_a_fresh_connection() -> None:
    with peer(zmq.ROUTER, ANY_PORT, bind=True) as server, ZmqRequestSource(endpoint(server), timeout_s=0.2) as source:
        first, *_ = server.recv_multipart()
        again, *_ = server.recv_multipart()
        assert again != first
        assert "did not answer within 0.2 s" in source.state().last_error
        server.send_multipart([again, b"", b"here"])
        assert take(source, 1) == [[b"here"]]


def test_answers_of_thousands_of_parts_are_refused_and_the_next_question_is_put() -> None:
    with peer(zmq.ROUTER, ANY_PORT, bind=True) as server, ZmqRequestSource(endpoint(server)) as source:
        answer(server, [b"p"] * (MAX_PARTS + 1))
        answer(server, [b"good"])
        assert take(source, 1) == [[b"good"]]
        assert source.state().n_refused == 1


def test_nothing_is_asked_while_answers_wait() -> None:
    with peer(zmq.ROUTER, ANY_PORT, bind=True) as server, ZmqRequestSource(endpoint(server), queue_bytes=100) as source:
        answer(server, [b"x" * 60])
        answer(server, [b"y" * 60])
        assert not server.poll(300)
        assert take(source, 2) == [[b"x" * 60], [b"y" * 60]]
        assert server.poll(5_000)


@pytest.mark.parametrize("is_there", [True, False])
def test_closing_a_source_that_waits_for_an_answer_is_prompt(is_there: bool) -> None:
    with peer(zmq.ROUTER, ANY_PORT, bind=True) as server:
        source = ZmqRequestSource(endpoint(server) if is_there else free_address())
        if is_there:
            server.recv_multipart()
        began = time.monotonic()
        source.close()
        source.close()
        assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    "address", ["nonsense", "tcp://", "tcp://127.0.0.1:99999999", "carrier://pigeon", "tcp://\ud800"]
)
def test_an_address_that_cannot_be_used_is_named(address: str) -> None:
    with pytest.raises(UsageError, match="cannot connect to"):
        ZmqRequestSource(address)
    with pytest.raises(UsageError, match="cannot connect to"):
        ZmqSource(address)


def test_a_burst_of_large_messages_after_small_ones_is_not_taken_at_once() -> None:
    large = bytes(READ_BYTES // 4)
    with ZmqSource(ANY_PORT, bind=True) as source, peer(zmq.PUSH, source.address) as sender:
        poller = zmq.Poller()
        poller.register(source.socket, zmq.POLLIN)
        sizes = [0]
        n_sent = 0
        deadline = time.monotonic() + 60
        while max(sizes) <= READ_BYTES:  # until a burst was there before it was looked at
            sender.send(b"small")
            for _ in range(10):
                sender.send(large)
            n_sent += 10 * len(large) + 5
            while sum(sizes) < n_sent:
                assert time.monotonic() < deadline
                poller.poll(100)
                time.sleep(0.1)
                sizes.append(sum(len(bytes(part)) for parts in source.receive_ready(256) for part in parts))
    assert READ_BYTES < max(sizes) <= READ_BYTES + len(large)
