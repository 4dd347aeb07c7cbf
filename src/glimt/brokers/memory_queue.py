"""One queue of the broker that lives in this process's memory."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field, replace

from glimt.brokers.broker import MAX_DELIVERIES, Delivery, Outgoing, QueueSpec, QueueStatus
from glimt.brokers.dead_letter import is_dead_letter_queue
from glimt.brokers.outgoing_check import new_message_id


@dataclass(slots=True)
class StoredMessage:
    """A message in a queue; ``sequence`` is its place in the order of sending, times are monotonic [ns]."""

    sequence: int
    content: Outgoing
    expires_ns: int | None
    n_deliveries: int = 0

    def delivery(self, queue: str, token: object) -> Delivery:
        """Return what a receiver gets."""
        content = self.content
        return Delivery(
            content.body, queue, content.topic, content.headers, content.message_id,
            max(self.n_deliveries, 1), content.priority, token,
        )  # fmt: skip


@dataclass(slots=True, eq=False)
class MemorySubscription:
    """Who receives from a queue, and what it holds."""

    prefetch: int
    exclusive: bool
    n_held: int = 0


@dataclass(slots=True)
class MemoryQueue:
    """A queue; everything in it is done under the hub's lock."""

    spec: QueueSpec
    ready: list[tuple[int, int, StoredMessage]] = field(default_factory=list)
    delayed: list[tuple[int, int, StoredMessage]] = field(default_factory=list)
    subscriptions: list[MemorySubscription] = field(default_factory=list)
    may_expire: bool = False

    def put(self, message: Outgoing, sequence: int, now_ns: int) -> None:
        """Take a new message."""
        limits = [s for s in (self.spec.expiration_s, message.expiration_s) if s is not None]
        expires_ns = None
        if limits and min(limits) == 0:
            if not self._somebody_waits():
                return
        elif limits:
            expires_ns = now_ns + int(1e9 * (min(limits) + message.delay_s))
            self.may_expire = True
        if not message.message_id:
            message = replace(message, message_id=new_message_id())
        stored = StoredMessage(sequence, replace(message, headers=dict(message.headers)), expires_ns)
        self.put_back(stored, now_ns, delay_s=message.delay_s)

    def put_back(self, stored: StoredMessage, now_ns: int, *, delay_s: float = 0.0) -> None:
        """Make a message deliverable, now or later."""
        if delay_s > 0:
            heapq.heappush(self.delayed, (now_ns + int(1e9 * delay_s), stored.sequence, stored))
        else:
            heapq.heappush(self.ready, (-stored.content.priority, stored.sequence, stored))

    def pop(self) -> StoredMessage:
        """Take out the message that is to be delivered next."""
        return heapq.heappop(self.ready)[2]

    def refresh(self, now_ns: int) -> None:
        """Let delayed messages that are due become ready, and throw away what is too old."""
        while self.delayed and self.delayed[0][0] <= now_ns:
            self.put_back(heapq.heappop(self.delayed)[2], now_ns)
        if self.may_expire:
            self.ready = [r for r in self.ready if r[2].expires_ns is None or r[2].expires_ns > now_ns]
            heapq.heapify(self.ready)
            waiting = [*self.ready, *self.delayed]
            self.may_expire = any(stored.expires_ns is not None for _, _, stored in waiting) or self.n_held > 0

    def is_served(self, subscription: MemorySubscription) -> bool:
        """Say whether a subscription gets messages now, or another one must go first."""
        rivals = [s for s in self.subscriptions if self.spec.single_consumer or s.exclusive]
        return not (self.spec.single_consumer or subscription.exclusive) or rivals[0] is subscription

    def is_dead(self, stored: StoredMessage) -> bool:
        """Say whether a message has been delivered too often to be delivered again."""
        return stored.n_deliveries >= MAX_DELIVERIES and not is_dead_letter_queue(self.spec.name)

    @property
    def n_held(self) -> int:
        """Messages that are with receivers."""
        return sum(subscription.n_held for subscription in self.subscriptions)

    def status(self) -> QueueStatus:
        """Return how full it is."""
        return QueueStatus(self.spec.name, len(self.ready), len(self.delayed), self.n_held, len(self.subscriptions))

    def _somebody_waits(self) -> bool:
        room = sum(s.prefetch - s.n_held for s in self.subscriptions if self.is_served(s))
        return room > len(self.ready)
