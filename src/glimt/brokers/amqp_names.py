"""What there is in a RabbitMQ: queues, exchanges, topics, and the queues that hold delayed messages back."""

from __future__ import annotations

import math
import time
from typing import Any

from pika import spec
from pika.exceptions import AMQPError

from glimt.brokers.amqp_connection import AmqpChannelError, AmqpConnection
from glimt.brokers.broker import DEAD_LETTER_PREFIX, MAX_DELIVERIES, QueueSpec
from glimt.model.errors import BrokerRefusedError, UsageError

SIDE = 2
HOLDING = "glimt.delay."
_LOCK = "glimt.only."
_FRESH_S = 30.0
_HELD_ON_S = 600
_LONGEST_MS = (1 << 32) - 1 - _HELD_ON_S * 1000
_MAX_NAME_BYTES = 255
_NOT_THERE, _LOCKED, _OTHERWISE = 404, 405, 406


def queue_arguments(queue: QueueSpec) -> dict[str, Any]:
    """Return the arguments a queue is made with, Diamond's: quorum, five returns, dead letters to ``dlq.NAME``.

    What a queue that expires throws away shall not become a dead letter, so RabbitMQ knows of none there.
    """
    found: dict[str, Any] = {"x-queue-type": "quorum"}
    if queue.single_consumer:
        found["x-single-active-consumer"] = True
    if queue.expiration_s is not None:
        found["x-message-ttl"] = round(queue.expiration_s * 1000)
    elif not queue.name.startswith(DEAD_LETTER_PREFIX):
        found["x-delivery-limit"] = MAX_DELIVERIES - 1
        if queue.has_dead_letters:
            found["x-dead-letter-exchange"] = ""
            found["x-dead-letter-routing-key"] = DEAD_LETTER_PREFIX + queue.name
    return found


def rounded_ms(delay_s: float) -> int:
    """Return a delay [ms], rounded up to two digits: each length needs a queue, so a power of ten has 90."""
    exact = max(1, math.ceil(delay_s * 1000))
    step: int = 10 ** max(0, len(str(exact)) - 2)
    return -(-exact // step) * step


class AmqpNames:
    """Looks and declares on a channel of its own, and remembers what it found for half a minute.

    Parameters
    ----------
    link : AmqpConnection
    """

    def __init__(self, link: AmqpConnection) -> None:
        self._link = link
        self._seen: dict[tuple[str, str], float] = {}
        link.open_channel(SIDE)

    @property
    def link(self) -> AmqpConnection:
        """The connection."""
        return self._link

    def call(self, method: Any, answer: Any, *accepted: int) -> Any:
        """Call a method; ``None`` if it is refused with one of the ``accepted`` codes.

        Raises
        ------
        BrokerRefusedError
            It is refused with another code, or cannot be said: a name is too long.
        """
        try:
            return self._link.call(SIDE, method, answer)
        except AMQPError as error:  # of pika, before anything was sent
            raise BrokerRefusedError(f"{method.NAME} cannot be sent: {type(error).__name__} {error}") from None
        except AmqpChannelError as error:
            if error.channel != SIDE:
                raise
            self._link.open_channel(SIDE)
            if error.code not in accepted:
                raise BrokerRefusedError(str(error)) from None
            return None

    def look_at(self, queue: str) -> Any:
        """Return RabbitMQ's answer about a queue: ``message_count`` (ready) and ``consumer_count``; or ``None``."""
        if not queue or not _can_be_sent(queue):
            return None
        return self.call(spec.Queue.Declare(queue=queue, passive=True), spec.Queue.DeclareOk, _NOT_THERE)

    def has_queue(self, queue: str) -> bool:
        """Say whether a queue is there; it may have gone within the last half a minute."""
        return self._remembered("queue", queue) or self._remember("queue", queue, self.look_at(queue) is not None)

    def has_exchange(self, exchange: str) -> bool:
        """Say whether an exchange is there."""
        if self._remembered("exchange", exchange):
            return True
        asked = spec.Exchange.Declare(exchange=exchange, passive=True)
        found = _can_be_sent(exchange) and self.call(asked, spec.Exchange.DeclareOk, _NOT_THERE) is not None
        return self._remember("exchange", exchange, found)

    def known_queues(self) -> set[str]:
        """Return the queues that were seen on this connection."""
        return {name for kind, name in self._seen if kind == "queue"}

    def forget(self, queue: str) -> None:
        """Look again the next time."""
        self._seen.pop(("queue", queue), None)

    def forget_all(self) -> None:
        """Look again for everything."""
        self._seen = dict.fromkeys(self._seen, 0.0)

    def declare(self, queue: QueueSpec) -> None:
        """Make a queue with its dead letters and bindings, unless there is one of that name."""
        self._make(queue.name, queue_arguments(queue))
        if queue.has_dead_letters and queue.expiration_s is None:
            self.declare_dead_letters(queue.name)
        for exchange, key in queue.bindings:
            self.declare_exchange(exchange)
            self.call(spec.Queue.Bind(queue=queue.name, exchange=exchange, routing_key=key), spec.Queue.BindOk)

    def declare_dead_letters(self, queue: str) -> str:
        """Make the queue for dead letters of a queue, and return its name."""
        name = DEAD_LETTER_PREFIX + queue
        self._make(name, queue_arguments(QueueSpec(name, has_dead_letters=False)))
        return name

    def _make(self, name: str, arguments: dict[str, Any]) -> None:
        if self.has_queue(name):
            return
        made = spec.Queue.Declare(queue=name, durable=True, arguments=arguments)
        # 406: somebody has made it meanwhile, otherwise; it is theirs.
        self.call(made, spec.Queue.DeclareOk, _OTHERWISE)
        self._remember("queue", name, found=True)

    def declare_exchange(self, exchange: str, kind: str = "topic") -> None:
        """Make an exchange, unless there is one of that name."""
        if exchange and not self.has_exchange(exchange):
            made = spec.Exchange.Declare(exchange=exchange, type=kind, durable=True)
            self.call(made, spec.Exchange.DeclareOk, _OTHERWISE)
            self._remember("exchange", exchange, found=True)

    def hold_back(self, delay_s: float, exchange: str) -> str:
        """Return the exchange that passes messages on to another one after a time, with the same routing key.

        It and its queue vanish when they were not used for that time and ten minutes; each use within counts.
        """
        delay_ms = rounded_ms(delay_s)
        if delay_ms > _LONGEST_MS:
            raise UsageError(
                f"RabbitMQ holds messages back for {_LONGEST_MS // 86_400_000} days at most, not {delay_s} s"
            )
        name = f"{HOLDING}{delay_ms}" + (f".{exchange}" if exchange else "")
        if self._remembered("hold", name):
            return name
        arguments = {
            "x-queue-type": "quorum",
            "x-message-ttl": delay_ms,
            "x-expires": delay_ms + _HELD_ON_S * 1000,
            "x-dead-letter-exchange": exchange,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        }
        self.call(
            spec.Exchange.Declare(exchange=name, type="fanout", durable=True, auto_delete=True), spec.Exchange.DeclareOk
        )
        self.call(spec.Queue.Declare(queue=name, durable=True, arguments=arguments), spec.Queue.DeclareOk)
        self.call(spec.Queue.Bind(queue=name, exchange=name), spec.Queue.BindOk)
        self._remember("hold", name, found=True)
        return name

    def holding_queues(self) -> set[str]:
        """Return the queues this connection has used for delayed messages."""
        return {name for kind, name in self._seen if kind == "hold"}

    def lock(self, queue: str) -> bool:
        """Become the only one who receives from a queue, until the connection ends; ``False`` if another is.

        Quorum queues know no exclusive consumers, so the right is a queue of its own that belongs to the connection.
        """
        own = spec.Queue.Declare(queue=_LOCK + queue, exclusive=True, auto_delete=True)
        return self.call(own, spec.Queue.DeclareOk, _LOCKED) is not None

    def _remembered(self, kind: str, name: str) -> bool:
        return self._seen.get((kind, name), 0.0) > time.monotonic() - _FRESH_S

    def _remember(self, kind: str, name: str, found: bool) -> bool:
        if found:
            self._seen[kind, name] = time.monotonic()
        else:
            self._seen.pop((kind, name), None)
        return found


def _can_be_sent(name: str) -> bool:
    try:
        return len(name.encode()) <= _MAX_NAME_BYTES
    except UnicodeEncodeError:  # half a character, as JSON and command lines can have it
        return False
