"""The broker in memory: the contract, and what is its own."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from pathlib import Path

from glimt.brokers.broker import Broker, Outgoing, QueueSpec
from glimt.brokers.memory import MemoryBroker
from glimt.testing.broker_contract import BrokerContract


class TestMemoryBroker(BrokerContract):
    delay_s = 0.1
    quiet_s = 0.02
    across_processes = False

    def new_place(self, folder: Path) -> str:
        return f"memory:{uuid.uuid4().hex}"

    def connect(self, place: str) -> Broker:
        return MemoryBroker(place)

    def cut(self, broker: Broker) -> None:
        assert isinstance(broker, MemoryBroker)
        broker.drop()


def test_names_are_separate_brokers() -> None:
    first, second = MemoryBroker("memory:one"), MemoryBroker("memory:two")
    first.declare([QueueSpec("only here")])
    assert [s.name for s in first.status()] == ["only here"]
    assert second.status() == []
    assert [s.name for s in MemoryBroker("memory:one").status()] == ["only here"]


def test_threads_share_the_messages_and_none_comes_twice() -> None:
    url = f"memory:{uuid.uuid4().hex}"
    sender = MemoryBroker(url)
    sender.declare([QueueSpec("work"), QueueSpec("done")])

    def compete() -> None:
        broker = MemoryBroker(url)
        broker.subscribe("work", prefetch=5)
        while deliveries := broker.receive(3, timeout_s=2.0):
            if deliveries[-1].body == b"end":
                broker.refuse(deliveries.pop(), "for the next one", retry_after_s=0.0)
                broker.settle(deliveries, [Outgoing(d.body, queue="done") for d in deliveries])
                break
            broker.settle(deliveries, [Outgoing(d.body, queue="done") for d in deliveries])
        broker.close()

    threads = [threading.Thread(target=compete) for _ in range(4)]
    for thread in threads:
        thread.start()
    for n in range(1000):
        sender.send([Outgoing(b"%d" % n, queue="work", priority=1)])
    sender.send([Outgoing(b"end", queue="work")])
    for thread in threads:
        thread.join(20)
    sender.subscribe("done", prefetch=2000)
    assert Counter(d.body for d in sender.receive(2000)) == Counter(b"%d" % n for n in range(1000))
