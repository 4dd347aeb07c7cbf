"""Reads the reducer's view over HTTP, from the process that serves the page; the reducer may come and go."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import msgspec

from glimt.model.errors import DecodeError
from glimt.web.page_feed import MAX_VALUE_BYTES, FeedError, Reading
from glimt.web.page_feed_wire import FeedRequest, reading_from_bytes

_ANSWER_S = 10.0
_MAX_ANSWER_BYTES = 4 * MAX_VALUE_BYTES


class RemoteFeed:
    """A feed over one connection that is made anew when it breaks; for one thread.

    Parameters
    ----------
    find_url : callable
        Tells where the view is at present, ``""`` if that is not known: a new reducer may have another port.
    token : str or None
        To be sent.
    """

    def __init__(self, find_url: Callable[[], str], *, token: str | None = None) -> None:
        self._find_url = find_url
        self._token = token
        self._url = ""
        self._connection: http.client.HTTPConnection | None = None

    def read(self, wanted: Mapping[str, int | None], *, sign: int = 0, wait_s: float = 0.0) -> Reading:
        """Return what is published; see `glimt.web.page_feed.Feed.read`."""
        url = self._find_url()
        if not url:
            raise FeedError("the reducer has not told where its view is; it is starting, or it has died")
        if url != self._url:
            self.close()
            self._url = url
        body = msgspec.msgpack.encode(FeedRequest(dict(wanted), sign, wait_s))
        had_connection = self._connection is not None
        try:
            return self._ask(body)
        except FeedError:
            if not had_connection:
                raise
        return self._ask(body)  # a connection that was idle too long is closed by the other end

    def _ask(self, body: bytes) -> Reading:
        headers = {"Content-Type": "application/octet-stream", "Accept-Encoding": "identity"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            connection = self._connection or http.client.HTTPConnection(urlsplit(self._url).netloc, timeout=_ANSWER_S)
            self._connection = connection
            connection.request("POST", "/api/v1/feed", body, headers)
            answer = connection.getresponse()
            if (answer.length or 0) > _MAX_ANSWER_BYTES:
                raise FeedError(f"the reducer's view sends {answer.length} bytes at once")
            content = answer.read()
            if answer.status != 200:
                raise FeedError(f"the reducer's view answers {answer.status}: {content[:200].decode(errors='replace')}")
            return reading_from_bytes(content)
        except (OSError, http.client.HTTPException, DecodeError) as error:
            self.close()
            if isinstance(error, FeedError):
                raise
            raise FeedError(f"the reducer's view on {self._url} does not answer: {error}") from None

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
