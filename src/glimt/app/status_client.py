"""Asks a live run how it is, over HTTP."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import msgspec

from glimt.model.errors import DecodeError, GlimtError, UsageError
from glimt.model.health import Health

DEFAULT_URL = "http://127.0.0.1:5000"

_MAX_ANSWER_BYTES = 32 << 20
_TIMEOUT_S = 5.0
_CHUNK_BYTES = 1 << 16
_MAX_DETAIL = 300


class UnreachableError(GlimtError, ConnectionError):
    """Nothing that is a live run of glimt answers at an address."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows nothing: a redirect would carry the token elsewhere."""

    def redirect_request(self, *_: Any) -> None:
        return None


# No proxy: runs are on this machine or behind a tunnel to one nearby.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect())


def fetch_health(url: str = DEFAULT_URL, *, token: str | None = None, timeout_s: float = _TIMEOUT_S) -> Health:
    """Return what the run at ``url`` says about itself, with every type checked.

    Raises
    ------
    UsageError
        ``url`` is no HTTP address, or the run asks for a token.
    UnreachableError
        Nothing answers there in time.
    DecodeError
        What answers is no run of glimt, or of another version.
    """
    address = _checked(url)
    request = urllib.request.Request(address + "/api/v1/health")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    deadline = time.monotonic() + timeout_s
    try:
        with _OPENER.open(request, timeout=timeout_s) as answer:
            body = _read(answer, address, deadline)
    except urllib.error.HTTPError as error:
        with error:
            raise _refusal(error, address) from None
    except (OSError, HTTPException, ValueError) as error:
        if isinstance(error, GlimtError):
            raise
        reason = getattr(error, "reason", None) or error
        raise UnreachableError(
            f"nothing answers at {address} ({reason}); start `glimt run`, or give the address that it printed"
        ) from None
    try:
        return msgspec.json.decode(body, type=Health)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise DecodeError(f"what answers is no run of this version of glimt: {error}", where=address) from None


def _checked(url: str) -> str:
    address = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(address)
        is_good = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_good = False
    if not is_good or any(character.isspace() for character in address) or not address.isascii():
        raise UsageError(f"{url[:100]!r} is no address of a run; write one such as {DEFAULT_URL}")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def _read(answer: HTTPResponse, address: str, deadline: float) -> bytes:
    body = bytearray()
    while part := answer.read1(_CHUNK_BYTES):
        body += part
        if len(body) > _MAX_ANSWER_BYTES:
            raise DecodeError(f"the answer is longer than {_MAX_ANSWER_BYTES} bytes", where=address)
        if time.monotonic() > deadline:
            raise UnreachableError(f"{address} answers too slowly; try again, or look at the machine it runs on")
    if answer.length:  # what is still to come, by its own word
        raise UnreachableError(f"{address} broke off; the run has ended, or the connection is bad")
    return bytes(body)


def _refusal(error: urllib.error.HTTPError, address: str) -> GlimtError:
    try:
        detail = msgspec.json.decode(error.read1(_CHUNK_BYTES))["detail"]
    except (OSError, HTTPException, msgspec.DecodeError, RecursionError, UnicodeDecodeError, KeyError, TypeError):
        detail = error.reason
    text = str(detail)[:_MAX_DETAIL]
    if error.code in {401, 403}:
        return UsageError(f"{address} refuses: {text}; give --token, or set GLIMT_TOKEN")
    if error.code == 503:
        return UnreachableError(f"{address} cannot answer now: {text}")
    return DecodeError(f"what answers is no live run of glimt: {error.code} {text}", where=address)


def load_health(body: bytes) -> Health:
    """Return a saved answer of ``/api/v1/health``.

    Raises
    ------
    DecodeError
        It is none.
    """
    try:
        return msgspec.json.decode(body, type=Health)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise DecodeError(f"no health report: {error}") from None
