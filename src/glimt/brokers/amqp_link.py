"""A connection with all a broker has on it: its channels, its consumers, and what is out with whoever receives."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence, Set
from dataclasses import dataclass

from pika import spec

from glimt.brokers.amqp_address import AmqpAddress
from glimt.brokers.amqp_connection import AmqpChannelError, AmqpConnection, Incoming
from glimt.brokers.amqp_frames import ack_frame, requeue_frame
from glimt.brokers.amqp_names import AmqpNames
from glimt.model.errors import BrokerError, BrokerRefusedError, UnknownQueueError

_log = logging.getLogger(__name__)
WORK, TOPICS, SENDING = 1, 3, 4
ANSWER_S = 60.0
_TOPIC_PREFETCH = 200
_TRY_AGAIN_S = 0.25


@dataclass(slots=True)
class Subscription:
    """What is received from a queue or a topic.

    Attributes
    ----------
    name : str
        Of the queue or topic.
    prefetch : int
    exclusive : bool
    is_topic : bool
    tag : str
        Of the consumer; empty while there is none.
    """

    name: str
    prefetch: int = _TOPIC_PREFETCH
    exclusive: bool = False
    is_topic: bool = False
    tag: str = ""


@dataclass(frozen=True, slots=True)
class Publication:
    """A message on its way: where to, and its frames."""

    destination: str
    frames: Sequence[bytes]


class AmqpLink:
    """One connection, from the handshake to its end; a broker that connects again makes a new one.

    Attributes
    ----------
    connection : AmqpConnection
    names : AmqpNames
    unsettled : set of int
        Tags of the deliveries that were handed out and neither settled nor refused.
    """

    def __init__(self, address: AmqpAddress) -> None:
        self.connection = AmqpConnection(address)
        self.unsettled: set[int] = set()
        self._consumers: dict[str, Subscription] = {}
        self._tried_at = 0.0
        try:
            for channel in (WORK, TOPICS):
                self.connection.open_channel(channel)
            self.connection.select_confirms(SENDING)
            self.names = AmqpNames(self.connection)
        except BrokerError:
            self.connection.close_socket()
            raise

    def consume(self, subscription: Subscription) -> bool:
        """Begin to receive; ``False`` if it must wait for another one to go.

        Raises
        ------
        UnknownQueueError
            There is no such queue.
        """
        if subscription.is_topic:
            self._listen(subscription)
            return True
        name = subscription.name
        if not self.names.has_queue(name):
            raise UnknownQueueError(name, where=str(self.connection.address))
        if subscription.tag:
            self.connection.call(WORK, spec.Basic.Cancel(consumer_tag=subscription.tag), spec.Basic.CancelOk)
            subscription.tag = ""
        elif subscription.exclusive and not self.names.lock(name):
            return False
        self._start(WORK, subscription, name)
        return True

    def _listen(self, subscription: Subscription) -> None:
        self.names.declare_exchange(subscription.name, "fanout")
        made = spec.Queue.Declare(queue="", exclusive=True, auto_delete=True)
        queue = self.names.call(made, spec.Queue.DeclareOk).queue
        self.names.call(spec.Queue.Bind(queue=queue, exchange=subscription.name), spec.Queue.BindOk)
        self._start(TOPICS, subscription, queue)

    def _start(self, channel: int, subscription: Subscription, queue: str) -> None:
        call = self.connection.call
        call(channel, spec.Basic.Qos(prefetch_count=min(subscription.prefetch, 0xFFFF)), spec.Basic.QosOk)
        # The first deliveries may come with the answer, so the name is ours.
        subscription.tag = f"{'t' if subscription.is_topic else 'q'}{len(self._consumers)}"
        self._consumers[subscription.tag] = subscription
        call(channel, spec.Basic.Consume(queue=queue, consumer_tag=subscription.tag), spec.Basic.ConsumeOk)

    def mend(self, subscriptions: list[Subscription]) -> bool:
        """Begin what could not begin yet, or was ended because its queue went; ``True`` if something still waits."""
        while self.connection.canceled:
            lost = self._consumers.get(self.connection.canceled.pop())
            if lost is not None and lost.tag:
                _log.warning("the queue %r is gone; it is looked for again", lost.name)
                lost.tag = ""
                self.names.forget(lost.name)
        waiting = [subscription for subscription in subscriptions if not subscription.tag]
        if waiting and time.monotonic() - self._tried_at >= _TRY_AGAIN_S:
            self._tried_at = time.monotonic()
            for subscription in waiting:
                try:
                    self.consume(subscription)
                except UnknownQueueError:
                    continue
        return any(not subscription.tag for subscription in subscriptions)

    def source_of(self, message: Incoming) -> Subscription:
        """Return what a message was received by."""
        return self._consumers[message.consumer_tag]

    def acknowledge_broadcast(self, message: Incoming) -> None:
        """Let the next one come."""
        self.connection.write([ack_frame(TOPICS, message.delivery_tag)])

    def publish(self, publications: Sequence[Publication], *, within_s: float = ANSWER_S) -> list[Incoming]:
        """Send messages, wait until the broker has all of them safely, and return those that no queue took.

        The channel is one of its own: when the broker closes it, what was received stays ours.

        Raises
        ------
        BrokerRefusedError
            The broker did not take some; others it may have.
        """
        if not publications:
            return []
        returned = self.connection.returned
        returned.clear()
        try:
            frames = [frame for publication in publications for frame in publication.frames]
            rejected = self.connection.publish(frames, len(publications), within_s=within_s)
        except AmqpChannelError as error:
            if error.channel != SENDING:
                raise
            self.connection.select_confirms(SENDING)
            self.names.forget_all()
            raise BrokerRefusedError(str(error)) from None
        if rejected:
            where = ", ".join(sorted({repr(publications[n].destination) for n in rejected})[:5])
            raise BrokerRefusedError(
                f"{self.connection.address} does not take {len(rejected)} of {len(publications)} messages, "
                f"for {where}: is the queue full?"
            )
        found = list(returned)
        returned.clear()
        return found

    def acknowledge(self, tags: Set[int], *, puts_back: bool = False) -> None:
        """Acknowledge deliveries, or put them back, which counts as a delivery."""
        if tags:
            answer = requeue_frame if puts_back else ack_frame
            self.connection.write_and_wait([answer(WORK, tag) for tag in sorted(tags)], WORK)
        self.unsettled -= tags

    def end_consumers(self) -> None:
        """Let no more messages come; those that came are still out."""
        for tag, subscription in list(self._consumers.items()):
            if subscription.tag == tag and not subscription.is_topic:
                self.connection.call(WORK, spec.Basic.Cancel(consumer_tag=tag), spec.Basic.CancelOk)
                subscription.tag = ""

    def take_some(self, queue: str, limit: int) -> list[Incoming]:
        """Take up to ``limit`` messages; they are out until `acknowledge` acknowledges them or puts them back."""
        found: list[Incoming] = []
        while len(found) < limit and (message := self.connection.get(WORK, queue)) is not None:
            found.append(message)
        return found
