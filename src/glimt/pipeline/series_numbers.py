"""Where in its series a numbered packet stands: known once, whatever is lost, doubled or out of order around it."""

from __future__ import annotations

from glimt.model.errors import DecodeError
from glimt.pipeline.ledger import DropReason

MAX_JUMP = 1_000_000
"""Most numbers that may be skipped at once. One farther ahead is damage, not a gap: if it were believed, every packet
after it would seem to come too late."""

REMEMBERED = 4096
"""How far back it is known which numbers were there: a number from before is called late, not repeated."""


class SeriesNumbers:
    """Numbers of one series, from 0.

    Attributes
    ----------
    next_number : int
        The one expected now: one more than the largest that was there.
    """

    __slots__ = ("_skipped", "next_number")

    def __init__(self) -> None:
        self.next_number = 0
        self._skipped: set[int] = set()

    def place(self, number: int) -> DropReason | None:
        """Take note of ``number``; return ``None`` if it is new, otherwise why its packet is left out.

        Raises
        ------
        DecodeError
            The number is negative, or so far ahead that it must be damaged; no note is taken of it.
        """
        expected = self.next_number
        if number < 0:
            raise DecodeError(f"its number is {-number} before the first of the series", where="data packet")
        if number < expected:
            return self._place_back(number)
        if number - expected > MAX_JUMP:
            raise DecodeError(f"its number is {number - expected} ahead of the expected one", where="data packet")
        if number > expected:
            skipped = self._skipped
            skipped.update(range(max(expected, number - REMEMBERED), number))
            if len(skipped) > 2 * REMEMBERED:
                self._skipped = {old for old in skipped if old > number - REMEMBERED}
        self.next_number = number + 1
        return None

    def _place_back(self, number: int) -> DropReason | None:
        if number in self._skipped:
            self._skipped.remove(number)
            return None
        return "repeated" if number >= self.next_number - REMEMBERED else "late"
