"""Multipart messages from a ZeroMQ socket: PULL and SUB. Large parts are not copied."""

from __future__ import annotations

import copy
import time
from types import TracebackType
from typing import Any, Literal, Self

import zmq

from glimt.model.errors import DecodeError, UsageError
from glimt.model.frame import MAX_ARRAY_BYTES
from glimt.sources.connection_monitor import ConnectionMonitor
from glimt.sources.message_source import READ_BYTES, SourceState
from glimt.sources.network_address import check_zmq_port
from glimt.sources.source_options import DEFAULT_QUEUE_MESSAGES, SourceOptions

SocketKind = Literal["pull", "sub"]
SOCKET_KINDS: dict[str, int] = {"pull": zmq.PULL, "sub": zmq.SUB}

MAX_PARTS = 4096
"""Most parts that a message may have; an image has 2 to 5."""

LARGE_PART = 1 << 16
"""From this size on [bytes] not copying a part is cheaper than copying it."""

_RECONNECT_MS = 100
_RECONNECT_MAX_MS = 5_000
_KEEPALIVE_S = 60
_HANDSHAKE_MS = 5_000


class ZmqSource:
    """Receives multipart messages; a context manager.

    A sender that goes away and comes back is connected to again by ZeroMQ itself. Messages wait here up to the
    high-water mark; beyond it a PUSH sender is held back, a PUB sender drops messages.

    Parameters
    ----------
    address : str
        ZeroMQ address, such as ``tcp://127.0.0.1:9999``; ``tcp://127.0.0.1:*`` with ``bind`` takes a free port.
    kind : str
        ``"pull"`` or ``"sub"``.
    bind : bool
        Wait for senders to connect, instead of connecting to one.
    queue_messages : int
        The receive high-water mark.
    topic : bytes
        What the first part of a message to ``"sub"`` must begin with; others do not come.
    max_message_bytes : int
        A part that announces more ends its connection.

    Attributes
    ----------
    address : str
        The same, with the port that was taken.

    Raises
    ------
    UsageError
        The address cannot be used.
    """

    def __init__(
        self,
        address: str,
        *,
        kind: SocketKind = "pull",
        bind: bool = False,
        queue_messages: int = DEFAULT_QUEUE_MESSAGES,
        topic: bytes = b"",
        max_message_bytes: int = MAX_ARRAY_BYTES,
    ) -> None:
        if kind not in SOCKET_KINDS:
            raise UsageError(f"socket {kind!r} is not one of {', '.join(SOCKET_KINDS)}")
        if not 1 <= queue_messages <= 1 << 30:  # 0 would mean no limit
            raise UsageError(f"a queue of {queue_messages} messages: at least 1 is needed")
        check_zmq_port(address)
        self._context: zmq.Context[Any] = zmq.Context()
        self._socket: zmq.Socket[bytes] = self._context.socket(SOCKET_KINDS[kind])
        for option, value in (
            (zmq.RCVHWM, queue_messages),
            (zmq.MAXMSGSIZE, max_message_bytes),  # a part that announces more ends its connection, not this process
            (zmq.HANDSHAKE_IVL, _HANDSHAKE_MS),
            (zmq.RECONNECT_IVL, _RECONNECT_MS),
            (zmq.RECONNECT_IVL_MAX, _RECONNECT_MAX_MS),
            (zmq.TCP_KEEPALIVE, 1),
            (zmq.TCP_KEEPALIVE_IDLE, _KEEPALIVE_S),
            (zmq.LINGER, 0),
        ):
            self._socket.setsockopt(option, value)
        if kind == "sub":
            self._socket.setsockopt(zmq.SUBSCRIBE, topic)
        self._state = SourceState()
        self._is_bound = bind
        self._monitor = ConnectionMonitor(self._socket)
        try:
            (self._socket.bind if bind else self._socket.connect)(address)
        except (zmq.ZMQError, UnicodeError) as error:
            self.close()
            reason = getattr(error, "strerror", None) or error
            raise UsageError(
                f"cannot {'bind' if bind else 'connect to'} {address!r}: {reason}; "
                "an address looks like tcp://127.0.0.1:9999"
            ) from None
        self.address = str(self._socket.get_string(zmq.LAST_ENDPOINT)).rstrip("\0")

    @classmethod
    def pull(cls, options: SourceOptions) -> Self:
        """Open the PULL socket that the options describe."""
        return cls._of_kind("pull", options)

    @classmethod
    def sub(cls, options: SourceOptions) -> Self:
        """Open the SUB socket that the options describe."""
        return cls._of_kind("sub", options)

    @classmethod
    def _of_kind(cls, kind: SocketKind, options: SourceOptions) -> Self:
        return cls(
            options.address,
            kind=kind,
            bind=options.bind,
            queue_messages=options.queue_messages,
            topic=options.topic.encode(),
            max_message_bytes=options.max_message_bytes,
        )

    def receive(self, timeout_s: float | None = None) -> list[zmq.Frame] | None:
        """Return the parts of the next message, or ``None`` if none came in time.

        Parameters
        ----------
        timeout_s : float, optional
            How long to wait; without it, for ever.

        Raises
        ------
        DecodeError
            The message has more than `MAX_PARTS` parts; it is gone, the next one may be good.
        """
        timeout_ms = None if timeout_s is None else max(0, round(timeout_s * 1000))
        if not self._socket.poll(timeout_ms, zmq.POLLIN):
            return None
        parts = [self._socket.recv(copy=False)]
        n_parts = 1
        while parts[-1].more:
            part = self._socket.recv(copy=False)  # ZeroMQ delivers all parts or none: this does not wait
            n_parts += 1
            if n_parts <= MAX_PARTS:
                parts.append(part)
            else:
                parts[-1] = part
        if n_parts > MAX_PARTS:
            raise DecodeError(
                f"{n_parts} parts, at most {MAX_PARTS} are accepted", where=f"message from {self.address}"
            )
        return parts

    @property
    def socket(self) -> zmq.Socket[bytes]:
        """The socket to poll."""
        return self._socket

    def receive_ready(self, limit: int) -> list[list[Any]]:
        """Return what is there without waiting, at most ``limit`` messages, each a list of its parts.

        The one that exceeds `READ_BYTES` is the last: a burst of large frames may come after small ones.
        A message with more than `MAX_PARTS` parts is refused: counted in `state`, and gone.
        """
        receive, no_wait = self._socket.recv, int(zmq.DONTWAIT)
        messages: list[list[Any]] = []
        n_bytes = 0
        try:
            while len(messages) < limit and n_bytes <= READ_BYTES:
                # A frame knows whether more follow; asking the socket is slower than making a frame.
                frame = receive(no_wait, copy=False)
                size = len(frame)
                parts: list[Any] = [frame if size >= LARGE_PART else frame.bytes]
                while frame.more:  # ZeroMQ delivers all parts or none: this does not wait
                    frame = receive(no_wait, copy=False)
                    n_here = len(frame)
                    size += n_here
                    if len(parts) == MAX_PARTS:
                        self._refuse()
                        parts = []
                        break
                    parts.append(frame if n_here >= LARGE_PART else frame.bytes)
                if parts:
                    messages.append(parts)
                    n_bytes += size
        except zmq.Again:
            pass
        if messages:
            self._state.n_messages += len(messages)
            self._state.n_bytes += n_bytes
            self._state.last_message_ns = time.time_ns()
        return messages

    def _refuse(self) -> None:
        """Throw away the rest of a message that has too many parts."""
        n_parts = MAX_PARTS + 1
        while self._socket.get(zmq.RCVMORE):
            self._socket.recv(zmq.DONTWAIT, copy=False)
            n_parts += 1
        self._state.n_refused += 1
        self._state.last_error = f"a message of {n_parts} parts was refused, at most {MAX_PARTS} are accepted"

    def state(self) -> SourceState:
        """Return a copy of the state, with the connections as they are now."""
        state = self._state
        if not self._socket.closed:
            monitor = self._monitor
            n_strangers = monitor.n_strangers
            monitor.update()
            self._socket.get(zmq.EVENTS)  # lets a SUB socket that nobody polls now subscribe at a sender that returned
            state.connected = None if self.address.startswith("inproc:") else monitor.n_open > 0
            state.n_reconnects = monitor.n_reconnects
            if monitor.n_strangers > n_strangers:
                state.last_error = f"something that does not speak ZeroMQ is at the other end of {self.address}"
            state.detail = self._connections()
        return copy.copy(state)

    def _connections(self) -> str:
        monitor = self._monitor
        who = "listening" if self._is_bound else "connecting"
        if not monitor.n_ready:
            return f"{who}; no sender was ever there"
        return f"{monitor.n_open} connected; connected {monitor.n_ready} times, lost {monitor.n_lost} times"

    def close(self) -> None:
        """Close the socket; safe to call twice. Messages that were not received are gone."""
        self._monitor.close()
        self._socket.close(linger=0)
        self._context.term()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
