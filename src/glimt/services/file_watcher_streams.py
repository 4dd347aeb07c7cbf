"""Which outputs of a step an item goes to: the first, every, the last, some, or one."""

from __future__ import annotations

import re
from collections.abc import Iterable

_SELECT = re.compile(r"select-(\d{1,9})")
_EVERY = re.compile(r"every-(\d{1,9})")
_NUMBER = re.compile(r"\d{1,12}")


def is_selected(number: int, total: int, count: int) -> bool:
    """Return whether an item is one of ``count`` that are spread evenly over all.

    The first and the last are among them; of a single one (``count`` 1) it is the first.

    Parameters
    ----------
    number : int
        Of the item, from 1.
    total : int
        How many there are.
    count : int
        How many are wanted; all if there are not more. 0 selects none.
    """
    if count < 1:
        return False
    if total <= count:
        return True
    if count == 1:
        return number == 1
    if number == total:
        return True
    return number == 1 + number * (count - 1) // total * total // (count - 1)


class Streams:
    """The outputs of a step by what they want.

    Parameters
    ----------
    names : iterable of str
        ``first``, ``every``, ``last``, a number such as ``17``, ``select-250``, ``every-10``; others want no items.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)
        ordered = sorted(self._names)
        self._selections = [(name, int(found[1])) for name in ordered if (found := _SELECT.fullmatch(name))]
        self._periods = [
            (name, int(found[1])) for name in ordered if (found := _EVERY.fullmatch(name)) and int(found[1])
        ]
        self._numbers: dict[int, list[str]] = {}
        for name in ordered:
            if _NUMBER.fullmatch(name):
                self._numbers.setdefault(int(name), []).append(name)

    def of(self, number: int, total: int) -> list[str]:
        """Return the outputs that item ``number`` (from 1) of ``total`` goes to, in the order of sending."""
        names = [
            name
            for name, is_wanted in (("first", number == 1), ("every", True), ("last", number == total))
            if is_wanted and name in self._names
        ]
        names += self._numbers.get(number, [])
        names += [name for name, count in self._selections if is_selected(number, total, count)]
        names += [name for name, period in self._periods if (number - 1) % period == 0]
        return names
