"""What every message broker does: the contract between services and whatever carries their messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

Header = str | int | float | bool | None

DEAD_LETTER_PREFIX = "dlq."
MAX_DELIVERIES = 6
"""A message that was delivered so often and never settled becomes a dead letter; Diamond's ``delivery-limit: 5``."""

REASON, ORIGIN, DIED_NS = "glimt-reason", "glimt-queue", "glimt-died-ns"
"""Headers of dead letters: why, the queue it was in, and when [ns, UTC]."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to be sent.

    Attributes
    ----------
    body : bytes
        JSON, or MsgPack where sender and receiver agreed on it.
    queue : str
        The queue, or the routing key with ``exchange``. Empty for a broadcast.
    topic : str
        Name of a broadcast, which all who listen now receive. Empty for a queue.
    exchange : str
        Named exchange to publish to (RabbitMQ); the embedded brokers deliver to ``queue``.
    headers : mapping of str to Header
    message_id : str
        Identity of the message, the same when it is sent again; empty to let the broker make one.
    priority : int
        0 to 9; higher first.
    delay_s : float
        Not delivered before.
    expiration_s : float or None
        Thrown away if it was not delivered by then.
    """

    body: bytes
    queue: str = ""
    topic: str = ""
    exchange: str = ""
    headers: Mapping[str, Header] = field(default_factory=dict)
    message_id: str = ""
    priority: int = 0
    delay_s: float = 0.0
    expiration_s: float | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message that was delivered and waits to be settled or refused.

    Attributes
    ----------
    body : bytes
    queue : str
        Where it came from; empty for a broadcast.
    topic : str
        Empty for a message of a queue. Broadcasts need not be settled.
    headers : mapping of str to Header
        As sent. Headers of the broker's own are left out, but for those of dead letters.
    message_id : str
        Never empty: a message that was sent without one gets the same one at each delivery.
    n_deliveries : int
        1 the first time.
    priority : int
    token : object
        The broker's own.
    is_identified : bool
        False if the sender gave no identity, as Zocalo's do not: ``message_id`` is then made of the content, and
        another message that says the same has the same one. It is good for logs, not to know a message that comes
        again.
    """

    body: bytes
    queue: str
    topic: str
    headers: Mapping[str, Header]
    message_id: str
    n_deliveries: int
    priority: int
    token: object
    is_identified: bool = True


@dataclass(frozen=True, slots=True)
class QueueSpec:
    """A queue that shall exist.

    Attributes
    ----------
    name : str
    single_consumer : bool
        Only one of those who receive gets messages; when it goes, another takes over.
    expiration_s : float or None
        Messages nobody took within that time are thrown away (0: unless somebody waits for one).
    has_dead_letters : bool
        False: a message that is refused is thrown away, with a line in the log.
    bindings : tuple of (str, str)
        Exchange and routing key pattern (``xrc.#``) from which the queue is fed as well.
    """

    name: str
    single_consumer: bool = False
    expiration_s: float | None = None
    has_dead_letters: bool = True
    bindings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """How full a queue is.

    Attributes
    ----------
    name : str
    n_ready, n_delayed, n_unsettled : int
        Messages that can be delivered, that wait for their time, and that are with a receiver. RabbitMQ does not tell
        how many of a queue's are delayed: there ``n_delayed`` is counted for the holding queues instead.
    n_receivers : int or None
        ``None`` where the broker cannot tell.
    """

    name: str
    n_ready: int
    n_delayed: int
    n_unsettled: int
    n_receivers: int | None


class Broker(Protocol):
    """One connection to a broker; used by one thread, except ``close`` and ``wake``.

    Nothing is lost: what `send` and `settle` returned from is kept by the broker, and what was received and neither
    settled nor refused is delivered again when its receiver dies, disconnects or does not come back. While a receiver
    lives its messages stay its own however long it works on them: the connection sees to that on a thread of its own.

    All methods raise `glimt.model.errors.BrokerError` when the broker cannot be reached or refuses, and `UsageError`
    for a message that no broker could carry. Where a reconnection is possible `receive` makes it by itself, and
    messages that were with this connection are then delivered again (to settle an old delivery raises
    `LostDeliveryError`).
    """

    url: str

    def declare(
        self, queues: Sequence[QueueSpec], *, topics: Sequence[str] = (), exchanges: Sequence[str] = ()
    ) -> None:
        """Make queues, topics and exchanges that are not there yet; those that are stay as they are."""
        ...

    def subscribe(self, queue: str, *, prefetch: int = 1, exclusive: bool = False) -> None:
        """Let `receive` return messages of a queue, with at most ``prefetch`` of them unsettled.

        With ``exclusive`` only one of those who subscribed so gets messages; another takes over when it goes.

        Raises
        ------
        UnknownQueueError
            There is no such queue.
        """
        ...

    def listen(self, topic: str) -> None:
        """Let `receive` return broadcasts of a topic from now on; a topic that is not there is made."""
        ...

    def receive(self, limit: int = 1, *, timeout_s: float = 0.0) -> list[Delivery]:
        """Return up to ``limit`` messages, without waiting for more than the first; none after ``timeout_s`` or `wake`.

        By priority, then in the order of sending.
        """
        ...

    def wake(self) -> None:
        """Let a `receive` that waits in another thread return."""
        ...

    def send(self, messages: Sequence[Outgoing]) -> None:
        """Send messages; when this returns the broker has them all safely.

        If a queue is not there, nothing is sent. If RabbitMQ refuses one of them, as a full queue may, the others may
        have been sent.

        Raises
        ------
        UnknownQueueError
            A queue (or what an exchange would route to) that is not there; nothing was sent.
        """
        ...

    def settle(self, done: Sequence[Delivery], messages: Sequence[Outgoing] = ()) -> None:
        """Acknowledge deliveries and send messages, as one: all of it happens or none.

        Raises
        ------
        LostDeliveryError
            A delivery is no longer this connection's; nothing happened.
        UnknownQueueError
            As `send`; nothing happened.
        """
        ...

    def refuse(self, delivery: Delivery, reason: str, *, retry_after_s: float | None = None) -> None:
        """Give a message back.

        It is delivered again after ``retry_after_s``. Without, or when it has been delivered `MAX_DELIVERIES` times, it
        goes to the queue ``dlq.<queue>`` with the headers `REASON`, `ORIGIN` and `DIED_NS`; that queue is made when it
        is missing.
        """
        ...

    def has_queue(self, queue: str, *, exchange: str = "") -> bool:
        """Say whether a message to this queue would be kept.

        With ``exchange`` RabbitMQ can only say whether there is such an exchange; embedded brokers look for the queue.
        """
        ...

    def status(self) -> list[QueueStatus]:
        """Return all queues known here, by name, dead letter queues included."""
        ...

    def peek(self, queue: str, limit: int = 10) -> list[Delivery]:
        """Return the first messages of a queue that can be delivered, and leave them there.

        On RabbitMQ they are taken and put back.
        """
        ...

    def purge(self, queue: str) -> int:
        """Throw away all messages of a queue that can be delivered, and return how many."""
        ...

    def close(self) -> None:
        """End the connection; what was received and not settled is delivered again. Harmless when repeated."""
        ...
