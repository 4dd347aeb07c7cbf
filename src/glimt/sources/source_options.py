"""What a configuration says about one source."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from glimt.model.errors import UsageError
from glimt.model.frame import MAX_ARRAY_BYTES
from glimt.sources.message_queue import DEFAULT_QUEUE_BYTES

DEFAULT_QUEUE_MESSAGES = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """Which source, and how; can be pickled. What a transport does not use must keep its default.

    Attributes
    ----------
    transport : str
        ``"zmq-pull"``, ``"zmq-sub"``, ``"zmq-req"``, ``"tcp"``, ``"http"`` or ``"capture"``.
    address : str
        ``tcp://host:port`` or ``ipc://…`` for ZeroMQ; ``host:port`` for ``"tcp"`` and ``"http"``; a path for
        ``"capture"``.
    bind : bool
        Wait for senders instead of connecting to one (``"zmq-pull"``, ``"zmq-sub"``).
    queue_messages : int
        Messages that may wait in ZeroMQ (``"zmq-pull"``, ``"zmq-sub"``).
    queue_bytes : int
        What may wait otherwise [bytes].
    max_message_bytes : int
        The largest part (ZeroMQ) or body (HTTP) that is accepted [bytes].
    topic : str
        What messages must begin with (``"zmq-sub"``).
    request : str or None
        What is sent: the question of ``"zmq-req"`` (``None``: ``next``), the first line of ``"tcp"``
        (``None``: an empty line, to be answered by ``OK``; empty: nothing is sent).
    timeout_s : float or None
        How long an answer may take before the question is put again (``"zmq-req"``, 60), a connection to be made
        (``"tcp"``, 5), a request to arrive whole (``"http"``, 10) [s].
    token : str or None
        What senders must present (``"http"``).
    speed : float
        Of ``"capture"``: 1 as it was recorded, 10 ten times as fast, 0 as fast as it is taken.
    rate_hz : float
        Of ``"capture"``: so many events a second, whatever the recorded times; 0 leaves it to ``speed``.
    loops : int
        How often ``"capture"`` is played; 0 without end.
    stream : str
        Which stream of ``"capture"``; may be empty if it has one.

    Raises
    ------
    UsageError
        A value that is not allowed; the text names the key and what is.
    """

    transport: str
    address: str
    bind: bool = False
    queue_messages: int = DEFAULT_QUEUE_MESSAGES
    queue_bytes: int = DEFAULT_QUEUE_BYTES
    max_message_bytes: int = MAX_ARRAY_BYTES
    topic: str = ""
    request: str | None = None
    timeout_s: float | None = None
    token: str | None = None
    speed: float = 1.0
    rate_hz: float = 0.0
    loops: int = 1
    stream: str = ""

    def __post_init__(self) -> None:
        for key in ("transport", "address", "topic", "stream"):
            _check(key, getattr(self, key), isinstance(getattr(self, key), str), "text")
        _check("address", self.address, bool(self.address), "text that is not empty")
        _check("bind", self.bind, isinstance(self.bind, bool), "true or false")
        for key in ("request", "token"):
            value = getattr(self, key)
            _check(key, value, value is None or isinstance(value, str), "text")
        _check("token", "(empty)", self.token is None or bool(self.token), "text that is not empty")
        self._check_whole("queue_messages", 1, 1 << 30)
        self._check_whole("queue_bytes", 1, 1 << 50)
        self._check_whole("max_message_bytes", 1, MAX_ARRAY_BYTES)
        self._check_whole("loops", 0, 1 << 62)
        if self.timeout_s is not None:
            self._check_number("timeout_s", 0.01, 86_400)
        self._check_number("speed", 0, 1e9)
        self._check_number("rate_hz", 0, 1e9)

    def _check_whole(self, key: str, least: int, most: int) -> None:
        value = getattr(self, key)
        good = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
        _check(key, value, good, f"a whole number from {least} to {most}")

    def _check_number(self, key: str, least: float, most: float) -> None:
        value = getattr(self, key)
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        _check(key, value, is_number and least <= value <= most, f"a number from {least:g} to {most:g}")


def _check(key: str, value: Any, good: bool, allowed: str) -> None:
    if not good:
        raise UsageError(f"{key} is {value!r:.100}; it can be {allowed}")
