"""From the URL of a broker to a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glimt.model.errors import UsageError

if TYPE_CHECKING:
    from glimt.brokers.broker import Broker

FORMS = "memory:NAME, sqlite:PATH or amqp://USER:PASSWORD@HOST:PORT/VHOST"


def open_broker(url: str) -> Broker:
    """Connect to a broker.

    Parameters
    ----------
    url : str
        ``memory:NAME`` (one process), ``sqlite:PATH`` (one machine; with ``?synchronous=full`` safe against power
        loss) or
        ``amqp://…`` and ``amqps://…`` (RabbitMQ).

    Raises
    ------
    UsageError
        The URL has none of these forms.
    BrokerError
        The broker cannot be reached.
    """
    scheme, colon, rest = url.partition(":")
    if colon and rest:
        if scheme == "memory":
            from glimt.brokers.memory import MemoryBroker

            return MemoryBroker(url)
        if scheme == "sqlite":
            from glimt.brokers.sqlite import SqliteBroker

            return SqliteBroker(url)
        if scheme in {"amqp", "amqps"} and rest.startswith("//"):
            from glimt.brokers.amqp import AmqpBroker

            return AmqpBroker(url)
    shown = url if "@" not in url else f"{scheme}:…@{url.rpartition('@')[2]}"
    raise UsageError(f"broker {shown!r}: expected {FORMS}")
