"""The encryption of a run's own connections, where they leave the machine: CURVE, with one pair of keys a run."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

import zmq

if TYPE_CHECKING:
    from collections.abc import Callable

_PING_MS, _PING_LIMIT_MS = 2000, 10_000


@dataclass(frozen=True, slots=True)
class RunKeys:
    """Prepares the sockets between the processes of one run.

    Attributes
    ----------
    public : bytes
        Key of the run, known to its processes only; empty if connections are not encrypted.
    secret : bytes
        Its other half, for the processes that bind.
    """

    public: bytes = field(default=b"", repr=False)
    secret: bytes = field(default=b"", repr=False)

    @classmethod
    def made(cls) -> Self:
        """Make the keys of a new run."""
        public, secret = zmq.curve_keypair()
        return cls(public, secret)

    def for_clients(self) -> RunKeys:
        """Return what a process gets that only connects."""
        return replace(self, secret=b"")

    def serve(self, socket: zmq.Socket[bytes]) -> None:
        """Prepare a socket that will bind."""
        if self.public:
            socket.setsockopt(zmq.CURVE_SERVER, 1)
            socket.setsockopt(zmq.CURVE_SECRETKEY, self.secret)

    def join(self, socket: zmq.Socket[bytes]) -> None:
        """Prepare a socket that will connect."""
        if self.public:
            own_public, own_secret = zmq.curve_keypair()
            socket.setsockopt(zmq.CURVE_SERVERKEY, self.public)
            socket.setsockopt(zmq.CURVE_PUBLICKEY, own_public)
            socket.setsockopt(zmq.CURVE_SECRETKEY, own_secret)


NO_KEYS = RunKeys()
"""For sockets that no other user can reach."""


def notice_vanished_peers(socket: zmq.Socket[bytes]) -> None:
    """Let a socket that will bind or connect over TCP give up a peer that has been silent for 10 s.

    What was still to be sent to it is forgotten then. ZeroMQ's own threads ask and answer: user code may take long.
    """
    socket.setsockopt(zmq.HEARTBEAT_IVL, _PING_MS)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, _PING_LIMIT_MS)


class LossWatch:
    """Tells that a connecting socket has lost a connection that it had; ZeroMQ would connect again without a word.

    Parameters
    ----------
    socket : zmq.Socket
        Not connected yet. Connections that cannot break, within a machine, are not watched.
    address : str
        Where it will connect.
    """

    def __init__(self, socket: zmq.Socket[bytes], address: str) -> None:
        self._monitor: zmq.Socket[bytes] | None = None
        self._stop: Callable[[], Any] | None = None
        if address.startswith("tcp:"):
            notice_vanished_peers(socket)
            self._monitor = socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
            self._stop = socket.disable_monitor

    def register(self, poller: zmq.Poller) -> None:
        """Let a poller wake up when it happens."""
        if self._monitor is not None:
            poller.register(self._monitor, zmq.POLLIN)

    def has_lost(self) -> bool:
        """Tell whether a connection was lost."""
        return self._monitor is not None and bool(self._monitor.poll(0))

    def close(self) -> None:
        """Stop watching; before the socket is closed."""
        if self._stop is not None and self._monitor is not None:
            self._stop()
            self._monitor.close(linger=0)
            self._stop = self._monitor = None
