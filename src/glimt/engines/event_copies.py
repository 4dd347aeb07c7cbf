"""The deliveries of an event that is for several worker slots, and what new processes must see of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from glimt.engines.delivery import Copies, Delivery, WorkerSlot
from glimt.engines.distinct_slots import distinct_slots
from glimt.engines.recipients import MappedEvent, Recipients, Split, split_targets
from glimt.engines.routes import Routes
from glimt.model.trigger_map_column import GENERIC

E = TypeVar("E")

_ALL_GENERIC = Split({}, {GENERIC: ()}, 0)
"""What ALL means: no stream in particular of no streams, so that all are shown."""


class Held(NamedTuple, Generic[E]):
    """An event that a new process must see before others; its results are of no use.

    Attributes
    ----------
    event : E
        The event.
    streams : tuple of int or None
        Indices of the streams that the slot gets, ``None`` for all.
    """

    event: E
    streams: tuple[int, ...] | None


@dataclass(slots=True)
class Primer(Generic[E]):
    """An event that every process must have seen: the start packets.

    Attributes
    ----------
    copies : Copies
        Its deliveries.
    split : Split
        Who it is for.
    serials : dict of str to int
        The delivery of each slot that was there.
    """

    copies: Copies[E]
    split: Split
    serials: dict[str, int]

    def held_for(self, slot: WorkerSlot[E]) -> Held[E] | None:
        """Return what a new process of ``slot`` must see of it, ``None`` if nothing or if it ended two processes."""
        if self.serials.get(slot.name) in self.copies.given_up:
            return None
        parts = [streams for tags, streams in self.split.broadcasts.items() if tags <= slot.tags]
        if not parts:
            return None
        return Held(self.copies.event, self.split.shown(_union(parts)))


@dataclass(slots=True)
class _Share:
    """What one slot gets of an event."""

    broadcast: list[tuple[int, ...]] = field(default_factory=list)
    keyed: list[tuple[int, ...]] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)
    tags: frozenset[str] = frozenset()


def split(recipients: MappedEvent | Recipients) -> Split:
    """Return the targets by kind; of a trigger map's event, or of ALL."""
    return _ALL_GENERIC if isinstance(recipients, Recipients) else split_targets(recipients)


def make_copies(event: E, n_bytes: int, targets: Split, routes: Routes[E], first_serial: int) -> list[Delivery[E]]:
    """Return a delivery for every slot that is a target of ``event``, bound to it; none if there is no such slot.

    A slot gets the union of the streams it is a target of. Keys without a slot are bound now, to slots that have
    nothing of this event where there are enough.
    """
    shares = _shares(targets, routes)
    copies = Copies(event, n_bytes, range(first_serial, first_serial + len(shares)), len(shares))
    return [
        Delivery(
            serial,
            event,
            n_bytes,
            targets.shown(_union([*share.broadcast, *share.keyed])),
            share.tags,
            tuple(share.keys),
            copies,
            slot=slot,
            key_streams=_union(share.keyed),
            is_broadcast=bool(share.broadcast),
        )
        for serial, (slot, share) in zip(copies.serials, shares, strict=True)
    ]


def _shares(targets: Split, routes: Routes[E]) -> list[tuple[WorkerSlot[E], _Share]]:
    shares: dict[WorkerSlot[E], _Share] = {}
    for tags, streams in targets.broadcasts.items():
        for slot in routes.takers(tags):
            shares.setdefault(slot, _Share()).broadcast.append(streams)
    holders = {key: routes.holder(key, tags) for key, (tags, _) in targets.keys.items()}
    free = [key for key, (slot, _) in holders.items() if slot is None]
    # A slot that has only a broadcast copy is as good as any: what counts is that keys do not meet.
    candidates = [sorted(routes.takers(holders[key][1]), key=WorkerSlot.load) for key in free]
    with_key = [slot for slot, _ in holders.values() if slot is not None]
    for key, chosen in zip(free, distinct_slots(candidates, with_key), strict=True):
        if chosen is not None:
            tags = holders[key][1]
            routes.bind(key, chosen, tags)
            holders[key] = chosen, tags
    for key, (holder, tags) in holders.items():
        if holder is not None:
            share = shares.setdefault(holder, _Share())
            share.keys.append(key)
            share.keyed.append(targets.keys[key][1])
            share.tags |= tags
    return [(slot, shares[slot]) for slot in routes.slots.values() if slot in shares]


def _union(parts: list[tuple[int, ...]]) -> tuple[int, ...]:
    return parts[0] if len(parts) == 1 else tuple(sorted(set().union(*parts)))
