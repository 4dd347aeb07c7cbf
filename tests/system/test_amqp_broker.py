"""RabbitMQ as a broker: the contract of all brokers, on a real server."""

from __future__ import annotations

import itertools
import socket
import time
from pathlib import Path
from typing import ClassVar

import pytest

from glimt.brokers.amqp import AmqpBroker
from glimt.brokers.broker import REASON, Broker, Outgoing, QueueSpec
from glimt.testing.broker_contract import BrokerContract
from rabbitmq_server import RabbitServer, rabbitmq  # noqa: F401  a fixture

_number = itertools.count()


class TestAmqpBroker(BrokerContract):
    """The contract; each test has a virtual host of its own."""

    opener: ClassVar[str] = "glimt.brokers.amqp:AmqpBroker"
    by_priority: ClassVar[bool] = False  # of quorum queues, not in this version of RabbitMQ
    counts_delayed: ClassVar[bool] = False
    counts_unsettled: ClassVar[bool] = False

    @pytest.fixture(autouse=True)
    def _server(self, rabbitmq: RabbitServer) -> None:  # noqa: F811
        self.server = rabbitmq

    def new_place(self, folder: Path) -> str:
        return self.server.new_vhost(f"contract-{next(_number)}")

    def connect(self, place: str) -> Broker:
        return AmqpBroker(place)

    def cut(self, broker: Broker) -> None:
        assert isinstance(broker, AmqpBroker)
        assert broker._link is not None
        broker._link.connection._socket.shutdown(socket.SHUT_RDWR)


def test_a_dead_letter_that_rabbitmq_made_of_a_message_with_a_time_limit_is_there_to_be_taken(
    rabbitmq: RabbitServer,  # noqa: F811
) -> None:
    broker = AmqpBroker(rabbitmq.new_vhost("expired-dead-letters"))
    broker.declare([QueueSpec("work")])
    broker.send([Outgoing(b"x", queue="work", message_id="identity", expiration_s=0.3)])
    end = time.monotonic() + 20
    while not {status.name: status.n_ready for status in broker.status()}["dlq.work"]:
        assert time.monotonic() < end
        time.sleep(0.05)
    time.sleep(0.5)
    broker.subscribe("dlq.work")
    (letter,) = broker.receive(10, timeout_s=20)
    assert (letter.body, letter.message_id, letter.headers[REASON]) == (b"x", "identity", "nobody took it in time")
    broker.settle([letter])
    broker.close()
