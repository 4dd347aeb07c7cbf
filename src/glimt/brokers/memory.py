"""A broker in the memory of one process, for its threads: tests, and recipes that run in one go."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from glimt.brokers.broker import Delivery, Outgoing, QueueSpec, QueueStatus
from glimt.brokers.dead_letter import NEVER_SETTLED, dead_letter_headers, dead_letter_queue, is_dead_letter_queue
from glimt.brokers.memory_queue import MemoryQueue, MemorySubscription, StoredMessage
from glimt.brokers.outgoing_check import check_name, check_outgoing, check_queues, new_message_id
from glimt.model.errors import BrokerError, LostDeliveryError, UnknownQueueError

_log = logging.getLogger(__name__)
_MAX_BROADCASTS = 10_000


@dataclass(eq=False)
class MemoryBrokerHub:
    """What all connections to one name share; it lives as long as the process.

    Attributes
    ----------
    changed : threading.Condition
        Guards everything, and is notified when a receiver may have something to do.
    queues : dict of str to MemoryQueue
    listeners : dict of str to list of MemoryBroker
        By topic.
    """

    changed: threading.Condition = field(default_factory=threading.Condition)
    queues: dict[str, MemoryQueue] = field(default_factory=dict)
    listeners: dict[str, list[MemoryBroker]] = field(default_factory=dict)
    sequence: int = 0

    def next_number(self) -> int:
        """Return a number that was never given before."""
        self.sequence += 1
        return self.sequence

    def queue(self, name: str, url: str) -> MemoryQueue:
        """Return a queue, up to date."""
        if name not in self.queues:
            raise UnknownQueueError(name, where=url)
        self.queues[name].refresh(time.monotonic_ns())
        return self.queues[name]

    def put(self, message: Outgoing) -> None:
        """Take a message whose queue is there, or a broadcast."""
        if message.queue:
            self.queues[message.queue].put(message, self.next_number(), time.monotonic_ns())
            return
        heard = replace(message, headers=dict(message.headers), message_id=message.message_id or new_message_id())
        for listener in self.listeners.get(message.topic, ()):
            listener.hear(heard)

    def bury(self, queue: MemoryQueue, stored: StoredMessage, reason: str) -> None:
        """Make a dead letter of a message."""
        name = queue.spec.name
        if not queue.spec.has_dead_letters:
            _log.warning("message %s of %s is thrown away: %s", stored.content.message_id, name, reason)
            return
        target = dead_letter_queue(name)
        headers = dead_letter_headers(stored.content.headers, reason, name)
        content = replace(stored.content, queue=target, headers=headers, expiration_s=None, delay_s=0.0)
        self.queues.setdefault(target, MemoryQueue(QueueSpec(target))).put(
            content, self.next_number(), time.monotonic_ns()
        )

    def give_back(self, queue: MemoryQueue, stored: StoredMessage, *, delay_s: float = 0.0, reason: str) -> None:
        """Let a message that was delivered be delivered again, or bury it."""
        if queue.is_dead(stored):
            self.bury(queue, stored, reason)
        else:
            queue.put_back(stored, time.monotonic_ns(), delay_s=delay_s)


_hubs: dict[str, MemoryBrokerHub] = {}
_hubs_lock = threading.Lock()


class MemoryBroker:
    """A connection to a `MemoryBrokerHub`; see `glimt.brokers.broker.Broker`.

    Parameters
    ----------
    url : str
        ``memory:NAME``: connections of the same name in one process share queues and messages.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        with _hubs_lock:
            self.hub = _hubs.setdefault(url.partition(":")[2], MemoryBrokerHub())
        self._subscriptions: dict[str, MemorySubscription] = {}
        self._held: dict[int, tuple[str, StoredMessage]] = {}
        self._heard: deque[StoredMessage] = deque(maxlen=_MAX_BROADCASTS)
        self._is_woken = False
        self._is_closed = False

    def declare(
        self, queues: Sequence[QueueSpec], *, topics: Sequence[str] = (), exchanges: Sequence[str] = ()
    ) -> None:
        """Make queues that are not there yet; topics and exchanges need not be made."""
        check_queues(queues, [*topics, *exchanges])
        with self.hub.changed:
            self._check_open()
            for spec in queues:
                self.hub.queues.setdefault(spec.name, MemoryQueue(spec))

    def subscribe(self, queue: str, *, prefetch: int = 1, exclusive: bool = False) -> None:
        """Let `receive` return messages of a queue."""
        with self.hub.changed:
            self._check_open()
            found = self.hub.queue(queue, self.url)
            known = self._subscriptions.get(queue)
            if known is None:
                known = self._subscriptions[queue] = MemorySubscription(prefetch, exclusive)
                found.subscriptions.append(known)
            known.prefetch, known.exclusive = max(prefetch, 1), exclusive

    def listen(self, topic: str) -> None:
        """Let `receive` return broadcasts of a topic from now on."""
        check_name(topic, "topic")
        with self.hub.changed:
            self._check_open()
            listeners = self.hub.listeners.setdefault(topic, [])
            if self not in listeners:
                listeners.append(self)

    def receive(self, limit: int = 1, *, timeout_s: float = 0.0) -> list[Delivery]:
        """Return up to ``limit`` messages; none after ``timeout_s`` or `wake`."""
        end_ns = time.monotonic_ns() + int(1e9 * timeout_s)
        with self.hub.changed:
            while True:
                self._check_open()
                deliveries = self._take(limit)
                left_ns = end_ns - time.monotonic_ns()
                if deliveries or self._is_woken or left_ns <= 0:
                    self._is_woken = False
                    return deliveries
                self.hub.changed.wait(1e-9 * min(left_ns, max(self._next_due_ns() - time.monotonic_ns(), 0)))

    def wake(self) -> None:
        """Let a `receive` that waits in another thread return."""
        with self.hub.changed:
            self._is_woken = True
            self.hub.changed.notify_all()

    def send(self, messages: Sequence[Outgoing]) -> None:
        """Send messages, all or none."""
        self.settle((), messages)

    def has_queue(self, queue: str, *, exchange: str = "") -> bool:
        """Say whether the queue is there; exchanges are not looked at."""
        with self.hub.changed:
            self._check_open()
            return queue in self.hub.queues

    def settle(self, done: Sequence[Delivery], messages: Sequence[Outgoing] = ()) -> None:
        """Acknowledge deliveries and send messages, as one."""
        check_outgoing(messages)
        with self.hub.changed:
            self._check_open()
            tokens = {self._token(delivery) for delivery in done if not delivery.topic}
            for message in messages:
                if message.queue and message.queue not in self.hub.queues:
                    raise UnknownQueueError(message.queue, where=self.url)
            for token in tokens:
                self._release(token)
            for message in messages:
                self.hub.put(message)
            self.hub.changed.notify_all()

    def refuse(self, delivery: Delivery, reason: str, *, retry_after_s: float | None = None) -> None:
        """Give a message back, to be delivered again or as a dead letter."""
        if delivery.topic:
            return
        with self.hub.changed:
            self._check_open()
            queue, stored = self._release(self._token(delivery))
            if retry_after_s is not None or is_dead_letter_queue(delivery.queue):
                self.hub.give_back(queue, stored, delay_s=retry_after_s or 0.0, reason=reason)
            else:
                self.hub.bury(queue, stored, reason)
            self.hub.changed.notify_all()

    def status(self) -> list[QueueStatus]:
        """Return all queues, by name."""
        with self.hub.changed:
            self._check_open()
            return [self.hub.queue(name, self.url).status() for name in sorted(self.hub.queues)]

    def peek(self, queue: str, limit: int = 10) -> list[Delivery]:
        """Return the first messages of a queue that can be delivered, and leave them there."""
        with self.hub.changed:
            self._check_open()
            ready = sorted(self.hub.queue(queue, self.url).ready)[:limit]
            return [stored.delivery(queue, None) for _, _, stored in ready]

    def purge(self, queue: str) -> int:
        """Throw away all messages of a queue that can be delivered, and return how many."""
        with self.hub.changed:
            self._check_open()
            ready = self.hub.queue(queue, self.url).ready
            n_thrown = len(ready)
            ready.clear()
            return n_thrown

    def close(self) -> None:
        """End the connection; what was received and not settled is delivered again."""
        with self.hub.changed:
            if not self._is_closed:
                self.drop()
                for name, subscription in self._subscriptions.items():
                    self.hub.queues[name].subscriptions.remove(subscription)
                for listeners in self.hub.listeners.values():
                    if self in listeners:
                        listeners.remove(self)
                self._is_closed = True
                self.hub.changed.notify_all()

    def drop(self) -> None:
        """Give back everything that is with this connection, which goes on; its deliveries are lost."""
        with self.hub.changed:
            for token in list(self._held):
                queue, stored = self._release(token)
                self.hub.give_back(queue, stored, reason=NEVER_SETTLED)
            self.hub.changed.notify_all()

    def hear(self, message: Outgoing) -> None:
        """Take a broadcast; of those not received only the newest 10,000 are kept. Called under the hub's lock."""
        lifetime = message.expiration_s
        expires_ns = None if lifetime is None else time.monotonic_ns() + int(1e9 * (lifetime + message.delay_s))
        self._heard.append(StoredMessage(time.monotonic_ns() + int(1e9 * message.delay_s), message, expires_ns))

    def _take(self, limit: int) -> list[Delivery]:
        now_ns = time.monotonic_ns()
        taken = self._take_broadcasts(limit, now_ns)
        served = []
        for name, subscription in self._subscriptions.items():
            queue = self.hub.queues[name]
            queue.refresh(now_ns)
            if queue.is_served(subscription):
                served.append((queue, subscription))
        while len(taken) < limit:
            choices = [(q, s) for q, s in served if q.ready and s.n_held < s.prefetch]
            if not choices:
                break
            queue, subscription = min(choices, key=lambda choice: choice[0].ready[0][:2])
            taken.append(self._claim(queue, subscription))
        return taken

    def _claim(self, queue: MemoryQueue, subscription: MemorySubscription) -> Delivery:
        stored = queue.pop()
        stored.n_deliveries += 1
        subscription.n_held += 1
        token = self.hub.next_number()
        self._held[token] = (queue.spec.name, stored)
        return stored.delivery(queue.spec.name, token)

    def _take_broadcasts(self, limit: int, now_ns: int) -> list[Delivery]:
        due = [heard for heard in self._heard if heard.sequence <= now_ns][:limit]
        for heard in due:
            self._heard.remove(heard)
        return [h.delivery("", None) for h in due if h.expires_ns is None or h.expires_ns > now_ns]

    def _next_due_ns(self) -> int:
        """Return when something may be to do without anybody saying so [ns, monotonic]."""
        times = [heard.sequence for heard in self._heard]
        for name in self._subscriptions:
            delayed = self.hub.queues[name].delayed
            times += [delayed[0][0]] if delayed else []
        return min(times, default=2**62)

    def _token(self, delivery: Delivery) -> int:
        token = delivery.token
        if not isinstance(token, int) or token not in self._held:
            raise LostDeliveryError(f"message {delivery.message_id} of {delivery.queue} is no longer this receiver's")
        return token

    def _release(self, token: int) -> tuple[MemoryQueue, StoredMessage]:
        name, stored = self._held.pop(token)
        self._subscriptions[name].n_held -= 1
        return self.hub.queues[name], stored

    def _check_open(self) -> None:
        if self._is_closed:
            raise BrokerError(f"{self.url}: this connection was closed")
