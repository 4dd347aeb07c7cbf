"""Asks what serves HTTP on this machine, or nearby, and takes nothing for granted of its answer."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import msgspec

from glimt.model.errors import DecodeError, GlimtError, UsageError

DEFAULT_URL = "http://127.0.0.1:5000"

_MAX_ANSWER_BYTES = 32 << 20
_CHUNK_BYTES = 1 << 16
_MAX_DETAIL = 300


class UnreachableError(GlimtError, ConnectionError):
    """Nothing that is a live run of glimt answers at an address."""


class NotThereError(DecodeError):
    """Something answers at an address, and does not know what was asked for."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows nothing: a redirect would carry the token elsewhere."""

    def redirect_request(self, *_: Any) -> None:
        return None


# No proxy: runs are on this machine or behind a tunnel to one nearby.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect())


def checked_address(url: str) -> str:
    """Return an address that paths can be put behind.

    Raises
    ------
    UsageError
        ``url`` is no HTTP address.
    """
    address = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(address)
        is_good = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_good = False
    if not is_good or any(character.isspace() for character in address) or not address.isascii():
        raise UsageError(f"{url[:100]!r} is no address of a run; write one such as {DEFAULT_URL}")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def fetch(address: str, path: str, *, token: str | None, timeout_s: float) -> bytes:
    """Return the body of what is at ``path`` of ``address``, of bounded length and in bounded time.

    Raises
    ------
    UsageError
        A token is asked for.
    UnreachableError
        Nothing answers there in time.
    NotThereError
        What answers does not know the path.
    DecodeError
        It answers with another refusal, or with too much.
    """
    request = urllib.request.Request(address + path)
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    deadline = time.monotonic() + timeout_s
    try:
        with _OPENER.open(request, timeout=timeout_s) as answer:
            return _read(answer, address, deadline)
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
    kind = NotThereError if error.code == 404 else DecodeError
    return kind(f"what answers is no live run of glimt: {error.code} {text}", where=address)
