"""RabbitMQ as a broker: the contract of all brokers, on a real server."""

from __future__ import annotations

import itertools
import socket
from pathlib import Path
from typing import ClassVar

import pytest

from glimt.brokers.amqp import AmqpBroker
from glimt.brokers.broker import Broker
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
