"""A TCP server that speaks like the data port of a PandABox: a client asks with one line, gets ``OK``, then the data.

Source: PandABlocks-server, ``docs/capture.rst``.
"""

from __future__ import annotations

import select
import socket
import time
from contextlib import suppress
from urllib.parse import urlsplit

from glimt.model.errors import UsageError
from glimt.model.event import frame_bytes
from glimt.sim.device import Message
from glimt.sim.transport import LINGER_MS

MAX_OPTIONS_BYTES = 1024
OPTIONS = frozenset({b"ASCII", b"SCALED"})
"""Words a client may ask with: the only format that is spoken."""


class TcpTextServer:
    """Serves one client at a time. Without a client nothing is sent; when one leaves, the next is waited for.

    Parameters
    ----------
    address : str
        Such as ``tcp://127.0.0.1:8888``; port 0 or ``*`` takes a free one.

    Raises
    ------
    UsageError
        The address cannot be used.
    """

    def __init__(self, address: str) -> None:
        self.n_refused = self.n_disconnects = 0
        self._client: socket.socket | None = None
        self._asked = b""
        self._is_ready = False
        self._rest = memoryview(b"")
        host, port = _host_and_port(address)
        try:
            self._listener = socket.create_server((host, port))
        except (OSError, UnicodeError, OverflowError) as error:
            raise UsageError(f"cannot bind {address}: {getattr(error, 'strerror', None) or error}") from None
        self._listener.setblocking(False)
        self.address = f"tcp://{host}:{self._listener.getsockname()[1]}"

    def send(self, message: Message) -> bool:
        """Send a piece of text, or return False if there is no client or the last piece is not gone yet."""
        self._serve()
        self._flush()
        if not self._is_ready or self._rest:
            return False
        self._rest = memoryview(b"".join(map(frame_bytes, message)))
        self._flush()
        return True

    def wait(self, timeout_ms: int) -> None:
        """Wait for a client, or for room."""
        client = self._client
        reading = [self._listener] if client is None else [] if self._is_ready else [client]
        writing = [client] if client is not None and self._is_ready else []
        select.select(reading, writing, [], timeout_ms * 1e-3)
        self._serve()

    def _serve(self) -> None:
        if self._client is None:
            with suppress(BlockingIOError):
                self._client, _ = self._listener.accept()
                self._client.setblocking(False)
                self._client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._asked, self._is_ready = b"", False
        if self._client is None:
            return
        if not self._is_ready:
            self._read_options(self._client)
            return
        try:
            is_gone = not self._client.recv(MAX_OPTIONS_BYTES)  # more words mean nothing, an end means it has left
        except BlockingIOError:
            return
        except OSError:
            is_gone = True
        if is_gone:
            self._drop_client()

    def _read_options(self, client: socket.socket) -> None:
        try:
            received = client.recv(MAX_OPTIONS_BYTES)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        self._asked += received
        if not received or len(self._asked) > MAX_OPTIONS_BYTES:
            self._drop_client()
            return
        line, newline, _ = self._asked.partition(b"\n")
        if not newline:
            return
        unknown = [word for word in line.split() if word.upper() not in OPTIONS]
        try:
            client.send(b"ERR Invalid option\n" if unknown else b"OK\n")
        except OSError:
            unknown = [line]
        if unknown:
            self._drop_client()
        else:
            self._is_ready = True

    def _flush(self) -> None:
        while self._rest and self._client is not None:
            try:
                self._rest = self._rest[self._client.send(self._rest) :]
            except BlockingIOError:
                return
            except OSError:
                self._drop_client()

    def _drop_client(self) -> None:
        if self._client is not None:
            self._client.close()
            self.n_disconnects += self._is_ready
        self._client, self._is_ready, self._rest = None, False, memoryview(b"")

    def close(self, *, linger_ms: int = LINGER_MS) -> None:
        """Send what is left to the client, for ``linger_ms`` at most, and close; safe to call twice."""
        until = time.monotonic() + linger_ms * 1e-3
        while self._rest and self._client is not None and (left_s := until - time.monotonic()) > 0:
            select.select([], [self._client], [], left_s)
            self._flush()
        if self._client is not None:
            self._client.close()
            self._client, self._rest = None, memoryview(b"")
        self._listener.close()


def _host_and_port(address: str) -> tuple[str, int]:
    what = f"address {address[:80]!r}: write tcp://127.0.0.1:8888"
    try:
        parts = urlsplit(address.replace(":*", ":0") if address.endswith(":*") else address)
        port = parts.port
    except ValueError:
        raise UsageError(what) from None
    if parts.scheme != "tcp" or not parts.hostname or port is None:
        raise UsageError(what)
    return parts.hostname, port
