"""Clocks that go on when the test says so."""

from __future__ import annotations

BEGAN = 1_700_000_000.0


class Clock:
    """The two clocks of a service: the time of day, and the one that nobody sets; both stand still by themselves."""

    def __init__(self) -> None:
        self.now = BEGAN
        self.set_by_s = 0.0

    def __call__(self) -> float:
        return self.now

    def monotonic(self) -> float:
        """Return the time since the clock was made, however it was set."""
        return self.now - self.set_by_s - BEGAN

    def set(self, by_s: float) -> None:
        """Set the clock; no time passes."""
        self.now += by_s
        self.set_by_s += by_s
