"""Ticks: one event in each interval carries ``tick=True``, across all workers, for results that are large or slow.

In replay the clock is the time at which events were recorded, so that the same events tick in every run and with any
number of workers. Captures without times count as 10 events a second.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from glimt.model.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

NOMINAL_EVENT_S = 0.1
"""Time between events that were recorded without times [s]."""


class TickClock:
    """Tells which events tick.

    Parameters
    ----------
    interval : callable
        Returns the tick interval [s]; asked before every event, since it may depend on parameters.
    """

    def __init__(self, interval: Callable[[], float]) -> None:
        self._interval = interval

    def tick(self, index: int, when_ns: int, previous_ns: int) -> bool:
        """Tell whether the event ticks: it is the first one in its interval.

        Parameters
        ----------
        index : int
            Position of the event in the run, from 0; the first event always ticks.
        when_ns, previous_ns : int
            Times of this event and the one before it [ns], -1 if unknown.

        Raises
        ------
        UsageError
            The interval is not a positive number of seconds.
        """
        interval = self._interval()
        if not interval > 0 or math.isinf(interval):
            raise UsageError(f"get_tick_interval must return a positive number of seconds, got {interval!r}")
        if index == 0:
            return True
        if when_ns < 0 or previous_ns < 0:
            now, before = index * NOMINAL_EVENT_S, (index - 1) * NOMINAL_EVENT_S
        else:
            now, before = when_ns * 1e-9, previous_ns * 1e-9
        return math.floor(now / interval) != math.floor(before / interval)
