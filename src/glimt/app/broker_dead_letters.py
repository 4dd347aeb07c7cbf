"""What is done with dead letters: list, export, throw away, send again; nothing is lost on the way."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from glimt.app.broker_files import REINJECTED, export_dead_letter, read_dead_letter
from glimt.app.broker_message import origin, recipe_id
from glimt.brokers.broker import DEAD_LETTER_PREFIX, DIED_NS, REASON, Outgoing
from glimt.brokers.dead_letter import revived_headers
from glimt.model.errors import UnknownQueueError

if TYPE_CHECKING:
    from glimt.brokers.broker import Broker, Delivery, Header

_AT_ONCE = 100
_PATIENCE_S = 1.0
# More than any broker holds back: what is looked at and left stays with this connection until it is closed.
_ALL = 65_535


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter in a list.

    Attributes
    ----------
    message_id, queue, reason, recipe_id : str
    died_ns : int
        [ns, UTC]; 0 if unknown.
    """

    message_id: str
    queue: str
    reason: str
    died_ns: int
    recipe_id: str


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of sending dead letters again.

    Attributes
    ----------
    n_sent : int
    left : dict of str to int
        Dead letters that stay, because this queue is not there.
    """

    n_sent: int
    left: dict[str, int]


def dead_letter_queues(broker: Broker, queues: Collection[str] = ()) -> dict[str, int]:
    """Return queues of dead letters with how many are in each: all, or those of ``queues`` (with ``dlq.`` or without).

    Raises
    ------
    UnknownQueueError
        One of ``queues`` is not there.
    """
    known = {status.name: status.n_ready for status in broker.status()}
    if not queues:
        return {name: number for name, number in known.items() if name.startswith(DEAD_LETTER_PREFIX)}
    chosen: dict[str, int] = {}
    for queue in queues:
        name = DEAD_LETTER_PREFIX + queue.removeprefix(DEAD_LETTER_PREFIX)
        if name not in known:
            if queue not in known:
                raise UnknownQueueError(queue, where=broker.url)
            continue  # the queue is there and has no dead letters yet
        chosen[name] = known[name]
    return chosen


def list_dead_letters(broker: Broker, queues: Collection[str] = (), *, limit: int = 1000) -> list[DeadLetter]:
    """Return the dead letters, of each queue at most ``limit``; they stay where they are."""
    found: list[DeadLetter] = []
    for name in dead_letter_queues(broker, queues):
        found += [as_dead_letter(delivery) for delivery in broker.peek(name, limit)]
    return found


def as_dead_letter(delivery: Delivery) -> DeadLetter:
    """Return what a list says of a dead letter."""
    died_ns = delivery.headers.get(DIED_NS)
    return DeadLetter(
        delivery.message_id,
        origin(delivery),
        str(delivery.headers.get(REASON, "")),
        died_ns if isinstance(died_ns, int) else 0,
        recipe_id(delivery.body),
    )


def export_dead_letters(
    broker: Broker, folder: Path, queues: Collection[str] = (), *, purge: bool = False
) -> Iterator[Path]:
    """Write dead letters to files, one each.

    Parameters
    ----------
    purge : bool
        Each is taken out of its queue when its file is safely on the disk.
    """
    if purge:
        for delivery in _taken(broker, dead_letter_queues(broker, queues)):
            path = export_dead_letter(delivery, folder)
            broker.settle([delivery])
            yield path
        return
    for name, number in dead_letter_queues(broker, queues).items():
        for delivery in broker.peek(name, number):
            yield export_dead_letter(delivery, folder)


def replay_dead_letters(
    broker: Broker, queues: Collection[str] = (), *, message_ids: Collection[str] = (), to: str = ""
) -> Replayed:
    """Send dead letters again, each to the queue it was in; each is taken out of the dead letters as it is sent.

    Those that die anew meanwhile stay. What is not sent again is back in its place when the broker is closed.

    Parameters
    ----------
    message_ids : collection of str
        Only these; all if empty.
    to : str
        Send to this queue instead.
    """
    known = {status.name for status in broker.status()}
    n_sent, left = 0, dict[str, int]()
    started_ns = time.time_ns()
    for delivery in _taken(broker, dead_letter_queues(broker, queues)):
        if message_ids and delivery.message_id not in message_ids:
            continue
        died_ns = delivery.headers.get(DIED_NS)
        if isinstance(died_ns, int) and died_ns > started_ns:
            continue
        queue = to or origin(delivery)
        if queue not in known:
            left[queue] = left.get(queue, 0) + 1
            continue
        broker.settle([delivery], [revived(delivery, queue, {REINJECTED: "True"})])
        n_sent += 1
    return Replayed(n_sent, left)


def replay_files(
    broker: Broker, paths: Iterable[Path], *, to: str = "", remove: bool = False, told: Callable[[Path, str], None]
) -> int:
    """Send exported dead letters again, and return how many.

    Parameters
    ----------
    remove : bool
        Delete each file when its message is with the broker.
    told : callable
        Called with each file and the queue.

    Raises
    ------
    UsageError
        A file holds no dead letter; those before it were sent.
    UnknownQueueError
        A queue is not there; the same.
    """
    n_sent = 0
    for path in paths:
        message = read_dead_letter(path)
        if to:
            message = replace(message, queue=to)
        broker.send([message])
        n_sent += 1
        if remove:
            path.unlink(missing_ok=True)
        told(path, message.queue)
    return n_sent


def revived(delivery: Delivery, queue: str, headers: dict[str, Header]) -> Outgoing:
    """Return a message as it was before it died, to be sent to a queue."""
    return Outgoing(
        delivery.body,
        queue=queue,
        headers={**revived_headers(delivery.headers), **headers},
        message_id=delivery.message_id,
        priority=delivery.priority,
    )


def _taken(broker: Broker, queues: dict[str, int]) -> Iterator[Delivery]:
    """Receive what is in queues now."""
    for name, number in queues.items():
        if number:
            broker.subscribe(name, prefetch=_ALL)
    left = sum(queues.values())
    while left > 0 and (deliveries := broker.receive(min(_AT_ONCE, left), timeout_s=_PATIENCE_S)):
        left -= len(deliveries)
        yield from deliveries
