"""Events that are finished, and what became of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

E = TypeVar("E")


@dataclass(slots=True)
class Settled(Generic[E]):
    """Events that are finished, each reported once, and serials that will never have a result.

    Attributes
    ----------
    reduced : list
        Every delivery was acknowledged, or those that could be made.
    failed : list
        The same, and at least one of them had failed.
    given_up : list
        Events whose processing ended two workers; to be counted as failed.
    dropped : dict of str to list
        Events no part of which was reduced, by reason: ``"full"``, ``"stopped"``, ``"no_worker"``, ``"discarded"``.
    void : list of int
        Serials that the reducer must not wait for, in no order.
    """

    reduced: list[E] = field(default_factory=list)
    failed: list[E] = field(default_factory=list)
    given_up: list[E] = field(default_factory=list)
    dropped: dict[str, list[E]] = field(default_factory=dict)
    void: list[int] = field(default_factory=list)

    def drop(self, event: E, reason: str) -> None:
        """Count ``event`` as dropped for ``reason``."""
        self.dropped.setdefault(reason, []).append(event)
