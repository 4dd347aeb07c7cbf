"""python-workflows' transport on a glimt broker: what plug-in services call to subscribe, acknowledge and send."""

from __future__ import annotations

import decimal
import hashlib
import json
import logging
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from glimt.brokers.broker import Broker, Delivery, Outgoing, QueueSpec
from glimt.model.errors import BrokerError, BrokerRefusedError, LostDeliveryError, UnknownQueueError, UsageError

MessageCallback = Callable[[Mapping[str, Any], Any], None]

_MAX_PREFETCH = 65535
_UNSENDABLE = (UnknownQueueError, UsageError, BrokerRefusedError)
_log = logging.getLogger("workflows.transport")


class TemporarySubscription(NamedTuple):
    """A subscription to a queue that was made for it."""

    subscription_id: int
    queue_name: str


@dataclass(slots=True)
class Subscription:
    """Who gets the messages of a queue or topic."""

    number: int
    callback: MessageCallback
    is_raw: bool
    is_acknowledged: bool


@dataclass(slots=True)
class _Transaction:
    done: list[int] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    messages: list[Outgoing] = field(default_factory=list)


class _Refusal(NamedTuple):
    delivery: Delivery
    reason: str
    delay_s: float | None


class BrokerTransport:
    """A transport, used by one thread.

    Parameters
    ----------
    broker : Broker
    error : type of Exception
        What is raised as ``workflows.Error``.
    """

    def __init__(self, broker: Broker, error: type[Exception] = RuntimeError) -> None:
        self._broker, self._error = broker, error
        self._queues: dict[str, Subscription] = {}
        self._topics: dict[str, Subscription] = {}
        self._temporary: list[str] = []
        self._waiting: dict[int, Delivery] = {}
        self._refusals: list[_Refusal] = []
        self._transactions: dict[int, _Transaction] = {}
        self._last_number = self._last_transaction = self._last_tag = 0
        self._at_hand: Delivery | None = None
        self._n_sent = 0

    def connect(self) -> bool:
        """Say that the connection stands."""
        return True

    def is_connected(self) -> bool:
        """Say that the connection stands; the broker makes a new one by itself."""
        return True

    @property
    def is_reconnectable(self) -> bool:
        """Whether nothing is subscribed or open."""
        return not self._queues and not self._topics and not self._transactions

    def disconnect(self) -> None:
        """Do nothing: the connection belongs to whoever runs the service."""

    def add_middleware(self, middleware: Any) -> None:
        """Take no middleware: glimt counts and logs by itself."""
        _log.debug("middleware %s is not used", middleware)

    def subscription_callback_set_intercept(self, interceptor: Any) -> None:
        """Do nothing: callbacks are called by the service's own thread."""

    def broadcast_status(self, status: Any) -> None:
        """Do nothing: ``glimt serve`` broadcasts the status."""

    def subscribe(self, channel: str, callback: MessageCallback, **options: Any) -> int:
        """Get the messages of a queue, which is made if it is missing; return the subscription's number."""
        if channel in self._queues:
            raise self._error(f"the queue {channel} has a subscription already")
        found = self._new(callback, options, is_acknowledged=bool(options.get("acknowledgement")))
        prefetch = int(options.get("prefetch_count", 1)) or _MAX_PREFETCH
        self._broker.declare([QueueSpec(channel)])
        self._queues[channel] = found
        self._broker.subscribe(channel, prefetch=prefetch, exclusive=bool(options.get("exclusive")))
        return found.number

    def subscribe_broadcast(self, channel: str, callback: MessageCallback, **options: Any) -> int:
        """Get the broadcasts of a topic; return the subscription's number."""
        found = self._new(callback, options, is_acknowledged=False)
        self._topics[channel] = found
        self._broker.listen(channel)
        return found.number

    def subscribe_temporary(
        self, channel_hint: str | None, callback: MessageCallback, **options: Any
    ) -> TemporarySubscription:
        """Get the messages of a new queue."""
        hint = "" if not channel_hint else f"{channel_hint.removeprefix('transient.')}."
        name = f"transient.{hint}{uuid.uuid4()}"
        self._broker.declare([QueueSpec(name, has_dead_letters=False)])
        self._temporary.append(name)
        return TemporarySubscription(self.subscribe(name, callback, **options), name)

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues that are subscribed to."""
        return tuple(self._queues)

    def leave(self) -> None:
        """Throw away what is left in temporary queues, which nobody else will read; the broker keeps them, empty."""
        for name in self._temporary:
            try:
                self._broker.purge(name)
            except (BrokerError, UsageError) as error:
                _log.warning("the temporary queue %s could not be emptied: %s", name, error)
        self._temporary.clear()

    def unsubscribe(self, subscription: int, drop_callback_reference: bool = False, **_: Any) -> None:
        """Refuse: a service keeps what it subscribed to until it ends."""
        del drop_callback_reference
        raise self._error(f"subscription {subscription} cannot be given up before the service ends")

    def send(self, destination: str, message: Any, **options: Any) -> None:
        """Send a value to a queue, at once or with its transaction."""
        self.raw_send(destination, json.dumps(message, default=json_serializer), **options)

    def raw_send(self, destination: str, message: Any, **options: Any) -> None:
        """Send text or bytes to a queue, at once or with its transaction."""
        exchange = str(options.get("exchange") or "")
        self._post(Outgoing(body=_bytes(message), queue=destination, exchange=exchange), options)

    def broadcast(self, destination: str, message: Any, **options: Any) -> None:
        """Broadcast a value."""
        self.raw_broadcast(destination, json.dumps(message, default=json_serializer), **options)

    def raw_broadcast(self, destination: str, message: Any, **options: Any) -> None:
        """Broadcast text or bytes."""
        self._post(Outgoing(body=_bytes(message), topic=destination), options)

    def ack(
        self, message: Any, subscription_id: int | None = None, *, transaction: int | None = None, **_: Any
    ) -> None:
        """Acknowledge a message, at once or with the transaction."""
        tag = self._tag(message)
        if transaction is not None:
            self._transaction(transaction).done.append(tag)
        else:
            self._settle([tag], [])

    def nack(
        self, message: Any, subscription_id: int | None = None, *, transaction: int | None = None, **_: Any
    ) -> None:
        """Give a message back: it comes again after a while, and at last is a dead letter."""
        tag = self._tag(message)
        if transaction is not None:
            self._transaction(transaction).refused.append(tag)
        else:
            self._refuse(tag, "the service refused the message (nack)")

    def transaction_begin(self, subscription_id: int | None = None, **_: Any) -> int:
        """Open a transaction; return its number."""
        self._last_transaction += 1
        self._transactions[self._last_transaction] = _Transaction()
        return self._last_transaction

    def transaction_abort(self, transaction_id: int, **_: Any) -> None:
        """Forget what a transaction should have done."""
        self._transaction(transaction_id)
        del self._transactions[transaction_id]

    def transaction_commit(self, transaction_id: int, **_: Any) -> None:
        """Acknowledge and send all that belongs to a transaction, as one.

        Raises
        ------
        Exception
            ``workflows.Error``: the broker does not take what was to be sent, and the messages that were to be
            acknowledged are dead letters; or they are another's by now, and are delivered again.
        BrokerError
            The broker cannot be reached; the transaction is still open.
        """
        found = self._transaction(transaction_id)
        try:
            self._settle(list(dict.fromkeys(found.done)), found.messages)
        except self._error:
            del self._transactions[transaction_id]
            raise
        del self._transactions[transaction_id]
        for tag in found.refused:
            self._refuse(tag, "the service refused the message (nack)")

    def give_back(self) -> None:
        """Refuse what is still to be refused, because the broker could not be reached when it should have been.

        Raises
        ------
        BrokerError
            It still cannot be reached.
        """
        while self._refusals:
            delivery, reason, delay_s = self._refusals[0]
            try:
                self._broker.refuse(delivery, reason, retry_after_s=delay_s)
            except (LostDeliveryError, *_UNSENDABLE) as error:
                _log.warning("message %s of %s cannot be given back: %s", delivery.message_id, delivery.queue, error)
            del self._refusals[0]

    def dispatch(self, delivery: Delivery) -> None:
        """Hand a delivery to who subscribed; what that raises comes through, after open transactions are forgotten."""
        found = self._topics.get(delivery.topic) if delivery.topic else self._queues.get(delivery.queue)
        if found is None:
            return
        self._last_tag += 1
        tag = self._last_tag
        header: dict[str, Any] = {
            **delivery.headers,
            "message-id": tag,
            "subscription": found.number,
            "redelivered": delivery.n_deliveries > 1,
            "routing_key": delivery.topic or delivery.queue,
        }
        self._at_hand, self._n_sent = delivery, 0
        if not delivery.topic:
            self._waiting[tag] = delivery
        try:
            if tag in self._waiting and not found.is_acknowledged:
                self._settle([tag], [])
            found.callback(header, delivery.body if found.is_raw else json.loads(delivery.body))
        except (Exception, SystemExit) as error:
            self._transactions.clear()
            is_final = isinstance(error, (json.JSONDecodeError, *_UNSENDABLE))
            self._refuse(tag, f"{type(error).__name__}: {error}", is_final=is_final)
            raise
        finally:
            self._at_hand = None

    def _new(self, callback: MessageCallback, options: dict[str, Any], *, is_acknowledged: bool) -> Subscription:
        self._last_number += 1
        return Subscription(self._last_number, callback, bool(options.get("disable_mangling")), is_acknowledged)

    def _post(self, message: Outgoing, options: dict[str, Any]) -> None:
        identity = ""
        if self._at_hand is not None:  # the same if the message at hand is delivered again
            text = f"{self._at_hand.message_id}/{self._n_sent}"
            identity = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
            self._n_sent += 1
        expiration = options.get("expiration")
        made = Outgoing(
            body=message.body,
            queue=message.queue,
            topic=message.topic,
            exchange=message.exchange,
            headers=dict(options.get("headers") or {}),
            message_id=identity,
            priority=int(options.get("priority") or 0),
            delay_s=float(options.get("delay") or 0.0),
            expiration_s=None if expiration is None else float(expiration),
        )
        transaction = options.get("transaction")
        if transaction is not None:
            self._transaction(transaction).messages.append(made)
        else:
            self._broker.send([made])

    def _tag(self, message: Any) -> int:
        tag = message.get("message-id") if isinstance(message, Mapping) else message
        if not isinstance(tag, int) or tag not in self._waiting:
            raise self._error(f"the message {tag!r} is not there to be acknowledged or refused")
        return tag

    def _transaction(self, number: int) -> _Transaction:
        if number not in self._transactions:
            raise self._error(f"there is no transaction {number}")
        return self._transactions[number]

    def _refuse(self, tag: int, reason: str, *, is_final: bool = False) -> None:
        delivery = self._waiting.pop(tag, None)
        if delivery is None:
            return
        delay_s = None if is_final else min(2.0 ** (delivery.n_deliveries - 1), 300.0)
        self._refusals.append(_Refusal(delivery, reason, delay_s))
        self.give_back()

    def _settle(self, tags: list[int], messages: list[Outgoing]) -> None:
        """Acknowledge and send, as one; if that can never be, refuse what was to be acknowledged."""
        try:
            self._broker.settle([self._waiting[tag] for tag in tags if tag in self._waiting], messages)
        except (LostDeliveryError, *_UNSENDABLE) as error:
            for tag in tags:
                self._refuse(tag, str(error), is_final=not isinstance(error, LostDeliveryError))
            raise self._error(f"this cannot be acknowledged or sent: {error}") from error
        for tag in tags:
            self._waiting.pop(tag, None)


def json_serializer(value: Any) -> Any:
    """Return what JSON has for a value that it has not: a ``Decimal`` becomes a float."""
    if isinstance(value, decimal.Decimal):
        return float(value)
    raise TypeError(f"{value!r} is not JSON serializable")


def _bytes(message: Any) -> bytes:
    return message.encode() if isinstance(message, str) else bytes(message)
