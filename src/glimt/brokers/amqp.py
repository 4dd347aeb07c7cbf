"""RabbitMQ as a broker: quorum queues, one transaction for acknowledgements and sends, delays without a plug-in."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pika import spec

from glimt.brokers.amqp_address import read_amqp_url
from glimt.brokers.amqp_connection import AmqpChannelError, AmqpConnectionError, Incoming, Waker
from glimt.brokers.amqp_frames import Properties, publish_frames
from glimt.brokers.amqp_link import WORK, AmqpLink, Subscription
from glimt.brokers.amqp_messages import (
    count_deliveries,
    dead_letter_of,
    delivery_of,
    has_expired,
    peeked_copy,
    properties_of,
    repeated,
)
from glimt.brokers.amqp_status import queue_states
from glimt.brokers.broker import MAX_DELIVERIES, Delivery, Outgoing, QueueSpec, QueueStatus
from glimt.brokers.dead_letter import NEVER_SETTLED, is_dead_letter_queue
from glimt.brokers.outgoing_check import check_outgoing, check_queues
from glimt.model.errors import BrokerError, LostDeliveryError, UnknownQueueError

_log = logging.getLogger(__name__)
_PAUSES_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_MOST_PEEKS = 2
"""A message that was given back so often is sent again after a look, as one look more might make it a dead letter."""
UNROUTABLE = "unroutable"


class AmqpBroker:
    """A connection to RabbitMQ; see `glimt.brokers.broker.Broker`, which says what each method does.

    What is particular here: priorities count only where a site has made classic queues with ``x-max-priority``; a
    message whose expiration runs out in a queue with dead letters becomes one; a message for an exchange that no queue
    takes goes to ``dlq.unroutable``. Delays are rounded up to two digits.

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
        self._homeless: list[Incoming] = []
        self._n_attempts = 0
        self._link: AmqpLink | None = AmqpLink(self._address)
        self._keeper = threading.Thread(target=self._keep, name="AMQP heartbeats", daemon=True)
        self._keeper.start()

    def declare(
        self, queues: Sequence[QueueSpec], *, topics: Sequence[str] = (), exchanges: Sequence[str] = ()
    ) -> None:
        """Make what is not there yet; queues that are there stay as the site has made them."""
        check_queues(queues, topics)
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
                found.append(delivery_of(message, "", source.name, None))
            elif has_expired(message):
                link.commit([], {message.delivery_tag})
            elif self._has_failed_too_often(message, source.name):
                self._bury(link, message, source.name, NEVER_SETTLED)
            else:
                link.unsettled.add(message.delivery_tag)
                found.append(delivery_of(message, source.name, "", (link, message)))
        return found

    def _has_failed_too_often(self, message: Incoming, queue: str) -> bool:
        return not is_dead_letter_queue(queue) and count_deliveries(message) > MAX_DELIVERIES

    def wake(self) -> None:
        """Let a `receive` that waits in another thread return."""
        if not self._ending.is_set():
            self._waker.wake()

    def send(self, messages: Sequence[Outgoing]) -> None:
        """Send messages, all or none; while no node answers it is tried for the patience of the URL."""
        check_outgoing(messages)
        deadline = time.monotonic() + self._address.patience_s
        while True:
            try:
                with self._using() as link:
                    self._commit(link, list(self._frames(link, messages)), set())
            except AmqpConnectionError:
                if self._ending.is_set() or time.monotonic() >= deadline:
                    raise
                self._ending.wait(self._pause_s())
            else:
                return

    def settle(self, done: Sequence[Delivery], messages: Sequence[Outgoing] = ()) -> None:
        """Acknowledge deliveries and send messages in one transaction."""
        done = [delivery for delivery in done if not delivery.topic]
        if not done:
            self.send(messages)
            return
        check_outgoing(messages)
        with self._answering(done) as (link, tags):
            self._commit(link, list(self._frames(link, messages)), tags)

    def refuse(self, delivery: Delivery, reason: str, *, retry_after_s: float | None = None) -> None:
        """Give a message back: later, or to the dead letters."""
        if delivery.topic:
            return
        with self._answering([delivery]) as (link, tags):
            message: Incoming = delivery.token[1]  # type: ignore[index]  # checked by _answering
            queue = delivery.queue
            if is_dead_letter_queue(queue):
                link.commit([], tags, puts_back=True)
            elif retry_after_s is None or delivery.n_deliveries >= MAX_DELIVERIES:
                self._bury(link, message, queue, reason)
            else:
                exchange = link.names.hold_back(retry_after_s, "") if retry_after_s > 0 else ""
                properties = repeated(message, delivery.n_deliveries)
                self._commit(link, self._publish(link, exchange, queue, properties, message.body), tags)

    def _bury(self, link: AmqpLink, message: Incoming, queue: str, reason: str) -> None:
        spec_of = self._specs.get(queue)
        tags = {message.delivery_tag}
        if spec_of is not None and not spec_of.has_dead_letters:
            _log.warning("a message of %r is thrown away, the queue has no dead letters: %s", queue, reason)
            self._commit(link, [], tags)
            return
        dead = link.names.declare_dead_letters(queue)
        frames = self._publish(link, "", dead, dead_letter_of(message, queue, reason), message.body)
        self._commit(link, frames, tags)

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
        worn = [m for m in taken if m.properties.headers.get("x-delivery-count", 0) >= _MOST_PEEKS]
        if is_dead_letter_queue(queue):
            worn = []  # nothing happens to a dead letter however often it is looked at
        tags = {message.delivery_tag for message in worn}
        frames = [
            part for message in worn for part in self._publish(link, "", queue, peeked_copy(message), message.body)
        ]
        link.commit([], {message.delivery_tag for message in taken} - tags, puts_back=True)
        self._commit(link, frames, tags)
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
                self._link.connection.close()
                self._link = None
        if threading.current_thread() is not self._keeper:
            self._keeper.join(5.0)
        self._waker.close()

    # Sending

    def _frames(self, link: AmqpLink, messages: Sequence[Outgoing]) -> Iterator[bytes]:
        for message in messages:
            exchange, key = self._destination(link, message)
            if message.delay_s:
                exchange = link.names.hold_back(message.delay_s, exchange)
            yield from self._publish(link, exchange, key, properties_of(message), message.body)

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

    def _publish(self, link: AmqpLink, exchange: str, key: str, properties: Properties, body: bytes) -> list[bytes]:
        frame_max = link.connection.frame_max
        return list(publish_frames(WORK, exchange, key, properties, body, frame_max=frame_max))

    def _commit(self, link: AmqpLink, frames: list[bytes], tags: set[int]) -> None:
        if not frames and not tags:
            return
        try:
            link.commit(frames, tags)
        finally:
            self._homeless += link.connection.returned
            link.connection.returned.clear()
        if self._homeless:
            self._house(link)

    def _house(self, link: AmqpLink) -> None:
        """Keep messages that came back, because their queue went after it was looked for, as dead letters."""
        homeless, frames = list(self._homeless), []
        for message in homeless:
            key = message.routing_key
            _log.error("no queue takes a message for %r (%s); it is a dead letter now", key, message.reason)
            link.names.forget(key)
            own = not message.exchange and not is_dead_letter_queue(key)
            dead = link.names.declare_dead_letters(key if own else UNROUTABLE)
            link.names.forget(dead)
            properties = dead_letter_of(message, key, f"no queue took it: {message.reason}")
            frames += self._publish(link, "", dead, properties, message.body)
        link.commit(frames)
        self.n_unroutable += len(homeless)
        del self._homeless[: len(homeless)]

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
            if self._homeless:
                self._house(link)
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
