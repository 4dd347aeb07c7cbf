"""Where deliveries go when the process that had them is gone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from glimt.engines.delivery import Delivery, WorkerSlot
from glimt.engines.delivery_book import GIVEN_UP, NO_WORKER, DeliveryBook
from glimt.engines.routes import Routes

E = TypeVar("E")


_KILL, _CRASH, _TOO_MUCH = 1, 5, 10
"""A process that crashes twice over an event will do so again. One that is killed says little about its event, but may
have been killed because the event takes all memory: that must come to an end, too."""


def blame(slot: WorkerSlot[E], book: DeliveryBook[E], *, was_killed: bool) -> None:
    """Suspect what ``slot`` was processing; give up what ended too many workers while it was alone."""
    oldest = next(iter(slot.unfinished.values()), [])
    slot.unfinished.clear()
    for delivery in oldest:
        if book.open.get(delivery.serial) is not delivery:
            continue
        delivery.is_suspect = True
        if len(oldest) == 1:
            delivery.blame += _KILL if was_killed else _CRASH
        if delivery.blame >= _TOO_MUCH:
            book.void(delivery, GIVEN_UP)


def redeliver(slot: WorkerSlot[E], routes: Routes[E], book: DeliveryBook[E], *, retired: bool) -> None:
    """Give back everything that ``slot`` has or was going to get.

    A retired slot is no longer one of ``routes``. Broadcast copies, with what their keys hold to them, wait for the
    slot's next process, or are void if there will be none. Everything else goes to whoever may take it, all
    deliveries of one key together.
    """
    mine = [delivery for delivery in book.open.values() if delivery.slot is slot]  # in the order of their serials
    routes.n_waiting -= sum(delivery.waiting_in is not None for delivery in mine)
    for delivery in mine:
        delivery.waiting_in = None
        delivery.was_returned = True
    slot.own.items.clear()
    routes.keys.unbind(slot)
    if retired:
        mine = _without_broadcasts(mine, book)
    late: list[Delivery[E]] = []
    for group in _held_together(mine):
        if any(delivery.is_broadcast for delivery in group):
            routes.put_back(group, slot)
        elif all(len(delivery.keys) < 2 for delivery in group):
            late += group
        else:
            _move(group, routes, book)
    late.sort(key=lambda delivery: delivery.serial)
    routes.put_back_late(late)


def _without_broadcasts(mine: list[Delivery[E]], book: DeliveryBook[E]) -> list[Delivery[E]]:
    """Make broadcast copies void; what a copy has because of a key goes on without the rest."""
    kept = []
    for delivery in mine:
        if delivery.is_broadcast and not delivery.keys:
            book.void(delivery, NO_WORKER)
            continue
        if delivery.is_broadcast:
            delivery.is_broadcast = False
            delivery.streams = delivery.key_streams
        kept.append(delivery)
    return kept


def _held_together(mine: Iterable[Delivery[E]]) -> Iterable[list[Delivery[E]]]:
    """Group what must stay with one slot: deliveries that share a key, directly or through others."""
    parents: dict[int, int] = {}

    def root(key: int) -> int:
        while (parent := parents.setdefault(key, key)) != key:
            parents[key] = parents[parent]
            key = parent
        return key

    keyed = []
    groups: list[list[Delivery[E]]] = []
    for delivery in mine:
        if not delivery.keys:
            groups.append([delivery])
            continue
        keyed.append(delivery)
        for key in delivery.keys[1:]:
            parents[root(key)] = root(delivery.keys[0])
    by_root: dict[int, list[Delivery[E]]] = {}
    for delivery in keyed:
        by_root.setdefault(root(delivery.keys[0]), []).append(delivery)
    return [*groups, *by_root.values()]


def _move(group: list[Delivery[E]], routes: Routes[E], book: DeliveryBook[E]) -> None:
    tags = frozenset[str]().union(*(delivery.tags for delivery in group))
    takers = routes.takers(tags)
    if takers:
        routes.put_back(group, min(takers, key=WorkerSlot.load))
        return
    for delivery in group:
        book.void(delivery, NO_WORKER)
