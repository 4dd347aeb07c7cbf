"""What a connection to the SQLite broker is as a receiver: a row in the file, subscriptions, a socket and a keeper."""

from __future__ import annotations

import sqlite3
import time
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from glimt.brokers import sqlite_handover, sqlite_messages
from glimt.brokers.broker import Delivery
from glimt.brokers.sqlite_file import SqliteFile
from glimt.brokers.sqlite_keeper import SqliteKeeper
from glimt.brokers.sqlite_messages import Claim, QueueRow
from glimt.brokers.sqlite_owner import lease_clock_ns, this_process
from glimt.brokers.sqlite_wake import WakeSocket
from glimt.model.errors import BrokerError

_DOUBTFUL_AFTER_S = 2.0
_MOST_LATE = 1000


@dataclass(frozen=True, slots=True)
class SqliteSubscription:
    """From which queue a connection receives, and how much at a time."""

    queue: QueueRow
    prefetch: int
    exclusive: bool


class SqliteReceiver:
    """A receiver; it is ended by `end`, or by others when its process is gone.

    Parameters
    ----------
    file : SqliteFile
        The connection's.
    keeper_file : SqliteFile
        Another one, for the keeper.

    Attributes
    ----------
    owner : int
        Its number in the file.
    socket : WakeSocket
    subscriptions : dict of str to SqliteSubscription
    topics : list of str
    is_waiting : bool
        Whether a sender may claim a message for it, or has just done so; set by who calls `claim`.
    """

    def __init__(self, file: SqliteFile, keeper_file: SqliteFile) -> None:
        self._file = file
        self.subscriptions: dict[str, SqliteSubscription] = {}
        self.topics: list[str] = []
        self.is_waiting = False
        self._queues: dict[int, QueueRow] = {}
        self._found: deque[int] = deque(maxlen=_MOST_LATE)
        process = this_process()
        try:
            with file.writing() as connection:
                number = connection.execute(
                    "INSERT INTO owner VALUES (NULL, ?, ?, ?, ?, ?)",
                    (process.boot, process.namespace, process.pid, process.started, lease_clock_ns()),
                ).lastrowid
        except BaseException:
            keeper_file.close()
            raise
        self.owner = number or 0
        self.socket = WakeSocket(file.path, self.owner)
        self._keeper = SqliteKeeper(keeper_file, self.owner)

    def subscribe(self, queue: QueueRow, *, prefetch: int, exclusive: bool) -> None:
        """Receive from a queue; repeated, with other numbers."""
        with self._file.writing() as connection:
            connection.execute(
                "INSERT INTO subscription VALUES (NULL, ?, ?, ?, ?, 0) ON CONFLICT (owner, queue)"
                " DO UPDATE SET prefetch = excluded.prefetch, exclusive = excluded.exclusive",
                (self.owner, queue.id, prefetch, exclusive),
            )
        self.subscriptions[queue.name] = SqliteSubscription(queue, prefetch, exclusive)
        self._queues[queue.id] = queue

    def listen(self, topic: str) -> None:
        """Receive the broadcasts of a topic."""
        with self._file.writing() as connection:
            connection.execute("INSERT OR IGNORE INTO listener VALUES (?, ?)", (topic, self.owner))
        if topic not in self.topics:
            self.topics.append(topic)

    def renewed(self, keeper_file: SqliteFile) -> SqliteReceiver:
        """Return a new receiver with the same subscriptions, instead of this one, which was ended by others."""
        self._shut()
        other = SqliteReceiver(self._file, keeper_file)
        for subscription in self.subscriptions.values():
            other.subscribe(subscription.queue, prefetch=subscription.prefetch, exclusive=subscription.exclusive)
        for topic in self.topics:
            other.listen(topic)
        return other

    def end(self, *, seen: Collection[int], unseen: Mapping[int, int]) -> set[int]:
        """Give all messages back, and return who may want them; on a full disk they come back when the process ends.

        Parameters
        ----------
        seen : collection of int
            Messages that were received.
        unseen : mapping of int to int
            Messages that are here and were not, and how often each was delivered.
        """
        self._shut()
        try:
            with self._file.writing() as connection:
                claimed = connection.execute("SELECT id FROM claimed WHERE owner = ?", (self.owner,)).fetchall()
                unseen = {number: unseen.get(number, 0) for (number,) in claimed if number not in seen}
                queues = sqlite_messages.give_back(connection, self.owner, unseen=unseen)
                return sqlite_messages.receivers(connection, queues)
        except BrokerError:
            return set()

    def _shut(self) -> None:
        self._keeper.close()
        self.socket.close()

    def is_lost(self) -> bool:
        """Say whether others ended this receiver, as far as that is known without asking each time."""
        if time.monotonic() - self._keeper.renewed_at > _DOUBTFUL_AFTER_S:
            return not self._file.read("SELECT 1 FROM owner WHERE id = ?", (self.owner,))
        return self._keeper.is_lost

    def take_told(self, told: list[bytes], held: Collection[int]) -> list[Delivery]:
        """Return the messages that were handed over and told."""
        deliveries = []
        for data in told:
            handed = sqlite_handover.decode_handed(data)
            if handed is None or handed.owner != self.owner or handed.queue not in self._queues:
                continue
            if handed.id in held or handed.id in self._found:
                continue  # told late: it was found, and this receiver may wait for another one again
            self.is_waiting = False
            deliveries.append(sqlite_handover.handed_delivery(handed, self._queues[handed.queue]))
        return deliveries

    def stop_waiting(self, held: Collection[int]) -> set[int]:
        """Let nothing be handed over any more, give back what was and is not here, and return who may want it."""
        with self._file.writing() as connection:
            connection.execute("UPDATE subscription SET waits = 0 WHERE owner = ?", (self.owner,))
            unseen = sqlite_messages.give_back_unseen(connection, self.owner, held)
            others = sqlite_messages.receivers(connection, set(unseen.values()))
        self._found.extend(unseen)
        return others

    def has_something(self, room: dict[str, int], n_held: int) -> bool:
        """Say whether it is worth a transaction to look for messages."""
        ((found,),) = self._file.read(
            f"SELECT {self._is_something(room)} OR (SELECT count(*) FROM claimed WHERE owner = ?2) > ?3"
            " OR NOT EXISTS(SELECT 1 FROM owner WHERE id = ?2)",
            (self._file.now_ns(), self.owner, n_held),
        )
        return bool(found)

    def _is_something(self, room: dict[str, int]) -> str:
        """Return the SQL for whether there may be something for this receiver; ``?1`` is the time, ``?2`` who it is."""
        queues = ",".join(str(s.queue.id) for name, s in self.subscriptions.items() if room[name] > 0)
        return (
            f"(EXISTS(SELECT 1 FROM ready WHERE queue IN ({queues}))"
            " OR EXISTS(SELECT 1 FROM delayed WHERE due_ns <= ?1)"
            " OR EXISTS(SELECT 1 FROM broadcast WHERE owner = ?2 AND due_ns <= ?1))"
        )

    def next_due_s(self) -> float:
        """Return in how many seconds there may be something that nobody says."""
        ((due_ns,),) = self._file.read(
            "SELECT min((SELECT coalesce(min(due_ns), ?1) FROM delayed),"
            " (SELECT coalesce(min(due_ns), ?1) FROM broadcast WHERE owner = ?2))",
            (2**62, self.owner),
        )
        return max(1e-9 * (int(due_ns) - self._file.now_ns()), 0.0)

    def claim_next(self, connection: sqlite3.Connection, room: dict[str, int], limit: int) -> list[Delivery]:
        """Give this receiver what it may have now; it is known that it was not ended by others."""
        now_ns = self._file.now_ns()
        ((found,),) = connection.execute(f"SELECT {self._is_something(room)}", (now_ns, self.owner)).fetchall()
        return self._claim(connection, room, limit, now_ns) if found else []

    def claim(
        self, connection: sqlite3.Connection, room: dict[str, int], limit: int, *, held: Collection[int], waits: bool
    ) -> list[Delivery] | None:
        """Give this receiver what it may have now, up to ``limit``; ``None`` if it was ended by others.

        Parameters
        ----------
        connection : sqlite3.Connection
        room : dict of str to int
            How many more messages may be had of each queue.
        limit : int
        held : collection of int
            The messages that it has.
        waits : bool
            Let a sender hand a message over from now on if there is none; else let none do so any more.
        """
        if connection.execute("SELECT 1 FROM owner WHERE id = ?", (self.owner,)).fetchone() is None:
            return None
        handed = []
        if self.is_waiting:
            handed = sqlite_handover.claimed_unseen(connection, self.owner, self._queues, set(held))
            self._found.extend(delivery.token.id for delivery in handed if isinstance(delivery.token, Claim))
        deliveries = handed or self._claim(connection, room, limit, self._file.now_ns())
        if waits and not deliveries:
            keys = [
                (self.owner, subscription.queue.id)
                for name, subscription in self.subscriptions.items()
                if room[name] > 0 and self._is_served(connection, subscription)
            ]
            connection.executemany("UPDATE subscription SET waits = 1 WHERE owner = ? AND queue = ?", keys)
        elif self.is_waiting:
            connection.execute("UPDATE subscription SET waits = 0 WHERE owner = ?", (self.owner,))
        return deliveries

    def _claim(self, connection: sqlite3.Connection, room: dict[str, int], limit: int, now_ns: int) -> list[Delivery]:
        sqlite_messages.refresh(connection, now_ns)
        heard = sqlite_messages.hear(connection, self.owner, limit, now_ns) if self.topics else []
        limit -= len(heard)
        served = {
            name: min(room[name], limit)
            for name, subscription in self.subscriptions.items()
            if min(room[name], limit) > 0 and self._is_served(connection, subscription)
        }
        if len(served) > 1:
            served = self._fair_shares(connection, served, limit)
        claimed: list[tuple[int, Delivery]] = []
        for name, number in served.items():
            claimed += sqlite_messages.claim(connection, self.owner, self.subscriptions[name].queue, number)
        if len(served) > 1:
            claimed.sort(key=lambda pair: (-pair[1].priority, pair[0]))
        return heard + [delivery for _, delivery in claimed]

    def _fair_shares(self, connection: sqlite3.Connection, served: dict[str, int], limit: int) -> dict[str, int]:
        """Return how many to take of each queue, so that all together come in their order."""
        found = sorted(
            (rank, number, name)
            for name, most in served.items()
            for rank, number in sqlite_messages.heads(connection, self.subscriptions[name].queue.id, most)
        )
        shares: dict[str, int] = {}
        for _, _, name in found[:limit]:
            shares[name] = shares.get(name, 0) + 1
        return shares

    def _is_served(self, connection: sqlite3.Connection, subscription: SqliteSubscription) -> bool:
        """Say whether this receiver's turn has come at a queue that serves one at a time."""
        if not (subscription.queue.single_consumer or subscription.exclusive):
            return True
        first = connection.execute(
            "SELECT owner FROM subscription WHERE queue = ? AND (exclusive OR ?) ORDER BY id LIMIT 1",
            (subscription.queue.id, subscription.queue.single_consumer),
        ).fetchone()
        return first is not None and bool(first[0] == self.owner)
