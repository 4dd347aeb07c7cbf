"""Which messages and names every broker takes: checked before any of them is sent."""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from glimt.brokers.broker import Outgoing, QueueSpec
from glimt.model.errors import UsageError

MAX_BODY_BYTES = 128 * 2**20
MAX_HEADER_BYTES = 100_000
_MAX_NAME_BYTES = 255
_MAX_PRIORITY = 9
_MAX_WAIT_S = 10 * 365 * 86400.0


def check_outgoing(messages: Sequence[Outgoing]) -> None:
    """Refuse messages that no broker could deliver as they are.

    Raises
    ------
    UsageError
        What is wrong with which message.
    """
    for message in messages:
        where = f"message for {message.queue or message.topic!r}"
        if not isinstance(message.body, bytes):
            raise UsageError(f"{where}: the body must be bytes, not {type(message.body).__name__}")
        if len(message.body) > MAX_BODY_BYTES:
            raise UsageError(f"{where}: the body has {len(message.body)} bytes, at most {MAX_BODY_BYTES} are allowed")
        if bool(message.queue) == bool(message.topic):
            raise UsageError(f"{where}: exactly one of queue and topic must be given")
        check_name(message.queue or message.topic, where)
        if message.exchange:
            check_name(message.exchange, f"{where}: exchange")
        if message.message_id:
            _text_bytes(message.message_id, f"{where}: message_id", limit=_MAX_NAME_BYTES)
        if message.headers:
            _check_headers(message.headers, where)
        _check_numbers(message, where)


def check_queues(queues: Sequence[QueueSpec], topics: Sequence[str], exchanges: Sequence[str] = ()) -> None:
    """Refuse names and times that no broker takes.

    Raises
    ------
    UsageError
    """
    for queue in queues:
        check_name(queue.name, "queue")
        if queue.expiration_s is not None:
            _check_seconds(queue.expiration_s, f"queue {queue.name!r}: expiration_s")
        for exchange, key in queue.bindings:
            check_name(exchange, f"queue {queue.name!r}: exchange")
            _text_bytes(key, f"queue {queue.name!r}: routing key", limit=_MAX_NAME_BYTES)
    for topic in topics:
        check_name(topic, "topic")
    for exchange in exchanges:
        check_name(exchange, "exchange")


def check_name(name: str, what: str) -> None:
    """Refuse an empty or overlong name of a queue, topic or exchange."""
    if not name:
        raise UsageError(f"{what}: the name is empty")
    _text_bytes(name, f"{what}: name", limit=_MAX_NAME_BYTES)


def new_message_id() -> str:
    """Return an identity for a message that was sent without one."""
    return uuid.uuid4().hex


def _check_headers(headers: Mapping[Any, Any], where: str) -> None:
    size = 0
    for name, value in headers.items():
        size += _text_bytes(name, f"{where}: header name", limit=_MAX_NAME_BYTES)
        if isinstance(value, str):
            size += _text_bytes(value, f"{where}: header {name!r}", limit=MAX_HEADER_BYTES)
        elif isinstance(value, int):
            if not -(2**63) <= value < 2**63:
                raise UsageError(f"{where}: header {name!r} is an integer of more than 64 bits")
        elif value is not None and not isinstance(value, float):
            raise UsageError(
                f"{where}: header {name!r} is a {type(value).__name__}; only text, numbers, bool and None can be sent"
            )
    if size > MAX_HEADER_BYTES:
        raise UsageError(f"{where}: the headers have {size} bytes, at most {MAX_HEADER_BYTES} are allowed")


def _check_numbers(message: Outgoing, where: str) -> None:
    priority = message.priority
    if not isinstance(priority, int) or not 0 <= priority <= _MAX_PRIORITY:
        raise UsageError(f"{where}: priority {priority!r} is not an integer from 0 to {_MAX_PRIORITY}")
    if message.delay_s:
        _check_seconds(message.delay_s, f"{where}: delay_s")
    if message.expiration_s is not None:
        _check_seconds(message.expiration_s, f"{where}: expiration_s")


def _check_seconds(seconds: float, what: str) -> None:
    if not isinstance(seconds, int | float) or not math.isfinite(seconds) or not 0 <= seconds <= _MAX_WAIT_S:
        raise UsageError(f"{what} is {seconds!r}, not a number of seconds from 0 to {_MAX_WAIT_S:.0f}")


def _text_bytes(text: Any, what: str, *, limit: int) -> int:
    """Return the length in UTF-8; refuse what has none or is too long."""
    try:
        size = len(text.encode())
    except (AttributeError, UnicodeEncodeError):
        raise UsageError(f"{what} {text!r} is no text that can be sent") from None
    if size > limit:
        raise UsageError(f"{what} has {size} bytes, at most {limit} are allowed")
    return size
