"""An HTTP server that slow and hostile clients cannot hold: bounded connections, and a deadline for every request."""

from __future__ import annotations

import contextlib
import http.server
import socket
import threading
import time
from typing import Any

MAX_CONNECTIONS = 64
_IDLE_S = 60.0


class BoundedHttpServer(http.server.ThreadingHTTPServer):
    """One thread a connection; of too many, the one that has done nothing for longest is closed.

    Parameters
    ----------
    place : (str, int)
        Host and port to listen on.
    handler : type
        A `http.server.BaseHTTPRequestHandler`, which calls `began` and `ended` for every request.
    request_s : float
        How long a request may take to arrive [s].
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = MAX_CONNECTIONS

    def __init__(
        self, place: tuple[str, int], handler: type[http.server.BaseHTTPRequestHandler], *, request_s: float
    ) -> None:
        if ":" in place[0]:
            self.address_family = socket.AF_INET6
        self._request_s = request_s
        self._lock = threading.Lock()
        self._since: dict[Any, float] = {}
        self._n_done: dict[Any, int] = {}
        super().__init__(place, handler)

    @property
    def n_connections(self) -> int:
        """Connections that are open."""
        return len(self._since)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread of its own."""
        with self._lock:
            if len(self._since) >= MAX_CONNECTIONS:
                oldest = min(self._since, key=self._since.__getitem__)
                del self._since[oldest]
                _shut(oldest)
            self._since[request], self._n_done[request] = time.monotonic(), 0
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        with self._lock:
            self._since.pop(request, None)
            self._n_done.pop(request, None)
        super().shutdown_request(request)

    def ended(self, request: Any) -> None:
        """Note that a request on this connection was answered."""
        with self._lock:
            if request in self._since:
                self._since[request] = time.monotonic()
                self._n_done[request] += 1

    def service_actions(self) -> None:
        """Close connections whose request does not come to its end."""
        now = time.monotonic()
        with self._lock:
            for request, since in self._since.items():
                if now - since > (_IDLE_S if self._n_done[request] else self._request_s):
                    _shut(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that goes away in the middle is its own affair."""

    def close_all(self) -> None:
        """Close the listening socket and every connection."""
        self.server_close()
        with self._lock:
            for request in self._since:
                _shut(request)


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
