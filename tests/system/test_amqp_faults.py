"""RabbitMQ as a broker when something fails: servers that restart or die, receivers that are killed, queues that go."""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from typing import Any

import pytest
from pika import spec

from glimt.brokers.amqp import AmqpBroker
from glimt.brokers.amqp_connection import AmqpConnectionError
from glimt.brokers.amqp_frames import HEADER, Properties, frame, publish_frames
from glimt.brokers.amqp_link import SENDING, Publication
from glimt.brokers.amqp_messages import RAW_PROPERTIES
from glimt.brokers.broker import MAX_DELIVERIES, ORIGIN, REASON, Delivery, Outgoing, QueueSpec
from glimt.model.errors import BrokerError, BrokerRefusedError, LostDeliveryError, UnknownQueueError, UsageError
from rabbitmq_server import RabbitServer, rabbitmq, running_rabbitmq, why_no_rabbitmq  # noqa: F401  a fixture

_number = itertools.count()
N_MESSAGES = 1500
N_AT_ONCE = 5
_PASSES_ON = """
import sys
from glimt.brokers.amqp import AmqpBroker
from glimt.brokers.broker import Outgoing
broker = AmqpBroker(sys.argv[1])
broker.subscribe("work", prefetch=20)
print("ready", flush=True)
n_settled = 0
while True:
    deliveries = broker.receive(5, timeout_s=60)
    broker.settle(deliveries, [Outgoing(d.body, queue="other", message_id=d.message_id) for d in deliveries])
    n_settled += 1
    if n_settled == 1:
        print("passes on", flush=True)
"""


@pytest.fixture(scope="module")
def mortal() -> Iterator[RabbitServer]:
    """Return a server of these tests' own, which they may kill."""
    missing = why_no_rabbitmq()
    if missing:
        pytest.skip(missing)
    with running_rabbitmq() as server:
        yield server


@pytest.fixture
def place(rabbitmq: RabbitServer) -> str:  # noqa: F811
    return rabbitmq.new_vhost(f"faults-{next(_number)}")


@pytest.fixture
def broker(place: str) -> Iterator[AmqpBroker]:
    broker = AmqpBroker(place)
    broker.declare([QueueSpec("work"), QueueSpec("other")])
    yield broker
    broker.close()


def fill(broker: AmqpBroker, n: int = N_MESSAGES) -> None:
    for first in range(0, n, 250):
        broker.send([Outgoing(b"%d" % i, queue="work", message_id=f"m{i}") for i in range(first, min(n, first + 250))])


def take(broker: AmqpBroker, n: int, within_s: float = 10.0) -> list[Delivery]:
    taken: list[Delivery] = []
    end = time.monotonic() + within_s
    while len(taken) < n and time.monotonic() < end:
        taken += broker.receive(n - len(taken), timeout_s=0.2)
    assert len(taken) == n
    return taken


def emptied(broker: AmqpBroker, *queues: str) -> list[Delivery]:
    """Take everything from queues that nothing more is sent to."""
    for queue in queues:
        broker.subscribe(queue, prefetch=2000)
    found: list[Delivery] = []
    while deliveries := broker.receive(2000, timeout_s=1.0):
        found += deliveries
        broker.settle(deliveries)
    return found


class Passer(threading.Thread):
    """Passes messages on from one queue to another, through all failures, until it is told to stop."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.broker = AmqpBroker(url)
        self.n_passed = self.n_lost = 0
        self.stop = threading.Event()

    def run(self) -> None:
        self.broker.subscribe("work", prefetch=20)
        while not self.stop.is_set():
            deliveries = self.broker.receive(5, timeout_s=0.2)
            try:
                answers = [Outgoing(d.body, queue="other", message_id=d.message_id) for d in deliveries]
                self.broker.settle(deliveries, answers)
            except LostDeliveryError:
                self.n_lost += len(deliveries)
            else:
                self.n_passed += len(deliveries)
        self.broker.close()


@pytest.mark.parametrize("how", ["restart", "kill"])
def test_no_message_is_lost_when_the_server_goes_in_mid_run(mortal: RabbitServer, how: str) -> None:
    broker = AmqpBroker(mortal.url)
    broker.declare([QueueSpec("work"), QueueSpec("other")])
    fill(broker)
    passers = [Passer(mortal.url) for _ in range(2)]
    for passer in passers:
        passer.start()
    for portion in (200, 700):
        end = time.monotonic() + 60
        while sum(passer.n_passed for passer in passers) < portion:
            assert time.monotonic() < end, f"{portion} messages were not passed on in time"
            time.sleep(0.005)
        if how == "restart":
            mortal.restart()
        else:
            mortal.kill()
            mortal.start()
    end = time.monotonic() + 60
    while sum(p.n_passed + p.n_lost for p in passers) < N_MESSAGES and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(2.0)
    for passer in passers:
        passer.stop.set()
    for passer in passers:
        passer.join(20)
    found = emptied(broker, "other", "work", "dlq.work")
    broker.close()
    counts = Counter(delivery.message_id for delivery in found)
    assert set(counts) == {f"m{i}" for i in range(N_MESSAGES)}
    # What was being settled when the server went may come twice, with the same identity; nothing else may.
    n_lost = sum(passer.n_lost for passer in passers)
    assert counts.total() - N_MESSAGES <= n_lost <= 2 * 2 * N_AT_ONCE


def test_a_receiver_that_is_killed_at_any_moment_loses_nothing(broker: AmqpBroker, place: str) -> None:
    moments, n = random.Random(1), 5000
    fill(broker, n)
    for start in range(5):
        process = subprocess.Popen([sys.executable, "-c", _PASSES_ON, place], stdout=subprocess.PIPE)
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"ready\n"
            if start == 0:  # at least one is killed in the middle of its work
                assert process.stdout.readline() == b"passes on\n"
            time.sleep(moments.uniform(0.005, 0.06))
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
    passed_on = Counter(delivery.message_id for delivery in emptied(broker, "other"))
    assert 0 < len(passed_on) < n
    rest = Counter(delivery.message_id for delivery in emptied(broker, "work", "dlq.work"))
    assert set(passed_on) | set(rest) == {f"m{i}" for i in range(n)}
    # What was sent when the receiver died was not acknowledged yet: it may come again, with the same identity.
    assert passed_on.total() + rest.total() - n <= 5 * N_AT_ONCE
    assert set(rest.values()) == {1}


def test_sending_waits_for_a_server_that_comes_back(mortal: RabbitServer) -> None:
    broker = AmqpBroker(mortal.url)
    broker.declare([QueueSpec("patient")])
    mortal.kill()
    back = threading.Timer(0.5, mortal.start)
    back.start()
    broker.send([Outgoing(b"x", queue="patient")])
    back.join()
    broker.subscribe("patient")
    assert [delivery.body for delivery in take(broker, 1)] == [b"x"]
    broker.close()


def test_sending_gives_up_when_its_patience_ends(mortal: RabbitServer) -> None:
    broker = AmqpBroker(mortal.url + "?patience=0.5")
    broker.declare([QueueSpec("patient")])
    mortal.kill()
    try:
        start = time.monotonic()
        with pytest.raises(BrokerError, match="cannot reach RabbitMQ"):
            broker.send([Outgoing(b"x", queue="patient")])
        assert time.monotonic() - start < 20
        assert broker.receive(timeout_s=0.3) == []
    finally:
        broker.close()
        mortal.start()


def test_a_message_whose_queue_went_is_a_dead_letter(broker: AmqpBroker) -> None:
    broker.declare([QueueSpec("brief")])
    broker.send([Outgoing(b"first", queue="brief")])
    with broker._using() as link:
        link.connection.call(2, spec.Queue.Delete(queue="brief"), spec.Queue.DeleteOk)
    broker.send([Outgoing(b"too late", queue="brief", message_id="id", headers={"h": 1.5})])
    assert broker.n_unroutable == 1
    (dead,) = [d for d in broker.peek("dlq.brief") if d.body == b"too late"]
    assert (dead.message_id, dead.headers["h"], dead.headers[ORIGIN]) == ("id", 1.5, "brief")
    assert str(dead.headers[REASON]).startswith("no queue took it: 312")
    with pytest.raises(UnknownQueueError):
        broker.send([Outgoing(b"later still", queue="brief")])


def test_a_message_that_no_queue_of_an_exchange_takes_is_kept(broker: AmqpBroker) -> None:
    broker.declare([QueueSpec("xrc.i03", bindings=(("results", "xrc.i03"),))], exchanges=["results"])
    broker.send(
        [
            Outgoing(b"here", queue="xrc.i03", exchange="results"),
            Outgoing(b"nowhere", queue="xrc.i99", exchange="results"),
            Outgoing(b"late", queue="xrc.i03", exchange="results", delay_s=0.2),
        ]
    )
    broker.subscribe("xrc.i03", prefetch=5)
    assert [delivery.body for delivery in take(broker, 2)] == [b"here", b"late"]
    assert [delivery.body for delivery in broker.peek("dlq.unroutable")] == [b"nowhere"]
    with pytest.raises(UnknownQueueError, match="no exchange 'none'"):
        broker.send([Outgoing(b"x", queue="xrc.i03", exchange="none")])


def test_a_queue_that_the_site_made_otherwise_is_used_as_it_is(broker: AmqpBroker) -> None:
    with broker._using() as link:
        made = spec.Queue.Declare(queue="classic", durable=True, arguments={"x-max-priority": 9})
        link.connection.call(2, made, spec.Queue.DeclareOk)
    broker.declare([QueueSpec("classic", single_consumer=True)])
    broker.send([Outgoing(b"%d" % n, queue="classic", priority=n) for n in (1, 9, 5)])
    broker.subscribe("classic", prefetch=1)
    order = []
    for _ in range(3):
        taken = take(broker, 1)
        order.append((taken[0].body, taken[0].priority, taken[0].n_deliveries))
        broker.settle(taken)
    assert order == [(b"9", 9, 1), (b"5", 5, 1), (b"1", 1, 1)]


def test_a_subscription_waits_for_a_queue_that_was_deleted(broker: AmqpBroker, place: str) -> None:
    broker.declare([QueueSpec("back")])
    broker.subscribe("back")
    other = AmqpBroker(place)
    with other._using() as link:
        link.connection.call(2, spec.Queue.Delete(queue="back"), spec.Queue.DeleteOk)
    assert broker.receive(timeout_s=0.5) == []
    other.declare([QueueSpec("back")])
    other.send([Outgoing(b"again", queue="back")])
    assert [delivery.body for delivery in take(broker, 1)] == [b"again"]
    other.close()


def test_a_receiver_that_works_for_long_keeps_its_messages(place: str, broker: AmqpBroker) -> None:
    slow = AmqpBroker(place + "?heartbeat=1")
    slow.subscribe("work")
    broker.send([Outgoing(b"x", queue="work")])
    taken = take(slow, 1)
    time.sleep(5.0)  # the server gives a silent connection up after three seconds
    slow.settle(taken, [Outgoing(b"done", queue="other")])
    assert [delivery.body for delivery in emptied(broker, "other")] == [b"done"]
    slow.close()


def make_full(broker: AmqpBroker, kind: str) -> None:
    """Make a queue that takes one message and refuses the next ones, and fill it."""
    arguments = {"x-max-length": 1, "x-overflow": "reject-publish", "x-queue-type": kind}
    with broker._using() as link:
        made = spec.Queue.Declare(queue="full", durable=True, arguments=arguments)
        link.connection.call(2, made, spec.Queue.DeclareOk)
    for _ in range(10):  # a quorum queue takes some more than it should
        with suppress(BrokerRefusedError):
            broker.send([Outgoing(b"x", queue="full")])
        time.sleep(0.02)
    with pytest.raises(BrokerRefusedError, match="'full'"):
        broker.send([Outgoing(b"x", queue="full")])


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_a_full_queue_loses_neither_the_input_nor_the_answer(broker: AmqpBroker, kind: str) -> None:
    make_full(broker, kind)
    broker.subscribe("work")
    broker.send([Outgoing(b"input", queue="work")])
    taken = take(broker, 1)
    with pytest.raises(BrokerRefusedError, match="'full'"):
        broker.settle(taken, [Outgoing(b"answer", queue="full")])
    broker.refuse(taken[0], "full", retry_after_s=0.0)  # it is still this connection's
    again = take(broker, 1)
    assert (again[0].body, again[0].n_deliveries) == (b"input", 2)
    broker.purge("full")
    broker.settle(again, [Outgoing(b"answer", queue="full")])
    assert [delivery.body for delivery in broker.peek("full")] == [b"answer"]


def test_what_is_refused_is_sent_once(broker: AmqpBroker) -> None:
    make_full(broker, "classic")
    with pytest.raises(BrokerRefusedError):
        broker.send([Outgoing(b"good", queue="other"), Outgoing(b"bad", queue="full")])
    assert [delivery.body for delivery in emptied(broker, "other")] == [b"good"]


def test_a_message_has_one_identity_however_often_it_is_sent(
    broker: AmqpBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish, calls = AmqpBroker._publish, itertools.count()

    def fails_once(self: AmqpBroker, *given: Any, **options: Any) -> None:
        publish(self, *given, **options)
        if next(calls) == 0:
            raise AmqpConnectionError("the answer was lost")

    monkeypatch.setattr(AmqpBroker, "_publish", fails_once)
    broker.send([Outgoing(b"x", queue="other")])
    found = emptied(broker, "other")
    assert len(found) == 2
    assert found[0].message_id == found[1].message_id


def test_reserved_names_are_refused_and_what_was_received_stays(broker: AmqpBroker) -> None:
    broker.send([Outgoing(b"x", queue="work")])
    broker.subscribe("work")
    taken = take(broker, 1)
    with pytest.raises(BrokerRefusedError, match="403"):
        broker.settle(taken, [Outgoing(b"y", topic="amq.mine")])
    with pytest.raises(BrokerRefusedError, match="403"):
        broker.send([Outgoing(b"y", topic="amq.mine")])
    with pytest.raises(UsageError, match="exchange: name has 300 bytes"):
        broker.settle(taken, [Outgoing(b"y", queue="other", exchange="e" * 300)])
    broker.settle(taken)


def test_an_exchange_that_went_is_refused_and_what_was_received_stays(broker: AmqpBroker) -> None:
    broker.declare([], exchanges=["brief"])
    broker.send([Outgoing(b"x", queue="work")])
    broker.subscribe("work")
    taken = take(broker, 1)
    with broker._using() as link:
        assert link.names.has_exchange("brief")
        link.connection.call(2, spec.Exchange.Delete(exchange="brief"), spec.Exchange.DeleteOk)
    answer = Outgoing(b"y", queue="key", exchange="brief")
    with pytest.raises(BrokerRefusedError, match="404"):
        broker.settle(taken, [answer])
    with pytest.raises(UnknownQueueError, match="no exchange 'brief'"):
        broker.settle(taken, [answer])
    broker.settle(taken, [Outgoing(b"z", queue="other")])
    assert [delivery.body for delivery in emptied(broker, "other")] == [b"z"]


def nested(depth: int) -> bytes:
    data = b"\1kI\0\0\0\1"
    for _ in range(depth):
        data = b"\1kF" + len(data).to_bytes(4, "big") + data
    return data


HOSTILE = {
    "nested": nested(1500),
    "unknown type": b"\1k?",
    "cut": b"\1kS\x7f\0\0\0",
}
ODD = {"late": b"\1kT" + (2**62).to_bytes(8, "big"), "no UTF-8": b"\2k\xffS\0\0\0\2\xff\xfe"}


def send_raw(broker: AmqpBroker, queue: str, table: bytes, body: bytes) -> None:
    properties = (0x2000).to_bytes(2, "big") + len(table).to_bytes(4, "big") + table
    with broker._using() as link:
        frames = list(publish_frames(SENDING, "", queue, Properties(), body, frame_max=1 << 17))
        frames[1] = frame(HEADER, SENDING, (60 << 16).to_bytes(4, "big") + len(body).to_bytes(8, "big") + properties)
        assert not link.publish([Publication(queue, frames)])


def test_headers_that_cannot_be_read_spoil_no_other_message(broker: AmqpBroker) -> None:
    for name, table in (HOSTILE | ODD).items():
        with suppress(BrokerError) if name in HOSTILE else nullcontext():  # the server reads some itself
            send_raw(broker, "work", table, name.encode())
    broker.send([Outgoing(b"neighbor", queue="work")])
    found = emptied(broker, "work")
    assert {delivery.body for delivery in found} == {b"late", b"no UTF-8", b"neighbor"}
    assert {delivery.n_deliveries for delivery in found} == {1}
    assert {d.headers.get("k") for d in found} == {2**62, None}
    dead = broker.peek("dlq.work")
    assert b"nested" in {delivery.body for delivery in dead}
    for delivery in dead:
        assert "properties cannot be read" in str(delivery.headers[REASON])
        assert delivery.headers[RAW_PROPERTIES]


def test_messages_without_identity_say_so(broker: AmqpBroker) -> None:
    send_raw(broker, "work", b"", b"theirs")
    broker.send([Outgoing(b"ours", queue="work")])
    broker.subscribe("work", prefetch=5)
    first = take(broker, 2)
    assert {d.body: d.is_identified for d in first} == {b"theirs": False, b"ours": True}
    for delivery in first:
        broker.refuse(delivery, "again", retry_after_s=0.0)
    second = take(broker, 2)
    assert {(d.body, d.is_identified, d.message_id) for d in second} == {
        (d.body, d.is_identified, d.message_id) for d in first
    }


def test_what_was_fetched_ahead_is_no_dead_letter_however_often_a_service_starts(place: str) -> None:
    n, n_starts = 30, 9
    for start in range(n_starts):
        service = AmqpBroker(place)
        if start == 0:
            service.declare([QueueSpec("work")])
            service.send([Outgoing(b"%d" % i, queue="work") for i in range(n)])
        service.subscribe("work", prefetch=100)
        service.settle(take(service, 1))
        time.sleep(0.05)
        service.close()
    last = AmqpBroker(place)
    assert len(emptied(last, "work")) == n - n_starts
    assert last.peek("dlq.work") == []
    last.close()


def test_a_message_that_ends_its_receivers_takes_no_neighbors_along(place: str) -> None:
    broker = AmqpBroker(place)
    broker.declare([QueueSpec("work")])
    broker.send([Outgoing(b"%d" % i, queue="work") for i in range(10)])
    for _ in range(MAX_DELIVERIES):
        victim = AmqpBroker(place)
        victim.subscribe("work", prefetch=100)
        while take(victim, 1)[0].body != b"0":
            pass
        assert victim._link is not None
        victim._link.connection.close_socket()
        victim._link = None
        victim.close()
    assert {d.body for d in emptied(broker, "work")} == {b"%d" % i for i in range(1, 10)}
    assert [d.body for d in broker.peek("dlq.work")] == [b"0"]
    broker.close()


def test_looking_often_makes_no_dead_letters(broker: AmqpBroker) -> None:
    broker.send([Outgoing(b"%d" % n, queue="work", message_id=f"id{n}") for n in range(3)])
    for _ in range(12):
        assert {delivery.message_id for delivery in broker.peek("work")} == {"id0", "id1", "id2"}
    assert len(emptied(broker, "work")) == 3
    with pytest.raises(UnknownQueueError):
        broker.peek("dlq.none")


def test_a_queue_that_cannot_be_looked_at_says_so_and_nothing_is_lost(broker: AmqpBroker) -> None:
    broker.declare([QueueSpec("single", single_consumer=True)])
    broker.send([Outgoing(b"x", queue="single")])
    broker.subscribe("single")
    taken = take(broker, 1)
    with pytest.raises(BrokerError, match="single active consumer"):
        broker.peek("single")
    broker.settle(taken)


def test_the_management_plugin_tells_about_all_queues(rabbitmq: RabbitServer, place: str) -> None:  # noqa: F811
    broker = AmqpBroker(f"{place}?management={rabbitmq.management_url}")
    broker.declare([QueueSpec("an unusual name")])
    broker.send([Outgoing(b"x", queue="an unusual name"), Outgoing(b"y", queue="an unusual name", delay_s=60)])
    broker.subscribe("an unusual name")
    take(broker, 1)
    end = time.monotonic() + 20  # the plug-in counts every five seconds
    while time.monotonic() < end:
        found = {status.name: status for status in broker.status()}
        if found["an unusual name"].n_unsettled and found["glimt.delay.60000"].n_delayed:
            break
        time.sleep(0.2)
    assert found["an unusual name"].n_unsettled == found["glimt.delay.60000"].n_delayed == 1
    assert "dlq.an unusual name" in found
    broker.close()


@pytest.mark.parametrize("what", ["amqp://guest:wrong@", "amqp://nobody:guest@"])
def test_a_wrong_password_is_told_without_showing_it(rabbitmq: RabbitServer, what: str) -> None:  # noqa: F811
    with pytest.raises(BrokerError) as failure:
        AmqpBroker(rabbitmq.url.replace("amqp://guest:guest@", what))
    assert "ACCESS_REFUSED" in str(failure.value)
    assert "wrong" not in str(failure.value)
