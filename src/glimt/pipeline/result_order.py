"""Results in the order of their serials, whatever the order in which workers finish."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, Generic, TypeVar

from glimt.model.errors import DecodeError, UsageError

T = TypeVar("T")

_VOID: Final[Any] = object()


class ResultOrder(Generic[T]):
    """Puts the results of deliveries into the order of their serials 0, 1, 2, … and gives out each exactly once.

    After a worker died its deliveries are given to another one, so results may come again: the first one counts. A
    serial that will never come is told with `void`. Only what waits is remembered, never what is out.

    Parameters
    ----------
    watermark : int
        All serials below are out already: where a checkpoint resumes.

    Attributes
    ----------
    n_duplicates : int
        Results that were not given out because their serial was there before, or void.

    Raises
    ------
    UsageError
        The watermark is negative.
    """

    __slots__ = ("_n_void", "_next", "_waiting", "n_duplicates")

    def __init__(self, watermark: int = 0) -> None:
        if watermark < 0:
            raise UsageError(f"watermark {watermark} is negative; serials start at 0")
        self.n_duplicates = 0
        self._next = watermark
        self._waiting: dict[int, Any] = {}
        self._n_void = 0

    @property
    def watermark(self) -> int:
        """All serials below are out or void."""
        return self._next

    @property
    def n_waiting(self) -> int:
        """Number of results that wait for one before them."""
        return len(self._waiting) - self._n_void

    def waiting(self) -> list[tuple[int, T]]:
        """Return the results that wait, by serial: what a checkpoint at `watermark` does not contain."""
        return sorted((pair for pair in self._waiting.items() if pair[1] is not _VOID), key=lambda pair: pair[0])

    def waiting_voids(self) -> list[int]:
        """Return the serials above `watermark` that will never come; a checkpoint must remember them, too."""
        return sorted(serial for serial, item in self._waiting.items() if item is _VOID)

    def add(self, serials: Sequence[int], items: Sequence[T]) -> list[tuple[int, T]]:
        """Take results and return those that are next now, as (serial, result).

        Parameters
        ----------
        serials : sequence of int
            Of the results, in any order; a `range` is fastest.
        items : sequence
            The results.

        Raises
        ------
        DecodeError
            Not as many results as serials, or a negative serial; nothing is taken.
        """
        n_items = len(serials)
        if n_items != len(items):
            raise DecodeError(f"{n_items} serials come with {len(items)} results", where="block of results")
        if not n_items:
            return []
        run = range(self._next, self._next + n_items)
        if serials[0] == run[0] and serials[-1] == run[-1] and self._is_next(run, serials):
            self._next = run.stop
            ready = list(zip(run, items, strict=True))
            return self._advance(ready) if self._waiting else ready
        return self._add_singly(serials, items)

    def _is_next(self, run: range, serials: Sequence[int]) -> bool:
        if self._waiting and not self._waiting.keys().isdisjoint(run):
            return False
        return serials == run if type(serials) is range else list(serials) == list(run)

    def _add_singly(self, serials: Sequence[int], items: Sequence[T]) -> list[tuple[int, T]]:
        if min(serials) < 0:
            raise DecodeError(f"serial {min(serials)} is negative", where="block of results")
        waiting, done = self._waiting, self._next
        for serial, item in zip(serials, items, strict=True):
            if serial < done or serial in waiting:
                self.n_duplicates += 1
            else:
                waiting[serial] = item
        return self._advance([])

    def void(self, serials: Iterable[int]) -> list[tuple[int, T]]:
        """Skip serials that will never come and return the results that are next now, as (serial, result).

        A result that is there already stays; serials that are out or void are ignored.
        """
        ready: list[tuple[int, T]] = []
        waiting = self._waiting
        for serial in serials:
            if serial == self._next and serial not in waiting:
                self._next += 1
                if waiting:
                    self._advance(ready)
            elif serial > self._next and serial not in waiting:
                waiting[serial] = _VOID
                self._n_void += 1
        return ready

    def missing(self, first: int, end: int) -> list[tuple[int, int]]:
        """Return the serials from ``first`` to before ``end`` that are neither out, nor there, nor void, as runs."""
        runs, start = [], max(first, self._next)
        for serial in (*sorted(serial for serial in self._waiting if start <= serial < end), end):
            if serial > start:
                runs.append((start, serial))
            start = serial + 1
        return runs

    def _advance(self, ready: list[tuple[int, T]]) -> list[tuple[int, T]]:
        """Append to ``ready`` what waited for the serials before it."""
        waiting, serial = self._waiting, self._next
        while serial in waiting:
            item = waiting.pop(serial)
            if item is _VOID:
                self._n_void -= 1
            else:
                ready.append((serial, item))
            serial += 1
        self._next = serial
        return ready
