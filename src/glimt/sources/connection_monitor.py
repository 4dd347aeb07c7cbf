"""Whether anybody is at the other end of a ZeroMQ socket, without cost per message."""

from __future__ import annotations

import itertools
from typing import Any

import zmq
from zmq.utils.monitor import parse_monitor_message

_FAILED = zmq.Event.HANDSHAKE_FAILED_NO_DETAIL | zmq.Event.HANDSHAKE_FAILED_PROTOCOL | zmq.Event.HANDSHAKE_FAILED_AUTH
_numbers = itertools.count()


class ConnectionMonitor:
    """Follows the connections of one socket; made before the socket binds or connects.

    Parameters
    ----------
    socket : zmq.Socket
        The socket.

    Attributes
    ----------
    n_ready, n_lost : int
        How often one was there, and was lost.
    n_strangers : int
        Connections of what does not speak ZeroMQ.
    n_reconnects : int
        How often one came after another was lost.
    """

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self.n_ready = self.n_lost = self.n_strangers = self.n_reconnects = 0
        self._has_failed = False
        self._unreplaced = self._n_sockets = 0
        self._socket = socket
        context: zmq.Context[Any] = socket.context
        self._events: zmq.Socket[bytes] = context.socket(zmq.PAIR)
        self._events.setsockopt(zmq.RCVHWM, 0)  # with a limit ZeroMQ's own thread would wait for us
        self._events.setsockopt(zmq.LINGER, 0)
        address = f"inproc://glimt-monitor-{next(_numbers)}"
        opened = zmq.Event.ACCEPTED | zmq.Event.CONNECTED
        socket.monitor(address, opened | zmq.Event.HANDSHAKE_SUCCEEDED | zmq.Event.DISCONNECTED | _FAILED)
        self._events.connect(address)

    @property
    def n_open(self) -> int:
        """Senders that are connected and speak ZeroMQ, at the last `update`."""
        return self.n_ready - self.n_lost

    def update(self) -> None:
        """Take in what happened since."""
        while True:
            try:
                message = self._events.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return
            self._take(zmq.Event(parse_monitor_message(message)["event"]))

    def _take(self, event: zmq.Event) -> None:
        if event & (zmq.Event.ACCEPTED | zmq.Event.CONNECTED):
            self._n_sockets += 1
        elif event is zmq.Event.HANDSHAKE_SUCCEEDED:
            self.n_ready += 1
            if self._unreplaced:
                self._unreplaced -= 1
                self.n_reconnects += 1
        elif event & _FAILED:
            self._has_failed = True  # the DISCONNECTED of this connection comes next
        elif event is zmq.Event.DISCONNECTED:
            self._disconnected()

    def _disconnected(self) -> None:
        # The event does not say which connection it was. While some have not shaken hands it is taken for one of these;
        # if that is wrong it is made good when they go, because never more can be ready than there are.
        was_stranger = self._has_failed or self.n_open < self._n_sockets
        self._has_failed = False
        self._n_sockets -= 1
        if was_stranger and self.n_open <= self._n_sockets:
            self.n_strangers += 1
        else:
            self.n_lost += 1
            self._unreplaced += 1

    def close(self) -> None:
        """Stop following; before the socket is closed."""
        if not self._events.closed:
            self._socket.disable_monitor()
            self._events.close(linger=0)
