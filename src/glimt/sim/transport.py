"""How messages leave a simulated device."""

from __future__ import annotations

from typing import Protocol

from glimt.sim.device import Message

LINGER_MS = 30_000
LINGER_STOPPED_MS = 2_000


class Transport(Protocol):
    """One connection of a device to whoever receives."""

    address: str
    """Where, with the port that was taken."""
    n_refused: int
    """Messages that a receiver answered with an error."""
    n_disconnects: int
    """How often a receiver left in the middle."""

    def send(self, message: Message) -> bool:
        """Send a message, or return False if nobody takes it now; never waits long."""
        ...

    def wait(self, timeout_ms: int) -> None:
        """Wait until `send` may succeed, no longer than that."""
        ...

    def close(self, *, linger_ms: int = LINGER_MS) -> None:
        """Wait for what is queued to be taken, so long at most, and close; safe to call twice."""
        ...
