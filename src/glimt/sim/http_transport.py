"""An HTTP client that posts each message, as Sardana's recorder does."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from glimt.model.errors import UsageError
from glimt.model.event import frame_bytes
from glimt.sim.device import Message
from glimt.sim.transport import LINGER_MS

_TIMEOUT_S = 5.0


class HttpPoster:
    """Posts messages over one connection that is kept; waits for a receiver that is not there yet.

    Parameters
    ----------
    address : str
        Such as ``http://127.0.0.1:8002``; a path in it comes before those of the messages.
    route : callable
        A message to the path it is posted to.

    Raises
    ------
    UsageError
        The address is none.
    """

    def __init__(self, address: str, route: Callable[[bytes], str]) -> None:
        self.address = address.rstrip("/")
        self.n_refused = self.n_disconnects = 0
        try:
            parts = urlsplit(self.address)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if parts.scheme != "http" or not parts.hostname:
            raise UsageError(f"address {address[:80]!r}: write http://127.0.0.1:8002")
        self._prefix = parts.path
        self._route = route
        self._connection = http.client.HTTPConnection(parts.hostname, port, timeout=_TIMEOUT_S)
        self._was_connected = False

    def send(self, message: Message) -> bool:
        """Post a message; False if nobody listens. An answer that is an error counts in ``n_refused``."""
        body = b"".join(map(frame_bytes, message))
        try:
            self._connection.request(
                "POST", self._prefix + self._route(body), body, {"Content-Type": "application/json"}
            )
            response = self._connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            self.n_disconnects += self._was_connected
            self._was_connected = False
            return False
        self._was_connected = True
        self.n_refused += response.status >= 300
        return True

    def wait(self, timeout_ms: int) -> None:
        """Wait before the next attempt."""
        time.sleep(timeout_ms * 1e-3)

    def close(self, *, linger_ms: int = LINGER_MS) -> None:
        """Close the connection; every message has been answered."""
        del linger_ms
        self._connection.close()
