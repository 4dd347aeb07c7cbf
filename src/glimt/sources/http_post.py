"""Messages that are posted to us over HTTP: Sardana's recorder, and any sender of one body a message.

The addresses of Sardana's recorder are those of dranspose 0.2.0 (``dranspose.ingesters.http_sardana``).
"""

from __future__ import annotations

import hmac
import http.server
import json
import re
import threading
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from glimt.codecs.sardana import SardanaDataDescription, SardanaRecordData, SardanaRecordEnd
from glimt.model.errors import DecodeError, UsageError
from glimt.sources.http_server import BoundedHttpServer
from glimt.sources.message_queue import DEFAULT_QUEUE_BYTES
from glimt.sources.network_address import host_and_port, is_loopback
from glimt.sources.threaded_source import ThreadedSource

if TYPE_CHECKING:
    from glimt.sources.source_options import SourceOptions

DEFAULT_TIMEOUT_S = 10.0
DEFAULT_MAX_BODY_BYTES = 64 << 20

SARDANA_ADDRESSES: dict[str, type[SardanaDataDescription] | type[SardanaRecordData] | type[SardanaRecordEnd]] = {
    "/v1/data_desc": SardanaDataDescription,
    "/v1/record_data": SardanaRecordData,
    "/v1/record_end": SardanaRecordEnd,
}
IGNORED_ADDRESS = "/v1/custom_data"

_CHUNK = 1 << 20
_POLL_S = 0.05


class HttpPostSource(ThreadedSource):
    """A small HTTP server: the body of each POST is one message. A context manager.

    ``POST`` to Sardana's addresses is checked and becomes a message of Sardana's protocol (bodies may lack ``type``);
    ``/v1/custom_data`` is accepted and ignored; at any other address the body is a message as it is. Answers: 200 when
    the message is queued; 400 with the reason for what is no message; 401, 403 without the token, or for what a web
    page elsewhere makes a browser send; 411, 413 without or with too large a length; 503 while the queue is full, after
    which the sender should try again.

    Parameters
    ----------
    address : str
        ``http://host:port``, or without ``http://``; port 0 takes a free one.
    token : str, optional
        Senders present it as ``Authorization: Bearer …``. Needed where others than this machine can reach us.
    timeout_s : float
        How long a request may take to arrive [s].
    queue_bytes : int
        What may wait, including bodies that are arriving [bytes].
    max_body_bytes : int
        The largest body [bytes].

    Raises
    ------
    UsageError
        The address cannot be used, or the token is missing.
    """

    def __init__(
        self,
        address: str,
        *,
        token: str | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        queue_bytes: int = DEFAULT_QUEUE_BYTES,
        max_body_bytes: int = DEFAULT_MAX_BODY_BYTES,
    ) -> None:
        host, port = host_and_port(address, "http", any_port=True)
        if token is None and not is_loopback(host):
            raise UsageError(
                f"{host} can be reached from other machines: give a token, or listen on 127.0.0.1 and use a tunnel"
            )
        super().__init__(address, queue_bytes=queue_bytes)
        self.token = token
        self.max_body_bytes = min(max_body_bytes, queue_bytes)
        self._lock = threading.Lock()
        try:
            handler = type("_HandlerOfSource", (_Handler,), {"source": self})
            self._server = BoundedHttpServer((host, port), handler, request_s=timeout_s)
        except (OSError, OverflowError, UnicodeError) as error:
            self._queue.close()
            raise UsageError(
                f"cannot listen on {address[:200]!r}: {getattr(error, 'strerror', None) or error}"
            ) from None
        self.address = f"http://{f'[{host}]' if ':' in host else host}:{self._server.server_address[1]}"
        self._thread.start()

    @classmethod
    def from_options(cls, options: SourceOptions) -> Self:
        """Open the source that the options describe."""
        return cls(
            options.address,
            token=options.token,
            timeout_s=options.timeout_s or DEFAULT_TIMEOUT_S,
            queue_bytes=options.queue_bytes,
            max_body_bytes=min(options.max_message_bytes, DEFAULT_MAX_BODY_BYTES),
        )

    def _run(self) -> None:
        self._server.serve_forever(poll_interval=_POLL_S)

    def state(self) -> Any:
        """Return a copy of the state; ``connected`` is whether a client has a connection open."""
        state = super().state()
        state.connected = self._server.n_connections > 0
        state.detail = f"listening on {self.address}; {self._server.n_connections} connections"
        return state

    def reserve(self, n_bytes: int) -> bool:
        """Whether there is room for a body."""
        return self._queue.reserve(n_bytes, timeout_s=0)

    def queue(self, body: bytes, n_reserved: int) -> bool:
        """Queue a message for whose body room was reserved; False if the source is being closed."""
        return self._queue.put([body], n_reserved)

    def release(self, n_bytes: int) -> None:
        """Give room back."""
        self._queue.release(n_bytes)

    def refuse(self, reason: str) -> None:
        """Count a request that was not accepted."""
        with self._lock:
            self._state.n_refused += 1
            self._state.last_error = reason

    def close(self) -> None:
        """Stop listening and close every connection; safe to call twice."""
        self._stopping.set()
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.close_all()
        super().close()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "glimt", ""
    disable_nagle_algorithm = True

    source: HttpPostSource

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: this is the path of every message."""

    def do_POST(self) -> None:
        """Take one message."""
        status, reason = self._refusal() or self._take()
        if status != 200:
            self.source.refuse(f"{status} to a POST to {self.path[:100]!r}: {reason}")
        self._answer(status, reason)

    def do_GET(self) -> None:
        """Say what this is."""
        self._answer(405, "this is where messages of a stream are posted to: use POST")

    def _refusal(self) -> tuple[int, str] | None:
        host = self.headers.get("Host", "")
        if self.source.token is None and not is_loopback(_name_of("//" + host)):
            return self._closing(403, f"answers on this machine only, not as {host[:100]!r}")
        origin = self.headers.get("Origin")
        if origin is not None:
            return self._closing(403, f"a page of {origin[:100]!r} may not send messages")
        if self.source.token is not None:
            kind, _, given = self.headers.get("Authorization", "").partition(" ")
            if kind.lower() != "bearer" or not hmac.compare_digest(given.encode(), self.source.token.encode()):
                return self._closing(401, "a token is needed: send it as 'Authorization: Bearer …'")
        return None

    def _take(self) -> tuple[int, str]:
        lengths = self.headers.get_all("Content-Length", [])
        if "Transfer-Encoding" in self.headers or len(lengths) != 1 or not re.fullmatch(r"[0-9]{1,19}", lengths[0]):
            return self._closing(411, "a body needs one Content-Length, and no Transfer-Encoding")
        n_bytes = int(lengths[0])
        if n_bytes > self.source.max_body_bytes:
            return self._closing(413, f"{n_bytes} bytes, at most {self.source.max_body_bytes} are accepted")
        if not self.source.reserve(n_bytes):
            return self._closing(503, "the queue is full, try again")
        is_reserved = True
        try:
            body = self._read(n_bytes)
            if body is None:
                return self._closing(400, f"the body ended before its {n_bytes} bytes")
            path = urlsplit(self.path).path.rstrip("/")
            if path == IGNORED_ADDRESS:
                return 200, ""
            if (kind := SARDANA_ADDRESSES.get(path)) is not None:
                (body,) = kind.from_frames([body]).to_frames()
            is_reserved = False
            return (200, "") if self.source.queue(body, n_bytes) else self._closing(503, "the source is closed")
        except DecodeError as error:
            return 400, str(error)
        finally:
            if is_reserved:
                self.source.release(n_bytes)

    def _read(self, n_bytes: int) -> bytes | None:
        body = bytearray()
        while len(body) < n_bytes:
            try:
                piece = self.rfile.read1(min(_CHUNK, n_bytes - len(body)))
            except OSError:
                return None
            if not piece:
                return None
            body += piece
        return bytes(body)

    def _closing(self, status: int, reason: str) -> tuple[int, str]:
        """Answer, and read nothing more from this client: what follows may be a body."""
        self.close_connection = True
        return status, reason

    def _answer(self, status: int, reason: str) -> None:
        body = b"null" if status == 200 else json.dumps({"detail": reason}).encode()
        lines = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        if self.close_connection:
            lines.append(("Connection", "close"))
        if status == 503:
            lines.append(("Retry-After", "1"))
        try:
            self.send_response(status)
            for key, value in lines:
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            self.close_connection = True
        self.server.ended(self.request)  # type: ignore[attr-defined]  # a BoundedHttpServer


def _name_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
