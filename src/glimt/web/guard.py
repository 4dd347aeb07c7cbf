"""Keeps others out: what web pages make a browser send to a server on this machine, and requests without the token."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Literal
from urllib.parse import SplitResult, parse_qs, urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from glimt.web.answers import json_answer

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
VIEW_PREFIX = "view-"

_READING = frozenset({"GET", "HEAD"})


def make_view_token(token: str | None) -> str:
    """Return the token of those who may look and change nothing: always the same for the same token of the run."""
    secret = token.encode() if token else secrets.token_bytes(32)
    return VIEW_PREFIX + hmac.new(secret, b"glimt view link", hashlib.sha256).hexdigest()[:40]


class Guard:
    """ASGI middleware that answers 401 or 403 to what it does not let through, of HTTP and of WebSockets.

    Without a token only a browser or program on this machine, or through a tunnel to it, may ask: the ``Host`` it
    names must be this machine, so that no page of elsewhere reads the data by renaming itself (DNS rebinding), and
    changes, and WebSockets, must not come from a page of another origin.

    Parameters
    ----------
    app : ASGI application
        What is guarded.
    token : str or None
        To be sent as ``Authorization: Bearer``, or as ``api_key`` (as h5pyd and WebSockets do).
    view_token : str or None
        With it one may look and change nothing.
    open_prefix : str or None
        Paths that begin with it, and ``/`` for a browser, are read without a token: the page, which holds no data.
    """

    def __init__(
        self, app: ASGIApp, *, token: str | None = None, view_token: str | None = None, open_prefix: str | None = None
    ) -> None:
        self._app = app
        self._token = token
        self._view_token = view_token
        self._open_prefix = open_prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass the request on."""
        if scope["type"] in {"http", "websocket"} and (refusal := self._refusal(scope)) is not None:
            status, reason = refusal
            if scope["type"] == "websocket":
                # Answered as 403. With a status and reason of its own uvicorn 0.54 logs an error for each.
                await send({"type": "websocket.close", "code": 1008})
            else:
                await json_answer({"detail": reason}, status=status)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self._token is None and _parts_of("http://" + host).hostname not in LOOPBACK_NAMES:
            return 403, f"the live view answers on this machine only, not as {host[:100]!r}; use an ssh tunnel"
        origin = headers.get("origin")
        is_reading = scope["type"] == "http" and scope["method"] in _READING
        if origin is not None and not is_reading and _parts_of(origin).netloc != host:
            return 403, f"a page of {origin[:100]!r} may not change anything here"
        if is_reading and self._is_open(scope, headers):
            return None
        rights = self._rights(scope, headers)
        if rights is None:
            return 401, "a token is needed: send it as 'Authorization: Bearer …' or as api_key"
        if rights == "view" and not is_reading and scope["type"] != "websocket":
            return 403, "this link is for looking: it may not change anything"
        scope.setdefault("state", {})["may_change"] = rights == "all"
        return None

    def _is_open(self, scope: Scope, headers: Headers) -> bool:
        if self._open_prefix is None:
            return False
        path = scope["path"]
        is_page = path == "/" and "text/html" in headers.get("accept", "")
        return is_page or path.startswith(self._open_prefix)

    def _rights(self, scope: Scope, headers: Headers) -> Literal["all", "view"] | None:
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer":
            given = parse_qs(scope["query_string"].decode("latin-1")).get("api_key", [""])[0]
        if self._view_token is not None and given.startswith(VIEW_PREFIX) and not _is_equal(given, self._token or ""):
            return "view" if _is_equal(given, self._view_token) else None
        return "all" if self._token is None or _is_equal(given, self._token) else None


def _is_equal(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(), token.encode())


def _parts_of(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")
