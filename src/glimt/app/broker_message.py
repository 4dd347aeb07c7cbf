"""Messages of a broker as people read them, and where one must go."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from glimt.brokers.broker import DEAD_LETTER_PREFIX, ORIGIN
from glimt.model.errors import GlimtError
from glimt.model.recipe_envelope import Envelope

if TYPE_CHECKING:
    from glimt.brokers.broker import Delivery

_SHOWN_CHARACTERS = 300


def shown_message(delivery: Delivery, *, full: bool = False) -> dict[str, Any]:
    """Return a message as JSON values: identity, queue, headers and body.

    Parameters
    ----------
    delivery : Delivery
    full : bool
        Otherwise the recipe is left out of a recipe's message, and what is long is cut.
    """
    return {
        "message-id": delivery.message_id,
        "queue": delivery.queue,
        "n-deliveries": delivery.n_deliveries,
        "priority": delivery.priority,
        "headers": dict(delivery.headers),
        **_body(delivery.body, full=full),
    }


def recipe_id(body: bytes) -> str:
    """Return the identity of the run of the recipe, also of one that was only asked for; empty for other messages."""
    envelope = read_envelope(body)
    if envelope is not None:
        return _text(envelope.environment.get("ID", ""))
    try:
        request = read_json(body)
    except ValueError:
        return ""
    parameters = request.get("parameters") if isinstance(request, dict) else None
    return _text(parameters.get("guid", "")) if isinstance(parameters, dict) else ""


def _text(value: Any) -> str:
    """Return a text that can be written: JSON can hold halves of characters."""
    return str(value).encode("utf-8", "replace").decode()


def read_envelope(body: bytes) -> Envelope | None:
    """Return the envelope of a recipe's message; ``None`` for every other message."""
    try:
        return Envelope.decode(body)
    except GlimtError:
        return None


def origin(delivery: Delivery) -> str:
    """Return the queue a dead letter was in; empty if nothing says so."""
    known = delivery.headers.get(ORIGIN)
    if isinstance(known, str) and known:
        return known
    return delivery.queue.removeprefix(DEAD_LETTER_PREFIX) if delivery.queue.startswith(DEAD_LETTER_PREFIX) else ""


def read_json(body: bytes) -> Any:
    """Return the JSON values in a body.

    Raises
    ------
    ValueError
        It is no JSON.
    """
    try:
        return json.loads(body)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _body(body: bytes, *, full: bool) -> dict[str, Any]:
    envelope = None if full else read_envelope(body)
    if envelope is not None:
        return {
            "recipe-id": envelope.environment.get("ID", ""),
            "recipe-pointer": envelope.recipe_pointer,
            "step": {key: envelope.node[key] for key in ("service", "queue", "topic") if key in envelope.node},
            "payload": _cut(envelope.payload),
        }
    try:
        value = read_json(body)
    except ValueError:
        text = base64.b64encode(body).decode()
        return {"body-base64": text if full else _cut(text), "n-bytes": len(body)}
    return {"body": value if full else _cut(value)}


def _cut(value: Any) -> Any:
    text = json.dumps(value)
    return value if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}… ({len(text)} characters)"
