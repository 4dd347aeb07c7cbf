"""Messages that a sender claims for a receiver that waits: found if it is killed, given back, never doubled."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from glimt.brokers.broker import Delivery, Outgoing, QueueSpec
from glimt.brokers.sqlite import SqliteBroker
from glimt.brokers.sqlite_handover import Handed, Told, decode_handed, encode_handed
from glimt.model.errors import BrokerError

WITHIN_S = 10.0


@pytest.fixture
def sender(tmp_path: Path) -> Iterator[SqliteBroker]:
    broker = SqliteBroker(f"sqlite:{tmp_path / 'broker.db'}")
    broker.declare([QueueSpec("work"), QueueSpec("other")])
    yield broker
    broker.close()


@pytest.fixture
def receiver(sender: SqliteBroker) -> Iterator[SqliteBroker]:
    broker = SqliteBroker(sender.url)
    broker.subscribe("work", prefetch=2)
    yield broker
    broker.close()


def n_waiting(broker: SqliteBroker) -> int:
    return int(broker._file.read("SELECT count(*) FROM subscription WHERE waits")[0][0])


def n_claimed(broker: SqliteBroker) -> int:
    return int(broker._file.read("SELECT count(*) FROM claimed")[0][0])


@contextmanager
def waiting(receiver: SqliteBroker, sender: SqliteBroker) -> Iterator[list[list[Delivery]]]:
    """Let a receiver wait in another thread; what it gets is in the list afterwards."""
    got: list[list[Delivery]] = []
    thread = threading.Thread(target=lambda: got.append(receiver.receive(10, timeout_s=WITHIN_S)))
    thread.start()
    end = time.monotonic() + WITHIN_S
    while not n_waiting(sender) and time.monotonic() < end:
        pass
    assert n_waiting(sender) == 1
    yield got
    thread.join()


def test_who_waits_is_handed_what_is_sent(sender: SqliteBroker, receiver: SqliteBroker) -> None:
    with waiting(receiver, sender) as got:
        sender.send([Outgoing(b"x", queue="work", headers={"a": 1}, message_id="id-x", priority=3)])
        assert n_claimed(sender) == 1
        assert n_waiting(sender) == 0
    ((delivery,),) = got
    assert (delivery.body, delivery.queue, delivery.message_id, delivery.priority) == (b"x", "work", "id-x", 3)
    assert (dict(delivery.headers), delivery.n_deliveries) == ({"a": 1}, 1)
    receiver.settle([delivery], [Outgoing(b"y", queue="other")])
    assert [each.body for each in sender.peek("other")] == [b"y"]
    assert n_claimed(sender) == 0


@pytest.mark.parametrize("body", [bytes(100), bytes(200_000)])
def test_a_sender_that_is_killed_before_it_tells_loses_nothing(
    sender: SqliteBroker, receiver: SqliteBroker, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = time.monotonic()
    with waiting(receiver, sender) as got:
        monkeypatch.setattr(sender, "_tell", lambda _told: None)
        sender.send([Outgoing(body, queue="work")])
        assert n_claimed(sender) == 1
    assert time.monotonic() - start < WITHIN_S / 2
    assert [delivery.body for delivery in got[0]] == [body]
    receiver.settle(got[0])


def test_a_message_too_large_to_be_told_is_handed_over_as_well(sender: SqliteBroker, receiver: SqliteBroker) -> None:
    start = time.monotonic()
    with waiting(receiver, sender) as got:
        sender.send([Outgoing(bytes(5_000_000), queue="work")])
    assert time.monotonic() - start < 1.0
    assert [len(delivery.body) for delivery in got[0]] == [5_000_000]


def test_what_was_found_is_not_taken_again_when_it_is_told_late(
    sender: SqliteBroker, receiver: SqliteBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    late: list[Told] = []
    tell = sender._tell
    with waiting(receiver, sender) as got:
        monkeypatch.setattr(sender, "_tell", late.append)  # as if the process were held here
        sender.send([Outgoing(b"once", queue="work")])
    tell(late[0])  # while it is being worked on
    assert receiver.receive(10, timeout_s=0.05) == []
    receiver.settle(got[0])
    tell(late[0])  # and after it was settled
    assert receiver.receive(10, timeout_s=0.05) == []


def test_nothing_is_handed_to_who_no_longer_waits(sender: SqliteBroker, receiver: SqliteBroker) -> None:
    assert receiver.receive(timeout_s=0.05) == []
    sender.send([Outgoing(b"for anybody", queue="work")])
    other = SqliteBroker(sender.url)
    other.subscribe("work")
    assert [delivery.body for delivery in other.receive(timeout_s=WITHIN_S)] == [b"for anybody"]
    other.close()


def test_who_is_woken_without_a_message_no_longer_waits(sender: SqliteBroker, receiver: SqliteBroker) -> None:
    with waiting(receiver, sender) as got:
        receiver.wake()
    assert got == [[]]
    assert n_waiting(sender) == 0


def test_a_message_does_not_pass_those_before_it(
    sender: SqliteBroker, receiver: SqliteBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    with waiting(receiver, sender) as got:
        monkeypatch.setattr(sender, "_tell", lambda _told: None)  # the receiver shall not fetch the first
        sender.send([Outgoing(b"1", queue="work"), Outgoing(b"2", queue="work")])
        sender.send([Outgoing(b"3", queue="work")])
        assert n_claimed(sender) == 0
        receiver.wake()
    receiver.settle(got[0])
    assert [delivery.body for delivery in got[0] + receiver.receive(10)] == [b"1", b"2", b"3"]


def test_what_was_handed_over_and_never_received_is_given_back_uncounted(
    sender: SqliteBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = SqliteBroker(sender.url)
    receiver.subscribe("work")
    ended = []

    def end() -> None:
        with pytest.raises(BrokerError, match="closed"):
            receiver.receive(timeout_s=WITHIN_S)
        ended.append(True)

    thread = threading.Thread(target=end)
    thread.start()
    while not n_waiting(sender):
        pass
    monkeypatch.setattr(sender, "_tell", lambda _told: None)
    sender.send([Outgoing(b"x", queue="work")])
    assert n_claimed(sender) == 1
    receiver.close()
    thread.join()
    assert ended
    assert n_claimed(sender) == 0
    other = SqliteBroker(sender.url)
    other.subscribe("work")
    assert [(each.body, each.n_deliveries) for each in other.receive()] == [(b"x", 1)]
    other.close()


def test_what_is_told_and_makes_no_sense_is_looked_for() -> None:
    handed = Handed(1, 2, 3, 4, "id", b"h", b"body")
    assert decode_handed(encode_handed(handed)) == handed
    for data in (b"\xc1", b"look", encode_handed(handed)[:-1], b"\x97" + b"\x01" * 7):
        assert decode_handed(data) is None


def test_a_path_too_long_for_a_socket_is_reached_by_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 100) / ("e" * 60)
    folder.mkdir(parents=True)
    sender, receiver = (SqliteBroker(f"sqlite:{folder / 'broker.db'}") for _ in range(2))
    sender.declare([QueueSpec("work")])
    receiver.subscribe("work")
    assert [path.is_socket() for path in folder.glob("*-wake-*")] == [True]
    start = time.monotonic()
    with waiting(receiver, sender) as got:
        sender.send([Outgoing(b"x", queue="work")])
    assert [delivery.body for delivery in got[0]] == [b"x"]
    assert time.monotonic() - start < 1.0
    receiver.close()
    sender.close()
    assert list(folder.glob("*-wake-*")) == []


def test_what_is_told_late_does_not_let_a_receiver_that_works_be_handed_more(
    sender: SqliteBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver, other = SqliteBroker(sender.url), SqliteBroker(sender.url)
    receiver.subscribe("work", prefetch=1)
    late: list[Told] = []
    tell = sender._tell
    with waiting(receiver, sender) as first:
        monkeypatch.setattr(sender, "_tell", late.append)
        sender.send([Outgoing(b"1", queue="work")])
    receiver.settle(first[0])
    with waiting(receiver, sender) as second:
        sender.send([Outgoing(b"2", queue="work"), Outgoing(b"3", queue="work")])
        tell(late[0])
    assert [delivery.body for delivery in second[0]] == [b"2"]
    assert n_waiting(sender) == 0
    other.subscribe("work", prefetch=2)
    assert [delivery.body for delivery in other.receive(10)] == [b"3"]
    sender.send([Outgoing(b"4", queue="work")])
    assert [delivery.body for delivery in other.receive(10, timeout_s=WITHIN_S)] == [b"4"]
    receiver.close()
    other.close()


@pytest.mark.parametrize("is_handed", [False, True])
def test_a_receiver_whose_waiting_was_interrupted_keeps_nothing_from_others(
    sender: SqliteBroker, receiver: SqliteBroker, monkeypatch: pytest.MonkeyPatch, is_handed: bool
) -> None:
    assert receiver._receiver is not None
    wait = receiver._receiver.socket.wait

    def interrupted(timeout_s: float) -> list[bytes]:
        if not n_waiting(sender):
            return wait(timeout_s)
        if is_handed:
            sender.send([Outgoing(b"x", queue="work")])
        raise KeyboardInterrupt

    monkeypatch.setattr(receiver._receiver.socket, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        receiver.receive(timeout_s=WITHIN_S)
    monkeypatch.undo()
    if not is_handed:
        sender.send([Outgoing(b"x", queue="work")])
    assert (n_claimed(sender), n_waiting(sender)) == (0, 0)
    other = SqliteBroker(sender.url)
    other.subscribe("work")
    (delivery,) = other.receive(timeout_s=WITHIN_S)
    assert (delivery.body, delivery.n_deliveries) == (b"x", 1)
    assert receiver.receive(timeout_s=0.05) == []  # what it was told is another's now
    other.settle([delivery])
    with waiting(receiver, sender) as got:
        sender.send([Outgoing(b"y", queue="work")])
    assert [each.body for each in got[0]] == [b"y"]
    other.close()


def test_who_sends_keeps_no_way_open_to_receivers_that_are_gone(sender: SqliteBroker) -> None:
    for _ in range(20):
        listener = SqliteBroker(sender.url)
        listener.listen("news")
        sender.send([Outgoing(b"x", topic="news")])
        listener.close()
    assert len(sender._waker._ends) <= 1


def test_a_receiver_that_was_shut_touches_no_file_that_was_opened_since(
    sender: SqliteBroker, receiver: SqliteBroker
) -> None:
    shut = receiver._receiver
    assert shut is not None
    with sender._file.writing() as connection:
        connection.execute("DELETE FROM owner")  # as others do if it was stopped for too long
        connection.execute("CREATE TRIGGER full BEFORE INSERT ON owner BEGIN SELECT RAISE(ABORT, 'no room'); END")
    end = time.monotonic() + WITHIN_S
    while not shut.is_lost() and time.monotonic() < end:
        pass
    with pytest.raises(BrokerError, match="no room"):
        receiver.receive()
    opened = [os.pipe2(os.O_NONBLOCK) for _ in range(10)]
    receiver.wake()
    with pytest.raises(BrokerError, match="no room"):
        receiver.receive()
    for read, write in opened:
        with pytest.raises(BlockingIOError):  # open, and nothing was written into it
            os.read(read, 1)
        os.close(read)
        os.close(write)
    with sender._file.writing() as connection:
        connection.execute("DROP TRIGGER full")
    sender.send([Outgoing(b"x", queue="work")])
    assert [delivery.body for delivery in receiver.receive(timeout_s=WITHIN_S)] == [b"x"]
