"""Asks a server for the next message: ZeroMQ REQ, as OM, CrystFEL's servers and the Karabo bridge answer it.

A DEALER socket that speaks REQ's envelope (an empty first part): where the server dies with a question unanswered a REQ
socket is stuck, and where an answer comes late it throws it away.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self

import zmq

from glimt.model.errors import UsageError
from glimt.model.frame import MAX_ARRAY_BYTES
from glimt.sources.connection_monitor import ConnectionMonitor
from glimt.sources.message_queue import DEFAULT_QUEUE_BYTES
from glimt.sources.network_address import check_zmq_port
from glimt.sources.threaded_source import Backoff, ThreadedSource
from glimt.sources.zmq_socket import LARGE_PART, MAX_PARTS

if TYPE_CHECKING:
    from glimt.sources.source_options import SourceOptions

DEFAULT_REQUEST = b"next"
DEFAULT_TIMEOUT_S = 60.0

_SLICE_MS = 100


class ZmqRequestSource(ThreadedSource):
    """Asks, takes the answer, asks again; one question at a time. A context manager.

    When the server is lost the question is put to the next one as soon as that is connected. A server that is there
    and does not answer is asked again after the time-out, over a fresh connection and ever more rarely. Servers keep
    questions until they have data: one that still answers the old question then answers nobody, and that message is
    lost. So the time-out should be longer than any pause in the data; a server that died is noticed without it.

    Parameters
    ----------
    address : str
        ZeroMQ address of the server.
    request : bytes
        The question.
    timeout_s : float
        How long an answer may take [s].
    queue_bytes : int
        Nothing is asked while so much waits here [bytes].
    max_message_bytes : int
        A part that announces more ends the connection.

    Raises
    ------
    UsageError
        The address cannot be used.
    """

    def __init__(
        self,
        address: str,
        *,
        request: bytes = DEFAULT_REQUEST,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        queue_bytes: int = DEFAULT_QUEUE_BYTES,
        max_message_bytes: int = MAX_ARRAY_BYTES,
    ) -> None:
        check_zmq_port(address)
        super().__init__(address, queue_bytes=queue_bytes)
        self._request = request
        self._timeout_s = timeout_s
        self._max_message_bytes = max_message_bytes
        self._context: zmq.Context[Any] = zmq.Context()
        self._state.connected = False
        self._n_reconnects_before = 0
        try:
            self._open()
        except (zmq.ZMQError, UnicodeError) as error:
            self._close_sockets()
            self._queue.close()
            reason = getattr(error, "strerror", None) or error
            raise UsageError(
                f"cannot connect to {address[:200]!r}: {reason}; an address looks like tcp://127.0.0.1:9999"
            ) from None
        self._thread.start()

    @classmethod
    def from_options(cls, options: SourceOptions) -> Self:
        """Open the source that the options describe."""
        return cls(
            options.address,
            request=DEFAULT_REQUEST if options.request is None else options.request.encode(),
            timeout_s=options.timeout_s or DEFAULT_TIMEOUT_S,
            queue_bytes=options.queue_bytes,
            max_message_bytes=options.max_message_bytes,
        )

    def _open(self) -> None:
        self._dealer: zmq.Socket[bytes] = self._context.socket(zmq.DEALER)
        for option, value in (
            (zmq.LINGER, 0),
            (zmq.IMMEDIATE, 1),  # a question waits for a server, not in the queue to one that is gone
            (zmq.RCVHWM, 2),
            (zmq.MAXMSGSIZE, self._max_message_bytes),
            (zmq.TCP_KEEPALIVE, 1),  # notices a server whose machine went away
            (zmq.TCP_KEEPALIVE_IDLE, 10),
            (zmq.TCP_KEEPALIVE_INTVL, 5),
            (zmq.TCP_KEEPALIVE_CNT, 3),
            (zmq.RECONNECT_IVL, 50),
            (zmq.RECONNECT_IVL_MAX, 2_000),
        ):
            self._dealer.setsockopt(option, value)
        self._monitor = ConnectionMonitor(self._dealer)
        self._dealer.connect(self.address)

    def _run(self) -> None:
        backoff = Backoff()
        try:
            while not self._stopping.is_set():
                n_lost = self._ask()
                if n_lost is None:
                    continue
                if self._take_answer(n_lost):
                    backoff.reset()
                elif not self._stopping.is_set() and self._monitor.n_lost == n_lost:
                    self._state.last_error = f"{self.address} did not answer within {self._timeout_s:g} s; asked again"
                    self._stopping.wait(backoff.next_s())
                    self._n_reconnects_before += self._monitor.n_reconnects
                    self._close_socket()
                    self._open()
        finally:
            self._close_sockets()

    def _ask(self) -> int | None:
        """Put the question if a server is there; return how many were lost before, ``None`` if there is none."""
        self._follow()
        if not self._dealer.poll(_SLICE_MS, zmq.POLLOUT):
            return None
        n_lost = self._monitor.n_lost
        try:
            self._dealer.send_multipart([b"", self._request], zmq.DONTWAIT)
        except zmq.Again:
            return None
        return n_lost

    def _take_answer(self, n_lost: int) -> bool:
        """Wait for the answer; whether one came."""
        deadline = time.monotonic() + self._timeout_s
        while not self._stopping.is_set() and time.monotonic() < deadline:
            if self._dealer.poll(_SLICE_MS, zmq.POLLIN):
                self._receive()
                return True
            self._follow()
            if self._monitor.n_lost > n_lost:
                self._state.last_error = f"{self.address} went away before it answered"
                return False
        return False

    def _receive(self) -> None:
        parts: list[Any] = []
        n_bytes = n_parts = 0
        more = True
        while more:
            frame = self._dealer.recv(copy=False)
            more = bool(frame.more)
            n_parts += 1
            if n_parts == 1 and not len(frame) and more:
                continue  # REQ's envelope
            if len(parts) <= MAX_PARTS:
                parts.append(frame if len(frame) >= LARGE_PART else frame.bytes)
                n_bytes += len(frame)
        if len(parts) > MAX_PARTS:
            self._state.n_refused += 1
            self._state.last_error = f"an answer of {n_parts} parts was refused, at most {MAX_PARTS} are accepted"
            return
        self._hand_over(parts, n_bytes)

    def _follow(self) -> None:
        """Keep the state up to date; a connection we replaced ourselves is none that came back."""
        self._monitor.update()
        self._state.connected = self._monitor.n_open > 0
        self._state.n_reconnects = self._n_reconnects_before + self._monitor.n_reconnects

    def _close_socket(self) -> None:
        self._monitor.close()
        self._dealer.close(linger=0)

    def _close_sockets(self) -> None:
        self._close_socket()
        self._context.term()
