"""Moves the messages of a queue to others, one at a time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glimt.app.broker_dead_letters import revived
from glimt.app.broker_message import origin, read_envelope, recipe_id
from glimt.brokers.broker import ORIGIN
from glimt.brokers.dead_letter import is_dead_letter_queue
from glimt.model.errors import UsageError

if TYPE_CHECKING:
    from glimt.brokers.broker import Broker, Delivery

WHERE_IT_BELONGS = "."


@dataclass(frozen=True, slots=True)
class Drained:
    """A message that was moved."""

    message_id: str
    recipe_id: str
    queue: str


def drain(broker: Broker, source: str, target: str, *, wait_s: float = 5.0, stop_s: float = 60.0) -> Iterator[Drained]:
    """Move messages; each is taken out of its queue as it is sent to the other.

    Parameters
    ----------
    source, target : str
        ``.`` as target: the queue of the step its envelope is for, or the one a dead letter was in.
    wait_s : float
        Pause after each.
    stop_s : float
        End when there was none for so long; 0 goes on for ever.

    Raises
    ------
    UsageError
        Source and target are the same, or nothing says where a message belongs; it stays.
    UnknownQueueError
        A queue is not there; the message stays.
    """
    if source == target:
        raise UsageError(f"the messages of {source!r} are there already; give another target")
    broker.subscribe(source, prefetch=1)
    last = time.monotonic()
    while True:
        left_s = last + stop_s - time.monotonic() if stop_s else 1.0
        deliveries = broker.receive(timeout_s=max(left_s, 0.0))
        if not deliveries:
            if stop_s and time.monotonic() >= last + stop_s:
                return
            continue
        (delivery,) = deliveries
        queue = _belongs_to(delivery) if target == WHERE_IT_BELONGS else target
        if queue == source:
            raise UsageError(f"message {delivery.message_id} belongs to {source!r}, where it is; give a target")
        broker.settle([delivery], [revived(delivery, queue, _kept(delivery, queue))])
        yield Drained(delivery.message_id, recipe_id(delivery.body), queue)
        time.sleep(wait_s)
        last = time.monotonic()


def _belongs_to(delivery: Delivery) -> str:
    if ORIGIN in delivery.headers or is_dead_letter_queue(delivery.queue):
        return origin(delivery)
    envelope = read_envelope(delivery.body)
    queue = "" if envelope is None else envelope.node.get("queue")
    if not isinstance(queue, str) or not queue:
        raise UsageError(f"nothing says where message {delivery.message_id} belongs; give a queue instead of '.'")
    return queue


def _kept(delivery: Delivery, queue: str) -> dict[str, str | int | float | bool | None]:
    """Return headers that tell how a message died, if it stays a dead letter."""
    return dict(delivery.headers) if is_dead_letter_queue(queue) else {}
