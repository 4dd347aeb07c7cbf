"""Hands a message straight to a receiver that waits for one: its sender claims it for it, and tells it what it says.

So a message passes an idle service in one transaction, and its receiver need not look into the file. What is told is
in the file as well: a receiver that was not told, because its sender was killed in between, finds it when it looks.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from glimt.brokers.broker import Delivery
from glimt.brokers.sqlite_messages import LOWEST_RANK, Claim, QueueRow, StoredMessage, decode_headers


class Handed(msgspec.Struct, array_like=True, frozen=True):
    """A message as its receiver is told: where it stands, and what it says."""

    owner: int
    id: int
    queue: int
    rank: int
    message_id: str
    headers: bytes
    body: bytes


class Told(NamedTuple):
    """Who must be told that there is something: to look, or what was handed over."""

    look: set[int]
    handed: list[Handed]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Handed)
NOTHING_TOLD = Told(set(), [])


def encode_handed(handed: Handed) -> bytes:
    """Return what the receiver is sent."""
    return _encoder.encode(handed)


def decode_handed(data: bytes) -> Handed | None:
    """Return what was told; ``None`` if it makes no sense, and what there is must be looked for."""
    try:
        return _decoder.decode(data)
    except msgspec.MsgspecError:
        return None


def handed_delivery(handed: Handed, queue: QueueRow) -> Delivery:
    """Return a message that was handed over; nobody had it before."""
    return Delivery(
        handed.body, queue.name, "", decode_headers(handed.headers), handed.message_id, 1, LOWEST_RANK - handed.rank,
        Claim(handed.id, queue),
    )  # fmt: skip


def make_deliverable(connection: sqlite3.Connection, messages: Sequence[StoredMessage]) -> Told:
    """Hand new messages over, or let them be fetched; say who must be told.

    A message is handed over if it is the only one for its queue, no other is before it, and a receiver waits.
    """
    by_queue: dict[int, list[StoredMessage]] = {}
    for message in messages:
        by_queue.setdefault(message.queue, []).append(message)
    look: set[int] = set()
    handed: list[Handed] = []
    for queue, of_queue in by_queue.items():
        receivers = connection.execute("SELECT owner, waits FROM subscription WHERE queue = ?", (queue,)).fetchall()
        waiting = [owner for owner, waits in receivers if waits] if len(of_queue) == 1 else []
        if waiting and not connection.execute("SELECT 1 FROM ready WHERE queue = ? LIMIT 1", (queue,)).fetchall():
            handed.append(_hand_over(connection, of_queue[0], waiting[0]))
            continue
        connection.executemany("INSERT INTO ready VALUES (?, ?, ?, 0)", [(queue, m.rank, m.id) for m in of_queue])
        look.update(owner for owner, _ in receivers)
    return Told(look, handed)


def _hand_over(connection: sqlite3.Connection, message: StoredMessage, owner: int) -> Handed:
    connection.execute("INSERT INTO claimed VALUES (?, ?, ?, ?, 1)", (owner, message.id, message.queue, message.rank))
    connection.execute("UPDATE subscription SET waits = 0 WHERE owner = ?", (owner,))
    return Handed(owner, message.id, message.queue, message.rank, message.message_id, message.headers, message.body)


def claimed_unseen(
    connection: sqlite3.Connection, owner: int, queues: dict[int, QueueRow], seen: set[int]
) -> list[Delivery]:
    """Return what was handed to a receiver that was not told so."""
    rows = connection.execute(
        "SELECT c.id, c.queue, c.rank, b.message_id, b.headers, b.body FROM claimed c JOIN body b ON b.id = c.id"
        " WHERE c.owner = ? ORDER BY c.rank, c.id",
        (owner,),
    )
    return [handed_delivery(Handed(owner, *row), queues[row[1]]) for row in rows if row[0] not in seen]
