"""Messages for services under test: real envelopes in real deliveries, and what came of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from glimt.brokers.broker import Delivery
from glimt.model.recipe_envelope import Envelope
from glimt.services.recipe_step import RECIPE_HEADER, RecipeStep

STEP = 1
"""The step of the recipe that `step_for` is a message for."""


def step_for(
    parameters: Mapping[str, Any] | None = None,
    payload: Any = None,
    output: Any = None,
    environment: Mapping[str, Any] | None = None,
    *,
    node: Mapping[str, Any] | None = None,
    queue: str = "under_test",
    message_id: str = "message-1",
    n_deliveries: int = 1,
    headers: Mapping[str, Any] | None = None,
    is_identified: bool = True,
) -> RecipeStep:
    """Return a message for step 1 of a recipe, as the runner makes it from a delivery.

    ``output`` is what the recipe's step says: ``2``, ``[2, 3]``, ``{"every": 2, "finally": [2, 3]}``. For every step it
    names there is one, with queue ``step-<number>``. ``node`` has further keys of the step, such as ``gridinfo``.
    """
    step = {"queue": queue, "parameters": dict(parameters or {}), **(node or {})}
    if output is not None:
        step["output"] = output
    targets = {str(target): {"queue": f"step-{target}"} for target in _targets(output)}
    message = {
        "environment": {"ID": "recipe-run-1", **(environment or {})},
        "payload": payload,
        "recipe": {str(STEP): step, **targets, "start": [[STEP, []]]},
        "recipe-path": [],
        "recipe-pointer": STEP,
    }
    kept = {RECIPE_HEADER: True, **(headers or {})}
    delivery = _delivery(message, queue, message_id, n_deliveries, kept, is_identified)
    envelope = Envelope.decode(delivery.body)
    return RecipeStep(delivery, envelope, envelope.payload)


def plain_step(
    payload: Any,
    *,
    queue: str = "under_test",
    message_id: str = "message-1",
    n_deliveries: int = 1,
    headers: Mapping[str, Any] | None = None,
    is_identified: bool = True,
) -> RecipeStep:
    """Return a message that belongs to no recipe, for services with ``accepts_plain``."""
    delivery = _delivery(payload, queue, message_id, n_deliveries, headers or {}, is_identified)
    return RecipeStep(delivery, None, json.loads(delivery.body))


def sent(step: RecipeStep) -> list[tuple[int | None, Any]]:
    """Return the steps that messages go to, with their payloads, in order; ``None`` for messages of no recipe."""
    found: list[tuple[int | None, Any]] = []
    for message in step.outgoing:
        if RECIPE_HEADER in message.headers:
            envelope = Envelope.decode(message.body)
            found.append((envelope.recipe_pointer, envelope.payload))
        else:
            found.append((None, json.loads(message.body)))
    return found


def _delivery(
    message: Any, queue: str, message_id: str, n_deliveries: int, headers: Mapping[str, Any], is_identified: bool
) -> Delivery:
    return Delivery(
        body=json.dumps(message).encode(),
        queue=queue,
        topic="",
        headers=dict(headers),
        message_id=message_id,
        n_deliveries=n_deliveries,
        priority=0,
        token=None,
        is_identified=is_identified,
    )


def _targets(output: Any) -> Iterator[int]:
    if isinstance(output, Mapping):
        for value in output.values():
            yield from _targets(value)
    elif isinstance(output, list):
        for value in output:
            yield from _targets(value)
    elif isinstance(output, int) and output != STEP:
        yield output
