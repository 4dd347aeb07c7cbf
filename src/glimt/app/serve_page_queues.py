"""How full the queues are and what died in them, as the page of services shows it."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from glimt.app.broker_dead_letters import DeadLetter, list_dead_letters
from glimt.app.open_broker import open_broker
from glimt.app.serve_page_tree import Column, table
from glimt.brokers.dead_letter import is_dead_letter_queue
from glimt.model.errors import BrokerError

if TYPE_CHECKING:
    from glimt.brokers.broker import Broker, QueueStatus

SHOWN_DEAD_LETTERS = 50
_LOOKED_AT = 200
"""Of each queue: RabbitMQ shows them only from the oldest on."""
_BETWEEN_LOOKS_S = 5.0
_MOST_QUEUES = 200

_QUEUES: tuple[Column, ...] = (
    ("queue", "text"),
    ("waiting", "count"),
    ("in hand", "count"),
    ("delayed", "count"),
    ("receivers", "number"),
)
_DEAD: tuple[Column, ...] = (("died", "text"), ("queue", "text"), ("reason", "text"), ("recipe ID", "text"))


class QueueLook:
    """Looks at a broker through a connection of its own, which it makes again after it was lost; for one thread.

    Parameters
    ----------
    url : str
        The broker.
    own : collection of str
        Queues that are shown also when they are empty: those of the services here.
    """

    def __init__(self, url: str, own: Collection[str]) -> None:
        self._url, self._own = url, frozenset(own)
        self._broker: Broker | None = None
        self._known: dict[str, int] = {}
        self._looked_at = float("-inf")
        self._dead: list[DeadLetter] = []

    def take(self) -> dict[str, Any]:
        """Look, and return what is shown now.

        Raises
        ------
        BrokerError
            The broker does not answer.
        """
        if self._broker is None:
            self._broker = open_broker(self._url)
        try:
            found = self._broker.status()
            dead = {queue.name: queue.n_ready for queue in found if is_dead_letter_queue(queue.name)}
            if dead != self._known and time.monotonic() - self._looked_at >= _BETWEEN_LOOKS_S:
                self._dead = newest(list_dead_letters(self._broker, limit=_LOOKED_AT) if any(dead.values()) else [])
                self._known, self._looked_at = dead, time.monotonic()
        except BrokerError:
            self.close()
            raise
        living = [queue for queue in found if queue.name not in dead]
        return {
            "waiting": sum(queue.n_ready for queue in living),
            "dead_letters": sum(dead.values()),
            "queues": queue_table(living, self._own),
            "newest_dead_letters": dead_letter_table(self._dead),
        }

    def close(self) -> None:
        """End the connection; the next look makes another."""
        broker, self._broker = self._broker, None
        if broker is not None:
            broker.close()


def queue_table(queues: Sequence[QueueStatus], own: Collection[str]) -> Any:
    """Return the queues that somebody serves, that are not empty, or that are in ``own``."""
    shown = [
        queue
        for queue in queues
        if queue.name in own or queue.n_ready or queue.n_delayed or queue.n_unsettled or queue.n_receivers
    ]
    rows = [(q.name, q.n_ready, q.n_unsettled, q.n_delayed, q.n_receivers) for q in shown[:_MOST_QUEUES]]
    return table(_QUEUES, rows)


def newest(found: Sequence[DeadLetter]) -> list[DeadLetter]:
    """Return the newest dead letters, oldest of them first."""
    return sorted(found, key=lambda each: each.died_ns)[-SHOWN_DEAD_LETTERS:]


def dead_letter_table(found: Sequence[DeadLetter]) -> Any:
    """Return dead letters as a table."""
    return table(_DEAD, [(_moment(each.died_ns), each.queue, each.reason, each.recipe_id) for each in found])


def _moment(died_ns: int) -> str:
    try:
        return f"{datetime.fromtimestamp(died_ns / 1e9):%Y-%m-%d %H:%M:%S}" if died_ns > 0 else ""
    except (ValueError, OverflowError, OSError):  # a header that anybody may have written
        return ""
