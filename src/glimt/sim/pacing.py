"""When each frame is due."""

from __future__ import annotations

import threading
import time
from random import Random

_LATE_S = 0.1
"""Without a shared clock, a device that was held back catches up so much at most [s], not in one burst."""
_SHORTEST_WAIT_S = 50e-6


class Pacer:
    """Waits for triggers; one for a simulation.

    Parameters
    ----------
    rate_hz : float
        Triggers a second; 0 waits for nothing.
    start_at : float or None
        Time of the first trigger, UTC [s]. Devices that share it stay in step: every trigger has its own time, and one
        that was held back catches up. Without it, the series begins with the first frame.
    trigger_delay_s : float
        The device sends so long after its trigger.
    jitter_s : float
        And later by up to so much.
    """

    def __init__(self, *, rate_hz: float, start_at: float | None, trigger_delay_s: float, jitter_s: float) -> None:
        self.period_s = 1.0 / rate_hz if rate_hz else 0.0
        self._delay_s = trigger_delay_s
        self._jitter_s = jitter_s
        self._is_shared = start_at is not None
        self._first = time.monotonic() + start_at - time.time() if start_at is not None else 0.0
        self._due = 0.0
        self.is_free = not (self.period_s or self._is_shared or trigger_delay_s or jitter_s)

    def begin_series(self, offset_s: float) -> None:
        """Begin a series whose first trigger is ``offset_s`` after that of the first series."""
        self._due = (self._first + offset_s if self._is_shared else time.monotonic()) - self.period_s

    def wait(self, stop: threading.Event, random: Random) -> bool:
        """Wait for the next trigger; False if the simulation was stopped before."""
        self._due += self.period_s
        if not self._is_shared:
            self._due = max(self._due, time.monotonic() - _LATE_S)
        early_s = self._due + self._delay_s - time.monotonic()
        if self._jitter_s:
            early_s += random.random() * self._jitter_s
        if early_s > _SHORTEST_WAIT_S:
            return not stop.wait(early_s)
        return not stop.is_set()
