"""Keeps others out: what web pages make a browser send to a server on this machine, and requests without the token."""

from __future__ import annotations

import hmac
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from glimt.web.answers import json_answer

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


class Guard:
    """ASGI middleware that answers 401 or 403 to what it does not let through.

    Without a token only a browser or program on this machine, or through a tunnel to it, may ask: the ``Host`` it
    names must be this machine, so that no page of elsewhere reads the data by renaming itself (DNS rebinding), and
    changes must not come from a page of another origin.

    Parameters
    ----------
    app : ASGI application
        What is guarded.
    token : str or None
        To be sent as ``Authorization: Bearer``, or as ``api_key`` (as h5pyd does).
    """

    def __init__(self, app: ASGIApp, *, token: str | None = None) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass the request on."""
        if scope["type"] == "http" and (refusal := self._refusal(scope)) is not None:
            status, reason = refusal
            await json_answer({"detail": reason}, status=status)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self._token is None and _name_of("http://" + host) not in LOOPBACK_NAMES:
            return 403, f"the live view answers on this machine only, not as {host[:100]!r}; use an ssh tunnel"
        origin = headers.get("origin")
        if origin is not None and scope["method"] not in {"GET", "HEAD"} and urlsplit_host(origin) != host:
            return 403, f"a page of {origin[:100]!r} may not change anything here"
        if self._token is not None and not self._has_token(scope, headers):
            return 401, "a token is needed: send it as 'Authorization: Bearer …' or as api_key"
        return None

    def _has_token(self, scope: Scope, headers: Headers) -> bool:
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer":
            given = parse_qs(scope["query_string"].decode("latin-1")).get("api_key", [""])[0]
        return hmac.compare_digest(given.encode(), (self._token or "").encode())


def urlsplit_host(url: str) -> str:
    """Return host and port of a URL, ``""`` if it has none."""
    try:
        return urlsplit(url).netloc
    except ValueError:
        return ""


def _name_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
