"""Asks a live run how it is, over HTTP."""

from __future__ import annotations

import msgspec

from glimt.app.http_answer import DEFAULT_URL, NotThereError, UnreachableError, checked_address, fetch
from glimt.app.shown_page import OtherPageError, page_at
from glimt.model.errors import DecodeError
from glimt.model.health import Health

__all__ = ["DEFAULT_URL", "OtherPageError", "UnreachableError", "fetch_health", "load_health"]

_TIMEOUT_S = 5.0


def fetch_health(url: str = DEFAULT_URL, *, token: str | None = None, timeout_s: float = _TIMEOUT_S) -> Health:
    """Return what the run at ``url`` says about itself, with every type checked.

    Raises
    ------
    UsageError
        ``url`` is no HTTP address, or the run asks for a token.
    UnreachableError
        Nothing answers there in time.
    OtherPageError
        What answers is a replay, ``glimt serve``, or the live view of a run.
    DecodeError
        What answers is no run of glimt, or of another version.
    """
    address = checked_address(url)
    try:
        body = fetch(address, "/api/v1/health", token=token, timeout_s=timeout_s)
    except NotThereError:
        page = page_at(address, token=token)
        if page is None:
            raise
        raise OtherPageError(page) from None
    try:
        return msgspec.json.decode(body, type=Health)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise DecodeError(f"what answers is no run of this version of glimt: {error}", where=address) from None


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
