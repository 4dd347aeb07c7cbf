"""What happens to messages in the SQLite broker's file; every function here is part of a transaction of its caller."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from glimt.brokers.broker import MAX_DELIVERIES, Delivery, Header, Outgoing
from glimt.brokers.dead_letter import NEVER_SETTLED, dead_letter_headers, dead_letter_queue, is_dead_letter_queue
from glimt.brokers.outgoing_check import new_message_id
from glimt.model.errors import BrokerError

_log = logging.getLogger(__name__)
LOWEST_RANK = 9
_CLAIMED_BYTES = 64 * 2**20
_NO_HEADERS = msgspec.msgpack.encode({})
IS_DUE = (
    "SELECT EXISTS(SELECT 1 FROM delayed WHERE due_ns <= ?1) OR EXISTS(SELECT 1 FROM expiring WHERE expires_ns <= ?1)"
)
"""Whether there is anything for `refresh` to do at a time."""

_headers_decoder = msgspec.msgpack.Decoder(dict[str, Header])


@dataclass(frozen=True, slots=True)
class QueueRow:
    """A queue as it stands in the file; it never changes."""

    id: int
    name: str
    single_consumer: bool
    expiration_s: float | None
    has_dead_letters: bool


@dataclass(frozen=True, slots=True, eq=False)
class Claim:
    """The token of a delivery: where its message stands."""

    id: int
    queue: QueueRow


def decode_headers(data: bytes) -> dict[str, Header]:
    """Return headers as they were sent."""
    try:
        return {} if data == _NO_HEADERS else _headers_decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise BrokerError(f"the headers of a message in the broker's file are damaged: {error}") from None


def encode_headers(message: Outgoing) -> bytes:
    """Return the headers as they are stored."""
    return msgspec.msgpack.encode(dict(message.headers)) if message.headers else _NO_HEADERS


def find_queue(connection: sqlite3.Connection, name: str) -> QueueRow | None:
    """Return a queue, or ``None`` if there is none of this name."""
    try:
        row = connection.execute(
            "SELECT id, single_consumer, expiration_s, has_dead_letters FROM queue WHERE name = ?", (name,)
        ).fetchone()
    except UnicodeEncodeError:  # half a character, as JSON and command lines can have it: no queue is called so
        return None
    return None if row is None else QueueRow(row[0], name, bool(row[1]), row[2], bool(row[3]))


class StoredMessage(NamedTuple):
    """A message whose content is in the file, and that is to be delivered now."""

    id: int
    queue: int
    rank: int
    message_id: str
    headers: bytes
    body: bytes


def store(
    connection: sqlite3.Connection, messages: Sequence[tuple[QueueRow, Outgoing]], now_ns: int
) -> list[StoredMessage]:
    """Take new messages for queues; return those that can be delivered now, which do not stand anywhere yet.

    Their numbers are never given again: they go on from the time.
    """
    number = max((connection.execute("SELECT max(id) FROM body").fetchone()[0] or 0) + 1, now_ns)
    bodies, ready, delayed, expiring = [], [], [], []
    room: dict[int, int] = {}
    for queue, message in messages:
        due_ns, expires_ns = now_ns + int(1e9 * message.delay_s), None
        rank = LOWEST_RANK - message.priority
        limits = [s for s in (queue.expiration_s, message.expiration_s) if s is not None]
        if limits and min(limits) == 0:
            left = room[queue.id] = room.get(queue.id, _room(connection, queue.id)) - 1
            if left < 0:
                continue
        elif limits:
            expires_ns = due_ns + int(1e9 * min(limits))
            expiring.append((expires_ns, number, queue.id, rank))
        identity, headers = message.message_id or new_message_id(), encode_headers(message)
        bodies.append((number, expires_ns, identity, headers, message.body))
        if message.delay_s > 0:
            delayed.append((due_ns, number, queue.id, rank))
        else:
            ready.append(StoredMessage(number, queue.id, rank, identity, headers, message.body))
        number += 1
    connection.executemany("INSERT INTO body VALUES (?, ?, ?, ?, ?)", bodies)
    if delayed:
        connection.executemany("INSERT INTO delayed VALUES (?, ?, ?, ?, 0)", delayed)
    if expiring:
        connection.executemany("INSERT INTO expiring VALUES (?, ?, ?, ?)", expiring)
    return ready


def _room(connection: sqlite3.Connection, queue: int) -> int:
    """Return how many more messages of a queue its receivers could take at once."""
    prefetch, held, ready = connection.execute(
        "SELECT (SELECT coalesce(sum(prefetch), 0) FROM subscription WHERE queue = ?1),"
        " (SELECT count(*) FROM claimed WHERE queue = ?1), (SELECT count(*) FROM ready WHERE queue = ?1)",
        (queue,),
    ).fetchone()
    return int(prefetch - held - ready)


def broadcast(connection: sqlite3.Connection, message: Outgoing, now_ns: int) -> list[int]:
    """Give a broadcast to all who listen now, and return who they are."""
    owners = [row[0] for row in connection.execute("SELECT owner FROM listener WHERE topic = ?", (message.topic,))]
    due_ns = now_ns + int(1e9 * message.delay_s)
    expires_ns = None if message.expiration_s is None else due_ns + int(1e9 * message.expiration_s)
    identity, headers = message.message_id or new_message_id(), encode_headers(message)
    connection.executemany(
        "INSERT INTO broadcast (owner, topic, priority, due_ns, expires_ns, message_id, headers, body)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [(o, message.topic, message.priority, due_ns, expires_ns, identity, headers, message.body) for o in owners],
    )
    return owners


def hear(connection: sqlite3.Connection, owner: int, limit: int, now_ns: int) -> list[Delivery]:
    """Take out broadcasts that are for a receiver."""
    rows = connection.execute(
        "SELECT id, topic, priority, expires_ns, message_id, headers, body FROM broadcast"
        " WHERE owner = ? AND due_ns <= ? ORDER BY id LIMIT ?",
        (owner, now_ns, limit),
    ).fetchall()
    connection.executemany("DELETE FROM broadcast WHERE id = ?", [(row[0],) for row in rows])
    return [
        Delivery(body, "", topic, decode_headers(headers), identity, 1, priority, None)
        for _, topic, priority, expires_ns, identity, headers, body in rows
        if expires_ns is None or expires_ns > now_ns
    ]


def refresh(connection: sqlite3.Connection, now_ns: int) -> None:
    """Let delayed messages that are due become ready, and throw away what is too old."""
    if not connection.execute(IS_DUE, (now_ns,)).fetchone()[0]:
        return
    connection.execute(
        "INSERT INTO ready SELECT queue, rank, id, n_deliveries FROM delayed WHERE due_ns <= ?", (now_ns,)
    )
    # What was given back until later may have become too old meanwhile, or will.
    connection.execute(
        "INSERT OR IGNORE INTO expiring SELECT b.expires_ns, d.id, d.queue, d.rank FROM delayed d"
        " JOIN body b ON b.id = d.id WHERE d.due_ns <= ? AND b.expires_ns IS NOT NULL",
        (now_ns,),
    )
    connection.execute("DELETE FROM delayed WHERE due_ns <= ?", (now_ns,))
    # In files of older glimts a body's number may have been given anew: then it does not expire at this nanosecond.
    old = connection.execute(
        "SELECT e.queue, e.rank, e.id FROM expiring e JOIN body b ON b.id = e.id AND b.expires_ns = e.expires_ns"
        " WHERE e.expires_ns <= ?",
        (now_ns,),
    ).fetchall()
    for row in old:
        if connection.execute("DELETE FROM ready WHERE queue = ? AND rank = ? AND id = ?", row).rowcount:
            connection.execute("DELETE FROM body WHERE id = ?", row[2:])
    connection.execute("DELETE FROM expiring WHERE expires_ns <= ?", (now_ns,))


def heads(connection: sqlite3.Connection, queue: int, limit: int) -> list[tuple[int, int]]:
    """Return rank and number of the first messages that are ready."""
    return connection.execute(
        "SELECT rank, id FROM ready WHERE queue = ? ORDER BY rank, id LIMIT ?", (queue, limit)
    ).fetchall()


def claim(connection: sqlite3.Connection, owner: int, queue: QueueRow, limit: int) -> list[tuple[int, Delivery]]:
    """Give the first messages of a queue to a receiver; of very large ones fewer. Each comes with its number.

    The first delivery of a message counts from now on, later ones only from `count_delivered` on: whatever kills
    receivers, a message that none of them saw is not delivered too often.
    """
    deliveries: list[tuple[int, Delivery]] = []
    n_bytes, rank, number = 0, -1, -1
    for rank, number, n_deliveries, identity, headers, body in connection.execute(
        "SELECT r.rank, r.id, r.n_deliveries, b.message_id, b.headers, b.body FROM ready r JOIN body b ON b.id = r.id"
        " WHERE r.queue = ? ORDER BY r.rank, r.id LIMIT ?",
        (queue.id, limit),
    ):
        delivery = Delivery(
            body, queue.name, "", decode_headers(headers), identity, n_deliveries + 1, LOWEST_RANK - rank,
            Claim(number, queue),
        )  # fmt: skip
        deliveries.append((number, delivery))
        n_bytes += len(body)
        if n_bytes >= _CLAIMED_BYTES:
            break
    if not deliveries:
        return []
    first = (queue.id, rank, number)
    connection.execute(
        "INSERT INTO claimed SELECT ?4, id, queue, rank, max(n_deliveries, 1) FROM ready"
        " WHERE queue = ?1 AND (rank, id) <= (?2, ?3)",
        (*first, owner),
    )
    connection.execute("DELETE FROM ready WHERE queue = ?1 AND (rank, id) <= (?2, ?3)", first)
    return deliveries


def count_delivered(connection: sqlite3.Connection, owner: int, deliveries: Sequence[Delivery]) -> None:
    """Count messages as delivered that were claimed, and have been delivered before."""
    connection.executemany(
        "UPDATE claimed SET n_deliveries = ? WHERE owner = ? AND id = ?",
        [(d.n_deliveries, owner, d.token.id) for d in deliveries if isinstance(d.token, Claim)],
    )


def settle(connection: sqlite3.Connection, owner: int, numbers: Sequence[int]) -> bool:
    """Throw away what was dealt with; say whether all of it was still the receiver's."""
    keys = [(owner, number) for number in numbers]
    if connection.executemany("DELETE FROM claimed WHERE owner = ? AND id = ?", keys).rowcount != len(keys):
        return False
    connection.executemany("DELETE FROM body WHERE id = ?", [(number,) for number in numbers])
    return True


def refuse(connection: sqlite3.Connection, owner: int, message: Claim, reason: str, *, retry_at_ns: int | None) -> bool:
    """Give a message back, or make a dead letter of it; say whether it was still the receiver's."""
    row = connection.execute(
        "DELETE FROM claimed WHERE owner = ? AND id = ? RETURNING rank, n_deliveries", (owner, message.id)
    ).fetchall()
    if not row:
        return False
    ((rank, n_deliveries),) = row
    is_dead = is_dead_letter_queue(message.queue.name)
    if (retry_at_ns is None or n_deliveries >= MAX_DELIVERIES) and not is_dead:
        bury(connection, message, rank, reason)
    elif retry_at_ns is None:
        _make_ready(connection, message.id, message.queue.id, rank, n_deliveries)
    else:
        connection.execute(
            "INSERT INTO delayed VALUES (?, ?, ?, ?, ?)",
            (retry_at_ns, message.id, message.queue.id, rank, n_deliveries),
        )
    return True


def bury(connection: sqlite3.Connection, message: Claim, rank: int, reason: str) -> None:
    """Make a dead letter of a message that stands nowhere now."""
    identity, headers = connection.execute(
        "SELECT message_id, headers FROM body WHERE id = ?", (message.id,)
    ).fetchone()
    if not message.queue.has_dead_letters:
        _log.warning("message %s of %s is thrown away: %s", identity, message.queue.name, reason)
        connection.execute("DELETE FROM body WHERE id = ?", (message.id,))
        return
    target = dead_letter_queue(message.queue.name)
    connection.execute("INSERT OR IGNORE INTO queue VALUES (NULL, ?, 0, NULL, 1)", (target,))
    queue = find_queue(connection, target)
    assert queue is not None
    dead = dead_letter_headers(decode_headers(headers), reason, message.queue.name)
    connection.execute(
        "UPDATE body SET headers = ?, expires_ns = NULL WHERE id = ?", (msgspec.msgpack.encode(dead), message.id)
    )
    _make_ready(connection, message.id, queue.id, rank, 0)


def give_back(connection: sqlite3.Connection, owner: int, *, unseen: Mapping[int, int] | None = None) -> set[int]:
    """End a receiver: its messages are delivered again, those that were delivered too often become dead letters.

    Parameters
    ----------
    owner : int
    unseen : mapping of int to int
        Messages that were given to it, but that nobody saw, and how often each was delivered.

    Returns
    -------
    queues : set of int
        In which there may be something for others.
    """
    rows = connection.execute(
        "SELECT c.id, c.rank, c.n_deliveries, q.id, q.name, q.single_consumer, q.expiration_s, q.has_dead_letters"
        " FROM claimed c JOIN queue q ON q.id = c.queue WHERE c.owner = ?",
        (owner,),
    ).fetchall()
    not_seen = unseen or {}
    for number, rank, n_deliveries, *queue in rows:
        message = Claim(number, QueueRow(*queue))
        if number in not_seen:
            _make_ready(connection, number, message.queue.id, rank, not_seen[number])
        elif n_deliveries >= MAX_DELIVERIES and not is_dead_letter_queue(message.queue.name):
            bury(connection, message, rank, NEVER_SETTLED)
        else:
            _make_ready(connection, message.id, message.queue.id, rank, n_deliveries)
    queues = {row[3] for row in rows}
    queues |= {row[0] for row in connection.execute("SELECT queue FROM subscription WHERE owner = ?", (owner,))}
    for table in ("claimed", "subscription", "listener", "broadcast"):
        connection.execute(f"DELETE FROM {table} WHERE owner = ?", (owner,))
    connection.execute("DELETE FROM owner WHERE id = ?", (owner,))
    return queues


def give_back_unseen(connection: sqlite3.Connection, owner: int, seen: Collection[int]) -> dict[int, int]:
    """Let others have what was claimed for a receiver that did not take it; return these numbers, with their queues."""
    rows = connection.execute("SELECT id, queue, rank, n_deliveries FROM claimed WHERE owner = ?", (owner,)).fetchall()
    given = {}
    for number, queue, rank, n_deliveries in rows:
        if number not in seen:
            connection.execute("DELETE FROM claimed WHERE owner = ? AND id = ?", (owner, number))
            _make_ready(connection, number, queue, rank, n_deliveries if n_deliveries > 1 else 0)
            given[number] = queue
    return given


def receivers(connection: sqlite3.Connection, queues: Iterable[int]) -> set[int]:
    """Return who receives from any of these queues."""
    owners: set[int] = set()
    for queue in queues:
        rows = connection.execute("SELECT owner FROM subscription WHERE queue = ?", (queue,))
        owners.update(row[0] for row in rows)
    return owners


def _make_ready(connection: sqlite3.Connection, number: int, queue: int, rank: int, n_deliveries: int) -> None:
    connection.execute("INSERT INTO ready VALUES (?, ?, ?, ?)", (queue, rank, number, n_deliveries))
    # If it was to be thrown away meanwhile, that is due again; it is overlooked while it is with a receiver.
    connection.execute(
        "INSERT OR IGNORE INTO expiring SELECT expires_ns, id, ?, ? FROM body WHERE id = ? AND expires_ns IS NOT NULL",
        (queue, rank, number),
    )
