"""Multipart messages from a ZeroMQ socket, without copying them."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Literal, Self

import zmq

from glimt.model.errors import DecodeError, UsageError
from glimt.model.frame import MAX_ARRAY_BYTES

SocketKind = Literal["pull", "sub"]
SOCKET_KINDS: dict[str, int] = {"pull": zmq.PULL, "sub": zmq.SUB}

MAX_PARTS = 4096
"""Most parts that a message may have; an image has 2 to 5."""

DEFAULT_QUEUE_MESSAGES = 256

_RECONNECT_MS = 100
_RECONNECT_MAX_MS = 5_000
_KEEPALIVE_S = 60


class ZmqSource:
    """Receives multipart messages; a context manager.

    A sender that goes away and comes back is connected to again by ZeroMQ itself. Messages wait here up to the
    high-water mark; beyond it a PUSH sender is held back, a PUB sender drops messages.

    Parameters
    ----------
    address : str
        ZeroMQ address, such as ``tcp://127.0.0.1:9999``; ``tcp://127.0.0.1:*`` with ``bind`` takes a free port.
    kind : str
        ``"pull"`` or ``"sub"`` (to everything).
    bind : bool
        Wait for senders to connect, instead of connecting to one.
    queue_messages : int
        The receive high-water mark.

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
    ) -> None:
        if kind not in SOCKET_KINDS:
            raise UsageError(f"socket {kind!r} is not one of {', '.join(SOCKET_KINDS)}")
        if not 1 <= queue_messages <= 1 << 30:  # 0 would mean no limit
            raise UsageError(f"a queue of {queue_messages} messages: at least 1 is needed")
        self._context: zmq.Context[Any] = zmq.Context()
        self._socket: zmq.Socket[bytes] = self._context.socket(SOCKET_KINDS[kind])
        for option, value in (
            (zmq.RCVHWM, queue_messages),
            (zmq.MAXMSGSIZE, MAX_ARRAY_BYTES),  # a part that announces more ends its connection, not this process
            (zmq.RECONNECT_IVL, _RECONNECT_MS),
            (zmq.RECONNECT_IVL_MAX, _RECONNECT_MAX_MS),
            (zmq.TCP_KEEPALIVE, 1),
            (zmq.TCP_KEEPALIVE_IDLE, _KEEPALIVE_S),
            (zmq.LINGER, 0),
        ):
            self._socket.setsockopt(option, value)
        if kind == "sub":
            self._socket.setsockopt(zmq.SUBSCRIBE, b"")
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

    def close(self) -> None:
        """Close the socket; safe to call twice. Messages that were not received are gone."""
        self._socket.close(linger=0)
        self._context.term()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
