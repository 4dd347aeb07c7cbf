"""Runs a web application in a thread of this process."""

from __future__ import annotations

import errno
import logging
import socket
import threading
import time
from types import TracebackType

import uvicorn
from fastapi import FastAPI

from glimt.model.errors import UsageError
from glimt.web.guard import LOOPBACK_NAMES
from glimt.web.page_want import MAX_MESSAGE_BYTES

_log = logging.getLogger(__name__)

_START_S = 10.0
_STOP_S = 2
_KEEP_ALIVE_S = 30
_MAX_CONNECTIONS = 500


class ViewServer:
    """Serves an application while the context lasts.

    Parameters
    ----------
    app : FastAPI
        From `glimt.web.live_view.create_app`.
    port : int
        0 picks a free one.
    host : str
        This machine only, unless the application asks for a token.

    Raises
    ------
    UsageError
        The port is taken or not allowed, or the host is not this machine and there is no token.
    """

    def __init__(self, app: FastAPI, *, port: int, host: str = "127.0.0.1") -> None:
        if host not in LOOPBACK_NAMES and not getattr(app.state, "token", None):
            raise UsageError(
                f"the live view is served on this machine only, not on {host!r}, unless there is a token; "
                "from elsewhere use an ssh tunnel (ssh -L)"
            )
        self._host = host
        self._socket = _bound_socket(host, port)
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(
            app,
            log_config=None,
            log_level="warning",
            access_log=False,
            lifespan="off",
            # Without an application that takes them they are refused. Images do not shrink: deflate halves the rate.
            ws="websockets-sansio",
            ws_per_message_deflate=False,
            ws_max_size=MAX_MESSAGE_BYTES + 1024,
            server_header=False,
            limit_concurrency=_MAX_CONNECTIONS,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=_STOP_S,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="glimt-live-view", daemon=True
        )

    @property
    def url(self) -> str:
        """Where it is, such as ``http://127.0.0.1:5010``."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.port}"

    def __enter__(self) -> ViewServer:
        """Start; return when it answers."""
        self._thread.start()
        deadline = time.monotonic() + _START_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                self.__exit__(None, None, None)
                raise UsageError(f"the live view on port {self.port} did not start; the log says why")
            time.sleep(0.005)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; requests under way get a moment to end."""
        self._server.should_exit = True
        self._thread.join(_STOP_S + 3)
        if self._thread.is_alive():  # a request waits for a lock that nobody gives back
            _log.warning("the live view on port %d did not stop in time", self.port)
        self._socket.close()


def _bound_socket(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65535:
        raise UsageError(f"{port} is no port: use 1 to 65535, or 0 for any free one")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only where the protocol is named; with it each answer takes 40 ms more.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(128)
    except OSError as error:
        bound.close()
        raise UsageError(_bind_problem(host, port, error)) from None
    return bound


def _bind_problem(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is taken by another program; choose another, or 0 for any free one"
    if error.errno in {errno.EACCES, errno.EPERM}:
        return f"port {port} is not allowed to you; choose one from 1024 up, or 0 for any free one"
    return f"cannot serve on {host!r} port {port}: {error.strerror or error}"
