"""RabbitMQ as a broker: quorum queues, nothing acknowledged before what was sent is safe, delays without a plug-in."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from pika import spec

from glimt.brokers.amqp_address import read_amqp_url
from glimt.brokers.amqp_connection import AmqpChannelError, AmqpConnectionError, Incoming, Waker
from glimt.brokers.amqp_frames import Properties, publish_frames
from glimt.brokers.amqp_link import ANSWER_S, SENDING, WORK, AmqpLink, Publication, Subscription
from glimt.brokers.amqp_messages import (
    dead_letter_of,
    delivery_of,
    fresh_copy,
    has_expired,
    has_failed_too_often,
    is_worn,
    properties_of,
    repeated,
)
from glimt.brokers.amqp_status import queue_states
from glimt.brokers.broker import MAX_DELIVERIES, Delivery, Outgoing, QueueSpec, QueueStatus
from glimt.brokers.dead_letter import NEVER_SETTLED, is_dead_letter_queue
from glimt.brokers.outgoing_check import check_name, check_outgoing, check_queues, new_message_id
from glimt.model.errors import BrokerError, BrokerRefusedError, LostDeliveryError, UnknownQueueError

_log = logging.getLogger(__name__)
_PAUSES_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_NOT_ALLOWED = 403, 404
_LAST_WORDS_S = 5.0
_MOST_PEEKS = 2
"""A message that came back so often is sent again after a look."""
_MOST_HOMES = 3
UNROUTABLE = "unroutable"


class AmqpBroker:
    """A connection to RabbitMQ; see `glimt.brokers.broker.Broker`, which says what each method does.

    What is particular here: priorities count only where a site has made classic queues with ``x-max-priority``; a
    message whose expiration runs out in a queue with dead letters becomes one; a message for an exchange that no queue
    takes goes to ``dlq.unroutable``. Delays are rounded up to two digits. What is sent together is not all or none:
    RabbitMQ takes each message by itself. If it does not take one (`BrokerRefusedError`), or the connection ends in
    between, nothing is acknowledged, and others may be there already: what comes then comes with the same identity.

    Parameters
    ----------
    url : str
        See `glimt.brokers.amqp_address.read_amqp_url`.

    Attributes
    ----------
    n_unroutable : int
        Messages that no queue took, though it was there within half a minute before.

    Raises
    ------
    BrokerError
        RabbitMQ does not answer.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.n_unroutable = 0
        self._address = read_amqp_url(url)
        self._lock = threading.RLock()
        self._waker = Waker()
        self._ending = threading.Event()
        self._subscriptions: dict[tuple[bool, str], Subscription] = {}
        self._specs: dict[str, QueueSpec] = {}
        self._n_attempts = 0
        self._link: AmqpLink | None = AmqpLink(self._address)
        self._keeper = threading.Thread(target=self._keep, name="AMQP heartbeats", daemon=True)
        self._keeper.start()

    def declare(
        self, queues: Sequence[QueueSpec], *, topics: Sequence[str] = (), exchanges: Sequence[str] = ()
    ) -> None:
        """Make what is not there yet; queues that are there stay as the site has made them."""
        check_queues(queues, topics, exchanges)
        with self._using() as link:
            for exchange in exchanges:
                link.names.declare_exchange(exchange)
            for topic in topics:
                link.names.declare_exchange(topic, "fanout")
            for queue in queues:
                link.names.declare(queue)
                self._specs[queue.name] = queue

    def subscribe(self, queue: str, *, prefetch: int = 1, exclusive: bool = False) -> None:
        """Let `receive` return messages of a queue."""
        key = False, queue
        known = self._subscriptions.get(key)
        if known is not None and (known.prefetch, known.exclusive) == (prefetch, exclusive):
            return
        if prefetch < 1:
            raise BrokerError(f"at least one message is fetched ahead, not {prefetch}")
        subscription = Subscription(queue, prefetch, exclusive, tag="" if known is None else known.tag)
        with self._using() as link:
            link.consume(subscription)
            self._subscriptions[key] = subscription

    def listen(self, topic: str) -> None:
        """Let `receive` return broadcasts of a topic."""
        key = True, topic
        if key in self._subscriptions:
            return
        check_name(topic, "topic")
        with self._using() as link:
            link.consume(subscription := Subscription(topic, is_topic=True))
            self._subscriptions[key] = subscription

    def receive(self, limit: int = 1, *, timeout_s: float = 0.0) -> list[Delivery]:
        """Return up to ``limit`` messages; connects again if need be."""
        deadline = time.monotonic() + timeout_s
        while True:
            with self._lock:
                self._check_open()
                found, woken = self._receive(limit, deadline)
            if found or woken or time.monotonic() >= deadline:
                return found

    def _receive(self, limit: int, deadline: float) -> tuple[list[Delivery], bool]:
        link = self._link
        if link is None:
            left_s = max(0.0, deadline - time.monotonic())
            return [], not self._connect_again() and self._waker.taken(min(left_s, self._pause_s()))
        connection = link.connection
        try:
            wait_s = 3600.0
            if link.mend(list(self._subscriptions.values())):
                wait_s = 0.25
            if len(connection.incoming) < limit:
                connection.read(0.0)
            if not connection.incoming and (left_s := deadline - time.monotonic()) > 0:
                connection.read(min(left_s, wait_s), waker=self._waker.fileno())
                if not connection.incoming and self._waker.taken():
                    return [], True
            return self._hand_out(link, limit), False
        except (AmqpConnectionError, AmqpChannelError) as error:
            self._drop(link, error)
            return [], False

    def _hand_out(self, link: AmqpLink, limit: int) -> list[Delivery]:
        found: list[Delivery] = []
        incoming = link.connection.incoming
        while incoming and len(found) < limit:
            message = incoming.popleft()
            source = link.source_of(message)
            if source.is_topic:
                link.acknowledge_broadcast(message)
                if message.properties.problem:
                    _log.warning("a broadcast of %r is left out: %s", source.name, message.properties.problem)
                else:
                    found.append(delivery_of(message, "", source.name, None))
            elif has_expired(message) and not is_dead_letter_queue(source.name):  # RabbitMQ's keep the header
                link.acknowledge({message.delivery_tag})
            elif reason := _hopeless(message, source.name):
                self._bury_if_taken(link, message, source.name, reason)
            else:
                if is_worn(message):
                    self._spare(link)
                link.unsettled.add(message.delivery_tag)
                found.append(delivery_of(message, source.name, "", (link, message)))
        return found

    def _bury_if_taken(self, link: AmqpLink, message: Incoming, queue: str, reason: str) -> None:
        try:
            self._bury(link, message, queue, reason)
        except BrokerRefusedError as error:  # it stays with this connection
            _log.error("a message of %r should be a dead letter (%s), but %s", queue, reason, error)

    def _spare(self, link: AmqpLink, *, within_s: float = ANSWER_S) -> None:
        """Send messages again that came back often and wait here only because they were fetched ahead.

        Otherwise they would become dead letters with the one that ends its receivers, or because a service was
        started often.
        """
        names = [link.source_of(message) for message in link.connection.incoming]
        worn = [
            (message, source.name)
            for message, source in zip(link.connection.incoming, names, strict=True)
            if not source.is_topic and is_worn(message) and not _hopeless(message, source.name)
        ]
        worn = [(message, name) for message, name in worn if not is_dead_letter_queue(name)]
        try:
            self._publish(link, [self._put_back(link, *each) for each in worn], within_s=within_s)
        except BrokerRefusedError as error:
            _log.warning("messages that were fetched ahead are not put back: %s", error)
            return
        tags = {message.delivery_tag for message, _ in worn}
        rest = [m for m in link.connection.incoming if m.channel != WORK or m.delivery_tag not in tags]
        link.connection.incoming.clear()
        link.connection.incoming.extend(rest)
        link.acknowledge(tags)

    def _put_back(self, link: AmqpLink, message: Incoming, queue: str) -> Publication:
        return self._publication(link, "", queue, fresh_copy(message), message.body)

    def wake(self) -> None:
        """Let a `receive` that waits in another thread return."""
        if not self._ending.is_set():
            self._waker.wake()

    def send(self, messages: Sequence[Outgoing]) -> None:
        """Send messages; while no node answers it is tried for the patience of the URL, with the same identities.

        Raises
        ------
        BrokerRefusedError
            RabbitMQ does not take one of them; others it may have taken.
        """
        check_outgoing(messages)
        messages = _identified(messages)
        deadline = time.monotonic() + self._address.patience_s
        while True:
            try:
                with self._using() as link:
                    self._publish(link, self._publications(link, messages))
            except AmqpConnectionError:
                if self._ending.is_set() or time.monotonic() >= deadline:
                    raise
                self._ending.wait(self._pause_s())
            else:
                return

    def settle(self, done: Sequence[Delivery], messages: Sequence[Outgoing] = ()) -> None:
        """Send messages, and acknowledge deliveries once RabbitMQ has all of these.

        Raises
        ------
        BrokerRefusedError
            RabbitMQ does not take one of the messages. The deliveries are still this connection's.
        """
        done = [delivery for delivery in done if not delivery.topic]
        if not done:
            self.send(messages)
            return
        check_outgoing(messages)
        with self._answering(done) as (link, tags):
            self._publish(link, self._publications(link, _identified(messages)))
            link.acknowledge(tags)

    def refuse(self, delivery: Delivery, reason: str, *, retry_after_s: float | None = None) -> None:
        """Give a message back: later, or to the dead letters."""
        if delivery.topic:
            return
        with self._answering([delivery]) as (link, tags):
            message: Incoming = delivery.token[1]  # type: ignore[index]  # checked by _answering
            queue = delivery.queue
            if is_dead_letter_queue(queue):
                link.acknowledge(tags, puts_back=True)
            elif retry_after_s is None or delivery.n_deliveries >= MAX_DELIVERIES:
                self._bury(link, message, queue, reason)
            else:
                exchange = link.names.hold_back(retry_after_s, "") if retry_after_s > 0 else ""
                properties = repeated(message, delivery.n_deliveries)
                self._publish(link, [self._publication(link, exchange, queue, properties, message.body)])
                link.acknowledge(tags)

    def _bury(self, link: AmqpLink, message: Incoming, queue: str, reason: str) -> None:
        spec_of = self._specs.get(queue)
        tags = {message.delivery_tag}
        if spec_of is not None and not spec_of.has_dead_letters:
            _log.warning("a message of %r is thrown away, the queue has no dead letters: %s", queue, reason)
            link.acknowledge(tags)
            return
        dead = link.names.declare_dead_letters(queue)
        self._publish(link, [self._publication(link, "", dead, dead_letter_of(message, queue, reason), message.body)])
        link.acknowledge(tags)

    def status(self) -> list[QueueStatus]:
        """Return the queues that are known here, or with the management plug-in all."""
        with self._using() as link:
            return queue_states(self._address, link.names, [*self._specs, *(name for _, name in self._subscriptions)])

    def has_queue(self, queue: str, *, exchange: str = "") -> bool:
        """Say whether the queue is there, or the exchange if one is named."""
        with self._using() as link:
            return link.names.has_exchange(exchange) if exchange else link.names.has_queue(queue)

    def peek(self, queue: str, limit: int = 10) -> list[Delivery]:
        """Return the first messages; what was given back twice already moves to the end of its queue.

        Raises
        ------
        BrokerError
            The queue has a single active consumer: RabbitMQ shows its messages to no one else.
        """
        with self._using() as link:
            if not link.names.has_queue(queue):
                raise UnknownQueueError(queue, where=str(self._address))
        link = AmqpLink(self._address)  # of its own: a refusal ends it, and what is out on ours stays
        try:
            return self._look(link, queue, limit)
        except AmqpChannelError as error:
            raise BrokerError(f"the messages of {queue!r} cannot be looked at: {error}") from None
        finally:
            link.connection.close()

    def _look(self, link: AmqpLink, queue: str, limit: int) -> list[Delivery]:
        taken = link.take_some(queue, limit)
        worn = [message for message in taken if is_worn(message, _MOST_PEEKS)]
        if is_dead_letter_queue(queue):
            worn = []  # nothing happens to a dead letter however often it is looked at
        tags = {message.delivery_tag for message in worn}
        link.acknowledge({message.delivery_tag for message in taken} - tags, puts_back=True)
        self._publish(link, [self._put_back(link, message, queue) for message in worn])
        link.acknowledge(tags)
        return [delivery_of(message, queue, "", None) for message in taken]

    def purge(self, queue: str) -> int:
        """Throw away what can be delivered."""
        with self._using() as link:
            if link.names.look_at(queue) is None:
                raise UnknownQueueError(queue, where=str(self._address))
            return int(link.names.call(spec.Queue.Purge(queue=queue), spec.Queue.PurgeOk).message_count)

    def close(self) -> None:
        """End the connection; harmless when repeated."""
        if self._ending.is_set():
            return
        self._ending.set()
        self._waker.wake()
        with self._lock:
            if self._link is not None:
                self._leave(self._link)
                self._link = None
        if threading.current_thread() is not self._keeper:
            self._keeper.join(5.0)
        self._waker.close()

    def _leave(self, link: AmqpLink) -> None:
        try:
            link.connection.read(0.0)
            if any(map(is_worn, link.connection.incoming)):
                link.end_consumers()
                self._spare(link, within_s=_LAST_WORDS_S)
        except BrokerError as error:
            _log.warning("%s; messages that were fetched ahead are delivered again", error)
        link.connection.close()

    # Sending

    def _publications(self, link: AmqpLink, messages: Sequence[Outgoing]) -> list[Publication]:
        found = []
        for message in messages:
            exchange, key = self._destination(link, message)
            if message.delay_s:
                exchange = link.names.hold_back(message.delay_s, exchange)
            found.append(self._publication(link, exchange, key, properties_of(message), message.body))
        return found

    def _destination(self, link: AmqpLink, message: Outgoing) -> tuple[str, str]:
        """Return exchange and routing key, or raise `UnknownQueueError`."""
        if message.topic:
            link.names.declare_exchange(message.topic, "fanout")
            return message.topic, ""
        if message.exchange:
            if not link.names.has_exchange(message.exchange):
                raise UnknownQueueError(message.queue, where=f"{self._address}, no exchange {message.exchange!r}")
        elif not link.names.has_queue(message.queue):
            raise UnknownQueueError(message.queue, where=str(self._address))
        return message.exchange, message.queue

    def _publication(self, link: AmqpLink, exchange: str, key: str, properties: Properties, body: bytes) -> Publication:
        frame_max = link.connection.frame_max
        frames = list(publish_frames(SENDING, exchange, key, properties, body, frame_max=frame_max))
        return Publication(key or exchange, frames)

    def _publish(self, link: AmqpLink, messages: list[Publication], *, within_s: float = ANSWER_S) -> None:
        """Send messages; those that came back, because their queue went after it was looked for, are dead letters."""
        for _ in range(_MOST_HOMES):
            homeless = link.publish(messages, within_s=within_s)
            if not homeless:
                return
            messages = [self._housed(link, message) for message in homeless]
        raise BrokerRefusedError(f"{self._address}: no queue takes messages for {homeless[0].routing_key!r}")

    def _housed(self, link: AmqpLink, message: Incoming) -> Publication:
        key = message.routing_key
        _log.error("no queue takes a message for %r (%s); it is a dead letter now", key, message.reason)
        self.n_unroutable += 1
        link.names.forget(key)
        own = not message.exchange and not is_dead_letter_queue(key)
        dead = link.names.declare_dead_letters(key if own else UNROUTABLE)
        link.names.forget(dead)
        properties = dead_letter_of(message, key, f"no queue took it: {message.reason}")
        return self._publication(link, "", dead, properties, message.body)

    # Connections

    @contextmanager
    def _using(self) -> Iterator[AmqpLink]:
        """Hold the connection, made again if need be; drop it if it fails."""
        with self._lock:
            self._check_open()
            link = self._link or self._connect_again(raises=True)
            assert link is not None
            try:
                yield link
            except (AmqpConnectionError, AmqpChannelError) as error:
                self._drop(link, error)
                if isinstance(error, AmqpChannelError) and error.code in _NOT_ALLOWED:
                    raise BrokerRefusedError(str(error)) from None
                raise AmqpConnectionError(str(error)) from None

    @contextmanager
    def _answering(self, deliveries: Sequence[Delivery]) -> Iterator[tuple[AmqpLink, set[int]]]:
        """Hold the connection that deliveries came on."""
        with self._lock:
            self._check_open()
            link = self._link
            tags = set()
            for delivery in deliveries:
                owner, message = delivery.token if isinstance(delivery.token, tuple) else (None, None)
                if link is None or owner is not link or message is None or message.delivery_tag not in link.unsettled:
                    raise LostDeliveryError(
                        f"{self._address}: message {delivery.message_id} of {delivery.queue!r} was settled already, "
                        "or the connection it came on is gone; it is delivered again then"
                    )
                tags.add(message.delivery_tag)
            assert link is not None
            try:
                yield link, tags
            except (AmqpConnectionError, AmqpChannelError) as error:
                self._drop(link, error)
                raise LostDeliveryError(f"{error}; {len(tags)} messages are delivered again") from None

    def _check_open(self) -> None:
        if self._ending.is_set():
            raise BrokerError(f"the connection to {self._address} was closed")

    def _pause_s(self) -> float:
        return _PAUSES_S[min(self._n_attempts, len(_PAUSES_S) - 1)]

    def _connect_again(self, *, raises: bool = False) -> AmqpLink | None:
        try:
            link = AmqpLink(self._address)
            for subscription in self._subscriptions.values():
                subscription.tag = ""
                try:
                    link.consume(subscription)
                except UnknownQueueError as error:
                    _log.warning("%s; it is looked for again", error)
        except BrokerError as error:
            if self._n_attempts in (0, 5) or self._n_attempts % 60 == 0:
                _log.warning("%s; trying again", error)
            self._n_attempts += 1
            if raises:
                raise
            return None
        _log.warning("connected to %s again", self._address)
        self._n_attempts = 0
        self._link = link
        return link

    def _drop(self, link: AmqpLink, error: BrokerError) -> None:
        _log.warning("%s; %d messages that were out are delivered again", error, len(link.unsettled))
        link.connection.close_socket()
        if self._link is link:
            self._link = None

    def _keep(self) -> None:
        """Serve heartbeats while whoever uses this is busy with something else."""
        while not self._ending.wait(self._address.heartbeat_s / 5):
            if self._lock.acquire(blocking=False):  # whoever holds it serves them
                try:
                    link = self._link
                    if link is not None:
                        link.connection.read(0.0)
                except (AmqpConnectionError, AmqpChannelError) as error:
                    assert link is not None
                    self._drop(link, error)
                finally:
                    self._lock.release()


def _hopeless(message: Incoming, queue: str) -> str:
    """Return why a message cannot be handed out; empty if it can."""
    if is_dead_letter_queue(queue):
        return ""
    if message.properties.problem:
        return f"its properties cannot be read: {message.properties.problem}"
    return NEVER_SETTLED if has_failed_too_often(message) else ""


def _identified(messages: Sequence[Outgoing]) -> list[Outgoing]:
    return [m if m.message_id else replace(m, message_id=new_message_id()) for m in messages]
