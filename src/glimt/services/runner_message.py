"""From what the broker delivered to a step of a recipe."""

from __future__ import annotations

import json
from typing import Any

from glimt.brokers.broker import Delivery
from glimt.model.errors import DecodeError, RejectedMessageError
from glimt.model.recipe_envelope import Envelope
from glimt.services.recipe_step import RECIPE_HEADER, RecipeStep

_YES = frozenset({"true", "1"})


def is_recipe_message(delivery: Delivery) -> bool:
    """Say whether a message belongs to a recipe, however its broker writes ``true``."""
    return str(delivery.headers.get(RECIPE_HEADER, "")).lower() in _YES


def read_step(delivery: Delivery, *, accepts_plain: bool) -> RecipeStep:
    """Return the step of a recipe that a message is for.

    Raises
    ------
    DecodeError
        The message is not what it says it is.
    RejectedMessageError
        It belongs to no recipe, and the service takes only such that do.
    """
    if is_recipe_message(delivery):
        envelope = Envelope.decode(delivery.body)
        return RecipeStep(delivery, envelope, envelope.payload)
    if not accepts_plain:
        raise RejectedMessageError(
            f"the message belongs to no recipe (it has no header {RECIPE_HEADER}), and this service takes no others"
        )
    return RecipeStep(delivery, None, plain_payload(delivery.body))


def plain_payload(body: bytes) -> Any:
    """Return the JSON value of a message that belongs to no recipe; ``NaN`` is read, as Zocalo sends it.

    Raises
    ------
    DecodeError
        It is not JSON.
    """
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        what = "brackets are nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise DecodeError(f"this is not JSON: {what}", where="message") from None
