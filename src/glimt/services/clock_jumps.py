"""Whether somebody set the clock: silence that is measured in UTC must not end because of that."""

from __future__ import annotations

import time
from collections.abc import Callable

JUMP_S = 5.0
"""Less than this is how clocks are corrected while they run."""


class ClockJumps:
    """Compares the time of day with a clock that nobody sets.

    Parameters
    ----------
    clock : callable
        The time, UTC [s].
    monotonic : callable
        The time since whenever [s].
    """

    def __init__(self, clock: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._monotonic = clock, monotonic
        self._offset = self.offset_s()

    def offset_s(self) -> float:
        """Return by how much the time of day is ahead of the other clock [s]."""
        return self._clock() - self._monotonic()

    def jumped_by_s(self) -> float:
        """Return by how much the clock was set since the beginning or the last `settle` [s]; 0 if it was not."""
        jump_s = self.offset_s() - self._offset
        if abs(jump_s) > JUMP_S:
            return jump_s
        self._offset += jump_s
        return 0.0

    def settle(self, jump_s: float) -> None:
        """Note that a jump was allowed for."""
        self._offset += jump_s
