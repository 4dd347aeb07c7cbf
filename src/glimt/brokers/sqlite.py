"""The broker in one SQLite file, for all processes of one machine: nothing to install, nothing to start."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar
from urllib.parse import parse_qs

from glimt.brokers import sqlite_messages
from glimt.brokers.broker import Delivery, Outgoing, QueueSpec, QueueStatus
from glimt.brokers.outgoing_check import check_name, check_outgoing, check_queues
from glimt.brokers.sqlite_file import SqliteFile, explained, is_out_of_space
from glimt.brokers.sqlite_handover import NOTHING_TOLD, Told, encode_handed, make_deliverable
from glimt.brokers.sqlite_keeper import reap
from glimt.brokers.sqlite_messages import Claim, QueueRow
from glimt.brokers.sqlite_receiver import SqliteReceiver
from glimt.brokers.sqlite_wake import Waker
from glimt.model.errors import BrokerError, LostDeliveryError, UnknownQueueError, UsageError

_R = TypeVar("_R")
_LONGEST_WAIT_S = 1.0
_IDLE_AFTER_S = 0.002
"""A receiver that waits longer lets others claim messages for it. Not at once: that is a transaction, and gets into the
way of those that the next receiver makes with the message that was just sent."""
_ALONE_FROM = 3


class SqliteBroker:
    """A connection to the broker in a file; see `glimt.brokers.broker.Broker`.

    Parameters
    ----------
    url : str
        ``sqlite:PATH``, on a local disk. With ``?synchronous=full`` after it what was sent is safe from a power loss
        as well.

    Raises
    ------
    UsageError
        The URL makes no sense.
    BrokerError
        The file cannot be opened, is none of ours, or a newer glimt made it.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        path, self._is_full = _read_url(url)
        self._file = SqliteFile(path, is_full=self._is_full)
        self._waker = Waker(path)
        self._queues: dict[str, QueueRow] = {}
        self._receiver: SqliteReceiver | None = None
        self._held: dict[Claim, None] = {}
        self._ahead: deque[Delivery] = deque()
        self._limit = 0
        self._lock = threading.RLock()
        self._woken = threading.Event()
        self._is_closed = False

    def declare(
        self, queues: Sequence[QueueSpec], *, topics: Sequence[str] = (), exchanges: Sequence[str] = ()
    ) -> None:
        """Make queues that are not there yet; topics and exchanges need not be made."""
        check_queues(queues, [*topics, *exchanges])
        rows = [(q.name, q.single_consumer, q.expiration_s, q.has_dead_letters) for q in queues]
        with self._lock:
            self._check_open()
            with self._file.writing() as connection:
                connection.executemany("INSERT OR IGNORE INTO queue VALUES (NULL, ?, ?, ?, ?)", rows)

    def subscribe(self, queue: str, *, prefetch: int = 1, exclusive: bool = False) -> None:
        """Let `receive` return messages of a queue."""
        with self._lock:
            row = self._queue(queue)
            self._receiving().subscribe(row, prefetch=max(prefetch, 1), exclusive=exclusive)

    def listen(self, topic: str) -> None:
        """Let `receive` return broadcasts of a topic from now on."""
        check_name(topic, "topic")
        with self._lock:
            self._check_open()
            self._receiving().listen(topic)

    def receive(self, limit: int = 1, *, timeout_s: float = 0.0) -> list[Delivery]:
        """Return up to ``limit`` messages; none after ``timeout_s`` or `wake`.

        From its third delivery on a message comes alone: if it kills its receivers, no other is counted with it.
        """
        with self._lock:
            try:
                return self._receive(limit, timeout_s)
            except BaseException:
                self._stop_waiting()
                raise

    def _receive(self, limit: int, timeout_s: float) -> list[Delivery]:
        start = time.monotonic()
        while True:
            self._check_open()
            waited_s = time.monotonic() - start
            is_over = waited_s >= timeout_s or limit < 1 or self._woken.is_set()
            is_idle = not is_over and waited_s >= _IDLE_AFTER_S
            deliveries = self._take(limit, waits=is_idle)
            if deliveries or is_over:
                self._woken.clear()
                return deliveries
            longest_s = timeout_s - waited_s if is_idle else min(timeout_s, _IDLE_AFTER_S) - waited_s
            if self._receiver is None:
                self._woken.wait(longest_s)
            else:
                self._wait(self._receiver, longest_s)

    def _stop_waiting(self) -> None:
        """Leave nothing with a receiver that ended with an exception, such as Ctrl-C, and may never come back."""
        receiver = self._receiver
        if receiver is not None and receiver.is_waiting and not self._is_closed:
            with contextlib.suppress(BrokerError):
                self._waker.wake(receiver.stop_waiting(self._held_ids()))

    def _wait(self, receiver: SqliteReceiver, longest_s: float) -> None:
        """Wait until there may be something, and take what was handed over."""
        told = receiver.socket.wait(min(longest_s, receiver.next_due_s(), _LONGEST_WAIT_S))
        self._accept(receiver.take_told(told, self._held_ids()) if told else ())

    def wake(self) -> None:
        """Let a `receive` that waits in another thread return."""
        self._woken.set()
        receiver = self._receiver
        if receiver is not None:
            receiver.socket.wake()

    def send(self, messages: Sequence[Outgoing]) -> None:
        """Send messages, all or none."""
        self.settle((), messages)

    def settle(self, done: Sequence[Delivery], messages: Sequence[Outgoing] = ()) -> None:
        """Acknowledge deliveries and send messages, as one."""
        check_outgoing(messages)
        with self._lock:
            self._check_open()
            claims = list(dict.fromkeys(self._claim(delivery) for delivery in done if not delivery.topic))
            routed = [(self._queue(message.queue), message) for message in messages if message.queue]
            topics = [message for message in messages if message.topic]
            if not (claims or messages):
                return
            told, ahead = self._write(lambda: self._settle(claims, routed, topics))
            self._tell(told)
            self._forget(claims)
            self._accept(ahead)

    def refuse(self, delivery: Delivery, reason: str, *, retry_after_s: float | None = None) -> None:
        """Give a message back, to be delivered again or as a dead letter."""
        if delivery.topic:
            return
        with self._lock:
            self._check_open()
            claim = self._claim(delivery)
            retry_at_ns = None if retry_after_s is None else self._file.now_ns() + int(1e9 * max(retry_after_s, 0.0))
            owners = self._write(lambda: self._refuse(claim, reason, retry_at_ns))
            self._forget([claim])
            self._tell(Told(owners, []))

    def has_queue(self, queue: str, *, exchange: str = "") -> bool:
        """Say whether the queue is there; exchanges are not looked at."""
        with self._lock:
            try:
                self._queue(queue)
            except UnknownQueueError:
                return False
            return True

    def status(self) -> list[QueueStatus]:
        """Return all queues, by name."""
        with self._lock:
            self._refresh()
            names = self._file.read("SELECT id, name FROM queue ORDER BY name")
            ready, delayed, claimed, receivers = (
                dict(self._file.read(f"SELECT queue, count(*) FROM {table} GROUP BY queue"))
                for table in ("ready", "delayed", "claimed", "subscription")
            )
        return sorted(
            (
                QueueStatus(name, ready.get(i, 0), delayed.get(i, 0), claimed.get(i, 0), receivers.get(i, 0))
                for i, name in names
            ),
            key=lambda status: status.name,
        )

    def peek(self, queue: str, limit: int = 10) -> list[Delivery]:
        """Return the first messages of a queue that can be delivered, and leave them there."""
        with self._lock:
            self._refresh()
            rows = self._file.read(
                "SELECT b.body, b.headers, b.message_id, r.n_deliveries, r.rank FROM ready r JOIN body b ON b.id = r.id"
                " WHERE r.queue = ? ORDER BY r.rank, r.id LIMIT ?",
                (self._queue(queue).id, limit),
            )
        return [
            Delivery(body, queue, "", sqlite_messages.decode_headers(headers), identity, max(n, 1), 9 - rank, None)
            for body, headers, identity, n, rank in rows
        ]

    def purge(self, queue: str) -> int:
        """Throw away all messages of a queue that can be delivered, and return how many."""
        with self._lock:
            self._refresh()
            number = (self._queue(queue).id,)

            def throw_away() -> int:
                with self._file.writing() as connection:
                    connection.execute("DELETE FROM body WHERE id IN (SELECT id FROM ready WHERE queue = ?)", number)
                    return connection.execute("DELETE FROM ready WHERE queue = ?", number).rowcount

            return self._write(throw_away)

    def close(self) -> None:
        """End the connection; what was received and not settled is delivered again."""
        self._is_closed = True
        self.wake()
        with self._lock:
            receiver, self._receiver = self._receiver, None
            if receiver is not None:
                unseen = {d.token.id: d.n_deliveries - 1 for d in self._ahead if isinstance(d.token, Claim)}
                self._waker.wake(receiver.end(seen=self._held_ids() - unseen.keys(), unseen=unseen))
            self._ahead.clear()
            self._held.clear()
            self._waker.close()
            self._file.close()

    def _receiving(self) -> SqliteReceiver:
        if self._receiver is None:
            self._waker.wake(reap(self._file))
            self._receiver = SqliteReceiver(self._file, SqliteFile(self._file.path, is_full=self._is_full))
        return self._receiver

    def _take(self, limit: int, *, waits: bool) -> list[Delivery]:
        """Return what is there, and claim it if that is still to be done; if nothing is, wait for it if so wanted."""
        receiver = self._receiver
        if receiver is None:
            return []
        if receiver.is_lost():
            receiver = self._renew(receiver)
        if not self._ahead and (waits != receiver.is_waiting or receiver.has_something(self._room(), len(self._held))):
            self._claim_now(receiver, limit, waits=waits)
        self._limit = limit
        return self._hand_out(receiver, limit)

    def _hand_out(self, receiver: SqliteReceiver, limit: int) -> list[Delivery]:
        """Take out what was claimed, and count what was delivered before."""
        deliveries = list(itertools.islice(self._ahead, max(limit, 0)))
        alone = next((n for n, each in enumerate(deliveries) if each.n_deliveries >= _ALONE_FROM), None)
        if alone is not None:
            deliveries = deliveries[: max(alone, 1)]
        repeated = [each for each in deliveries if each.n_deliveries > 1]
        if repeated:
            self._write(lambda: self._count(receiver, repeated))
        for _ in deliveries:
            self._ahead.popleft()
        return deliveries

    def _count(self, receiver: SqliteReceiver, deliveries: list[Delivery]) -> None:
        with self._file.writing() as connection:
            sqlite_messages.count_delivered(connection, receiver.owner, deliveries)

    def _claim_now(self, receiver: SqliteReceiver, limit: int, *, waits: bool) -> None:
        room, held = self._room(), self._held_ids()

        def claim() -> list[Delivery] | None:
            with self._file.writing() as connection:
                return receiver.claim(connection, room, limit, held=held, waits=waits)

        deliveries = self._write(claim)
        if deliveries is None:
            self._renew(receiver)
            return
        receiver.is_waiting = waits and not deliveries
        self._accept(deliveries)

    def _accept(self, deliveries: Sequence[Delivery]) -> None:
        """Take messages that were claimed for this connection."""
        self._held.update((d.token, None) for d in deliveries if isinstance(d.token, Claim))
        self._ahead += deliveries

    def _held_ids(self) -> set[int]:
        return {claim.id for claim in self._held}

    def _renew(self, receiver: SqliteReceiver) -> SqliteReceiver:
        """Become a receiver anew, after the messages went to others."""
        self._ahead.clear()
        self._held.clear()
        self._receiver = receiver.renewed(SqliteFile(self._file.path, is_full=self._is_full))
        return self._receiver

    def _settle(
        self, claims: list[Claim], routed: list[tuple[QueueRow, Outgoing]], topics: list[Outgoing]
    ) -> tuple[Told, list[Delivery]]:
        """Do it in one transaction, which also claims what is to be received next; return who is to be told."""
        receiver = self._receiver
        ahead: list[Delivery] = []
        with self._file.writing() as connection:
            now_ns = self._file.now_ns()
            if claims and (
                receiver is None
                or not sqlite_messages.settle(connection, receiver.owner, [claim.id for claim in claims])
            ):
                raise LostDeliveryError(f"{self.url}: messages are no longer this receiver's; another gets them")
            told = NOTHING_TOLD
            if routed:
                told = make_deliverable(connection, sqlite_messages.store(connection, routed, now_ns))
            for message in topics:
                told = told._replace(look=told.look.union(sqlite_messages.broadcast(connection, message, now_ns)))
            if claims and receiver is not None and not self._ahead and self._limit:
                room = self._room(Counter(c.queue.name for c in claims))
                ahead = receiver.claim_next(connection, room, self._limit)
        return told, ahead

    def _refuse(self, claim: Claim, reason: str, retry_at_ns: int | None) -> set[int]:
        with self._file.writing() as connection:
            if self._receiver is None or not sqlite_messages.refuse(
                connection, self._receiver.owner, claim, reason, retry_at_ns=retry_at_ns
            ):
                raise LostDeliveryError(f"{self.url}: a message is no longer this receiver's; another gets it")
            return sqlite_messages.receivers(connection, [claim.queue.id])

    def _write(self, change: Callable[[], _R]) -> _R:
        """Write; on a full disk once more after the log was cut."""
        try:
            return change()
        except BrokerError as error:
            if not is_out_of_space(error.__cause__):
                raise
        self._file.make_room()
        return change()

    def _refresh(self) -> None:
        """See that counts are right: what is due is ready, what is old is gone, as are receivers that died."""
        self._check_open()
        self._waker.wake(reap(self._file))
        now_ns = self._file.now_ns()
        ((is_due,),) = self._file.read(sqlite_messages.IS_DUE, (now_ns,))
        if is_due:
            with self._file.writing() as connection:
                sqlite_messages.refresh(connection, now_ns)

    def _room(self, done: Counter[str] | None = None) -> dict[str, int]:
        """Return how many more messages may be had of each queue, when ``done`` are no longer there."""
        if self._receiver is None:
            return {}
        held = Counter(claim.queue.name for claim in self._held)
        if done:
            held.subtract(done)
        return {name: s.prefetch - held[name] for name, s in self._receiver.subscriptions.items()}

    def _forget(self, claims: Sequence[Claim]) -> None:
        for claim in claims:
            self._held.pop(claim, None)

    def _tell(self, told: Told) -> None:
        """Tell others what there is for them."""
        for handed in told.handed:
            self._waker.tell(handed.owner, encode_handed(handed))
        if told.look:
            self._waker.wake(told.look - {self._receiver.owner if self._receiver is not None else 0})

    def _claim(self, delivery: Delivery) -> Claim:
        claim = delivery.token
        if not isinstance(claim, Claim) or claim not in self._held:
            raise LostDeliveryError(f"message {delivery.message_id} of {delivery.queue} is no longer this receiver's")
        return claim

    def _queue(self, name: str) -> QueueRow:
        self._check_open()
        if name not in self._queues:
            with explained(self._file.path):
                row = sqlite_messages.find_queue(self._file.connection, name)
            if row is None:
                raise UnknownQueueError(name, where=self.url)
            self._queues[name] = row
        return self._queues[name]

    def _check_open(self) -> None:
        if self._is_closed:
            raise BrokerError(f"{self.url}: this connection was closed")


def _read_url(url: str) -> tuple[Path, bool]:
    """Return the path, and whether the file must survive a power loss."""
    path, mark, query = url.partition(":")[2].partition("?")
    options = parse_qs(query, keep_blank_values=True)
    values = options.pop("synchronous", ["normal"])
    if not path or options or values not in (["normal"], ["full"]) or (mark and not query):
        raise UsageError(f"broker {url!r}: expected sqlite:PATH, or sqlite:PATH?synchronous=full")
    return Path(path).expanduser().absolute(), values == ["full"]
