"""Lines of text from a TCP server, such as a PandABox's data port (8888)."""

from __future__ import annotations

import errno
import os
import selectors
import socket
import time
from typing import TYPE_CHECKING, Self

from glimt.codecs.pandabox_text import MAX_LINE_BYTES
from glimt.sources.message_queue import DEFAULT_QUEUE_BYTES
from glimt.sources.network_address import host_and_port
from glimt.sources.threaded_source import Backoff, ThreadedSource

if TYPE_CHECKING:
    from glimt.sources.source_options import SourceOptions

DEFAULT_TIMEOUT_S = 5.0

_PIECE = 1 << 16
_SLICE_S = 0.1
_KEEPALIVE_S = 30


class TcpLinesSource(ThreadedSource):
    """Connects, and again whenever the connection is lost; hands out whole lines. A context manager.

    A message has one part: as many whole lines as came together, at most about 64 kB. A line that the lost
    connection cut off is dropped and counted. Of a line longer than `MAX_LINE_BYTES` the beginning is handed out.

    Parameters
    ----------
    address : str
        ``tcp://host:port``, or without ``tcp://``.
    request : bytes
        Sent first; the server answers ``OK`` in a line of its own. Empty: nothing is sent, nothing expected.
    timeout_s : float
        How long connecting and that answer may take [s].
    queue_bytes : int
        The server is held back while so much waits here [bytes].

    Raises
    ------
    UsageError
        The address cannot be used.
    """

    def __init__(
        self,
        address: str,
        *,
        request: bytes = b"\n",
        timeout_s: float = DEFAULT_TIMEOUT_S,
        queue_bytes: int = DEFAULT_QUEUE_BYTES,
    ) -> None:
        self._peer = host_and_port(address, "tcp")
        super().__init__(address, queue_bytes=queue_bytes)
        self._request = request
        self._timeout_s = timeout_s
        self._state.connected = False
        self._rest = b""
        self._skips_rest_of_line = False
        self._n_connections = self._n_pieces = 0
        self._thread.start()

    @classmethod
    def from_options(cls, options: SourceOptions) -> Self:
        """Open the source that the options describe."""
        request = "\n" if options.request is None else options.request
        if request and not request.endswith("\n"):
            request += "\n"
        return cls(
            options.address,
            request=request.encode(),
            timeout_s=options.timeout_s or DEFAULT_TIMEOUT_S,
            queue_bytes=options.queue_bytes,
        )

    def _run(self) -> None:
        backoff = Backoff()
        while not self._stopping.is_set():
            n_pieces = self._n_pieces
            try:
                with self._connect() as connection:
                    self._receive(connection)
            except OSError as error:
                self._state.last_error = f"{self.address}: {error.strerror or error}"
            if self._n_pieces > n_pieces:  # a server that only accepts and closes is asked ever more rarely
                backoff.reset()
            if self._stopping.wait(backoff.next_s()):
                return

    def _connect(self) -> socket.socket:
        deadline = time.monotonic() + self._timeout_s
        family, kind, number, _, place = socket.getaddrinfo(*self._peer, type=socket.SOCK_STREAM)[0]
        connection = socket.socket(family, kind, number)
        try:
            connection.setblocking(False)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if hasattr(socket, "TCP_KEEPIDLE"):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_S)
            code = connection.connect_ex(place)
            if code == errno.EINPROGRESS:
                self._wait(connection, selectors.EVENT_WRITE, deadline)
                code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, os.strerror(code))
            self._greet(connection, deadline)
        except BaseException:
            connection.close()
            raise
        return connection

    def _greet(self, connection: socket.socket, deadline: float) -> None:
        """Send the request and read the ``OK`` of the server; what follows it is the first text."""
        self._rest, self._skips_rest_of_line = b"", False
        if not self._request:
            return
        connection.sendall(self._request)
        answer = b""
        while b"\n" not in answer:
            if len(answer) > _PIECE:
                raise OSError(f"no answer to the request in the first {len(answer)} bytes")
            self._wait(connection, selectors.EVENT_READ, deadline)
            piece = connection.recv(_PIECE)
            if not piece:
                raise OSError("the connection was closed before the request was answered")
            answer += piece
        line, _, self._rest = answer.partition(b"\n")
        if line.strip() != b"OK":
            raise OSError(f"the server answers {line[:80]!r} where OK is expected")

    def _wait(self, connection: socket.socket, event: int, deadline: float) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(connection, event)
            while not selector.select(_SLICE_S):
                if self._stopping.is_set():
                    raise OSError("closed")
                if time.monotonic() > deadline:
                    raise OSError(f"no answer within {self._timeout_s:g} s")

    def _receive(self, connection: socket.socket) -> None:
        """Hand lines over until the connection is lost or the source is closed."""
        self._state.n_reconnects += self._n_connections > 0
        self._n_connections += 1
        self._state.connected = True
        try:
            self._take(b"")  # what came together with the server's OK
            with selectors.DefaultSelector() as selector:
                selector.register(connection, selectors.EVENT_READ)
                while not self._stopping.is_set():
                    if not selector.select(_SLICE_S):
                        continue
                    piece = connection.recv(_PIECE)
                    if not piece:
                        raise OSError("the connection was closed by the server")
                    self._take(piece)
        finally:
            self._state.connected = False
            if self._rest and not self._stopping.is_set():
                self._state.n_refused += 1
                self._state.detail = f"{len(self._rest)} bytes of a line cut off by a lost connection were dropped"

    def _take(self, piece: bytes) -> None:
        if self._skips_rest_of_line:
            _, found, piece = piece.partition(b"\n")
            self._skips_rest_of_line = not found
        text, found, rest = (self._rest + piece).rpartition(b"\n")
        whole = text + found
        if len(rest) > MAX_LINE_BYTES:
            self._state.n_refused += 1
            self._state.last_error = f"a line of more than {MAX_LINE_BYTES} bytes was cut"
            whole += rest[:MAX_LINE_BYTES] + b"\n"
            rest, self._skips_rest_of_line = b"", True
        self._rest = rest
        if whole:
            self._n_pieces += 1
            self._hand_over([whole], len(whole))
