"""A transport of simulated devices that keeps what is sent."""

from __future__ import annotations

from glimt.model.event import frame_bytes
from glimt.sim.device import Message


class ListTransport:
    """Keeps what is sent."""

    address = "here"
    n_refused = n_disconnects = 0

    def __init__(self) -> None:
        self.messages: list[list[bytes]] = []

    def send(self, message: Message) -> bool:
        self.messages.append([frame_bytes(part) for part in message])
        return True

    def wait(self, timeout_ms: int) -> None:
        raise AssertionError("it never has to wait")

    def close(self, *, linger_ms: int = 0) -> None: ...
