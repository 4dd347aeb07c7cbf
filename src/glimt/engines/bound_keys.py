"""Which worker slot has which constraint of the trigger map: a map of a million constraints is 5 MB here."""

from __future__ import annotations

from array import array
from typing import Generic, TypeVar

from glimt.model.trigger_map_part import CONSTRAINT_BITS

H = TypeVar("H")
_PAGE_BITS = 6
_PAGE_MASK = (1 << _PAGE_BITS) - 1
_EMPTY_PAGE = array("i", [0] * (1 << _PAGE_BITS))


class BoundKeys(Generic[H]):
    """Keys by holder.

    Keys come nearly dense and ascending, so they lie in pages of 64. A page has the number of a binding, not of a
    holder: all keys of a holder are given up at once by forgetting its number. Keys of part instances before the one
    that was bound last are forgotten: events come in order, theirs are over.
    """

    __slots__ = ("_bindings", "_instance", "_numbers", "_pages")

    def __init__(self) -> None:
        self._pages: dict[int, array[int]] = {}
        self._bindings: list[tuple[H, frozenset[str]] | None] = [None]
        self._numbers: dict[tuple[int, frozenset[str]], int] = {}
        self._instance = 0

    def holder(self, key: int) -> tuple[H, frozenset[str]] | None:
        """Return who has ``key``, and the tags that it had to have for that; ``None`` if the key is free."""
        page = self._pages.get(key >> _PAGE_BITS)
        return None if page is None else self._bindings[page[key & _PAGE_MASK]]

    def bind(self, key: int, holder: H, tags: frozenset[str]) -> None:
        """Give ``key`` to ``holder`` because of ``tags``; a key of an instance that is over is not remembered."""
        instance = key >> CONSTRAINT_BITS
        if instance != self._instance:
            if instance < self._instance:
                return
            self._instance = instance
            self._pages.clear()
        number = self._numbers.get((id(holder), tags))
        if number is None:
            number = self._numbers[id(holder), tags] = len(self._bindings)
            self._bindings.append((holder, tags))
        page = self._pages.get(key >> _PAGE_BITS)
        if page is None:
            page = self._pages[key >> _PAGE_BITS] = array("i", _EMPTY_PAGE)
        page[key & _PAGE_MASK] = number

    def unbind(self, holder: H) -> None:
        """Make all keys of ``holder`` free."""
        for name in [name for name in self._numbers if name[0] == id(holder)]:
            self._bindings[self._numbers.pop(name)] = None
