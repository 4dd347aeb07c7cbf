"""What `glimt recipe run` tells: every message that is sent, and which service a line of the log is of."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from glimt.brokers.broker import Delivery, Outgoing
from glimt.brokers.memory import MemoryBroker
from glimt.services.recipe_log import LOG_FORMAT, LineFormatter

_service: ContextVar[str] = ContextVar("glimt_service", default="glimt")


@contextmanager
def logging_as(service: str) -> Iterator[None]:
    """Let lines that are logged meanwhile carry the name of a service."""
    token = _service.set(service)
    try:
        yield
    finally:
        _service.reset(token)


def name_services(handler: logging.Handler) -> None:
    """Let a handler write which service a line is of."""

    def add_name(record: logging.LogRecord) -> bool:
        record.service = _service.get()
        return True

    handler.addFilter(add_name)
    handler.setFormatter(LineFormatter(LOG_FORMAT.replace("{name}", "%(service)s"), datefmt="%H:%M:%S"))


class TellingBroker(MemoryBroker):
    """A connection that tells what is sent on it.

    Parameters
    ----------
    url : str
    sender : str
        Whose connection it is.
    tell : callable
        Takes a line.
    """

    def __init__(self, url: str, sender: str, tell: Callable[[str], None]) -> None:
        super().__init__(url)
        self._sender, self._tell_line = sender, tell

    def send(self, messages: Sequence[Outgoing]) -> None:
        """Send and tell."""
        super().send(messages)
        self._tell_all(messages)

    def settle(self, done: Sequence[Delivery], messages: Sequence[Outgoing] = ()) -> None:
        """Settle and tell what was sent."""
        super().settle(done, messages)
        self._tell_all(messages)

    def _tell_all(self, messages: Sequence[Outgoing]) -> None:
        for message in messages:
            where = message.queue or f"topic {message.topic}"
            delay = f" in {message.delay_s:g} s" if message.delay_s else ""
            self._tell_line(f"{self._sender} -> {where}{delay}: {payload_text(message.body)}")


def payload_text(body: bytes, limit: int = 300) -> str:
    """Return what a message says, for a human; of a recipe's message the payload and the step."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        return f"{len(body)} bytes"
    step = ""
    if isinstance(message, dict) and "recipe-pointer" in message:
        step, message = f"step {message['recipe-pointer']}, ", message.get("payload")
    text = step + json.dumps(message)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
