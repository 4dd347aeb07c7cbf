"""ZeroMQ sockets of detectors: PUSH, and PUB for devices that publish."""

from __future__ import annotations

import re
from typing import Any, Literal

import zmq

from glimt.model.errors import UsageError
from glimt.sim.device import Message
from glimt.sim.transport import LINGER_MS

QUEUE_BYTES = 64 << 20
"""What ZeroMQ may hold for a receiver that is slower than the device [bytes], beside the system's own buffers."""
MAX_QUEUE_MESSAGES = 1000
_MAX_PORT = 65535


class ZmqTransport:
    """Sends over PUSH or PUB. Without a receiver nothing is sent, and a slow one delays the device: nothing is lost.

    That holds for PUB too, where a real device would go on without its subscribers; it lets a test know what came.
    Only if all subscribers leave in the middle is what follows lost, as with a real one.

    Parameters
    ----------
    address : str
        ZeroMQ address; ``tcp://127.0.0.1:*`` takes a free port.
    kind : str
        ``"push"`` or ``"pub"``.
    bind : bool
        False connects to a receiver that is bound.
    message_bytes : int
        About how large a message is: the queue is bounded in bytes.

    Raises
    ------
    UsageError
        The address cannot be used.
    """

    def __init__(
        self, address: str, *, kind: Literal["push", "pub"] = "push", bind: bool = True, message_bytes: int = 1 << 10
    ) -> None:
        port = re.fullmatch(r"tcp://.*:(\d+)", address, re.ASCII)
        if port is not None and int(port[1][:9]) > _MAX_PORT:  # of which ZeroMQ takes the lower 16 bits
            raise UsageError(f"cannot bind or connect to {address[:80]}: the highest port is {_MAX_PORT}")
        self.n_refused = self.n_disconnects = 0
        self._is_pub = kind == "pub"
        self._has_receiver = not self._is_pub
        self._context: zmq.Context[Any] = zmq.Context()
        self._socket: zmq.Socket[bytes] = self._context.socket(zmq.XPUB if self._is_pub else zmq.PUSH)
        self._socket.setsockopt(zmq.SNDHWM, min(MAX_QUEUE_MESSAGES, max(2, QUEUE_BYTES // max(1, message_bytes))))
        if self._is_pub:
            self._socket.setsockopt(zmq.XPUB_NODROP, 1)
        else:
            self._socket.setsockopt(zmq.IMMEDIATE, 1)  # a queue for a receiver that is not there would be lost
        try:
            (self._socket.bind if bind else self._socket.connect)(address)
        except (zmq.ZMQError, UnicodeError) as error:
            self.close(linger_ms=0)
            reason = getattr(error, "strerror", None) or error
            raise UsageError(f"cannot {'bind' if bind else 'connect to'} {address}: {reason}") from None
        self.address = str(self._socket.get_string(zmq.LAST_ENDPOINT)).rstrip("\0")

    def send(self, message: Message) -> bool:
        """Send all parts, or none and return False."""
        if not self._has_receiver and not self._subscribed():
            return False
        send, last = self._socket.send, len(message) - 1
        try:
            for index, part in enumerate(message):
                flags = zmq.NOBLOCK if index == last else zmq.NOBLOCK | zmq.SNDMORE
                send(part, flags, type(part) is bytes)  # small parts are bytes: copying them is quicker
        except zmq.Again:
            return False
        return True

    def _subscribed(self) -> bool:
        while self._socket.poll(0, zmq.POLLIN):
            self._has_receiver |= self._socket.recv()[:1] == b"\x01"
        return self._has_receiver

    def wait(self, timeout_ms: int) -> None:
        """Wait until there is room, or a first subscriber."""
        self._socket.poll(timeout_ms, zmq.POLLOUT if self._has_receiver else zmq.POLLIN)

    def close(self, *, linger_ms: int = LINGER_MS) -> None:
        """Wait for the receiver to take what is queued, ``linger_ms`` at most, and close; safe to call twice."""
        self._socket.close(linger=linger_ms)
        self._context.term()
