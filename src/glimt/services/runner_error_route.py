"""The ``error`` routes of recipes: what is sent when a step gives up on a message.

The format has them since its beginning; in Zocalo nothing ever sends there. Here a message that becomes a dead letter
sends ``{"error", "service", "queue", "payload"}`` to the ``error`` targets of its step, or else of its recipe.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from glimt.brokers.broker import Delivery, Outgoing
from glimt.brokers.dead_letter import dead_letter_headers, dead_letter_queue
from glimt.services.recipe_step import RecipeStep


def error_targets(step: RecipeStep) -> tuple[int, ...]:
    """Return the steps that are told of an error: those of the step's own ``error``, else those of the recipe's.

    A step that is itself on the recipe's error route has no targets: its errors would go round for ever.
    """
    envelope = step.recipe
    if envelope is None:
        return ()
    own = tuple(dict.fromkeys(_numbers(step.node.get("error"))))
    if own:
        return own
    general = tuple(envelope.recipe.error)
    if {envelope.recipe_pointer, *envelope.recipe_path} & set(general):
        return ()
    return general


def error_messages(step: RecipeStep, reason: str, service: str) -> list[Outgoing]:
    """Return what is sent because a message is given up; its ``step`` must not have sent anything yet.

    Raises
    ------
    RecipeError
        The error route leads to a step that is not there, or whose delay makes no sense.
    ResultError
        The payload cannot be sent.
    """
    envelope = step.recipe
    if envelope is None:
        return []
    payload = {"error": reason, "service": service, "queue": step.queue, "payload": step.payload}
    step.start(
        [
            envelope.advanced(target, payload=payload, environment=dict(envelope.environment))
            for target in error_targets(step)
        ]
    )
    # Not the identities of the step's results: the dead letter may be replayed, and then succeed.
    return [replace(message, message_id=_identity(step, number)) for number, message in enumerate(step.outgoing)]


def dead_letter(delivery: Delivery, reason: str) -> Outgoing:
    """Return a message as it is put among the dead letters by hand, together with other messages."""
    return Outgoing(
        body=delivery.body,
        queue=dead_letter_queue(delivery.queue),
        headers=dead_letter_headers(delivery.headers, reason, delivery.queue),
        message_id=delivery.message_id,
        priority=delivery.priority,
    )


def _identity(step: RecipeStep, number: int) -> str:
    return hashlib.blake2b(f"{step.message_id}/error/{number}".encode(), digest_size=16).hexdigest()


def _numbers(links: Any) -> Iterator[int]:
    """Yield the steps that links name, which may be a number, a list, or an object of such."""
    if isinstance(links, int):
        yield links
    elif isinstance(links, list | tuple):
        for link in links:
            yield from _numbers(link)
    elif isinstance(links, dict):
        for link in links.values():
            yield from _numbers(link)
