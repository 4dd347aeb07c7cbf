"""The body of a recipe's message as it comes: what is in it, with the recipe left as bytes."""

from __future__ import annotations

from typing import Any

import msgspec

from glimt.model.errors import DecodeError
from glimt.model.recipe_json import encode_json, parse_json

MAX_BODY_BYTES = 64 * 1024 * 1024
WHERE = "recipe envelope"


class RecipeBody(msgspec.Struct, frozen=True, rename="kebab", gc=False):
    """The five entries of a message; names as python-workflows has them."""

    recipe: msgspec.Raw
    recipe_pointer: int | str
    recipe_path: list[int] | None = None
    environment: dict[str, Any] | None = None
    payload: Any = None


_DECODER = msgspec.json.Decoder(RecipeBody)


def read_body(body: bytes) -> RecipeBody:
    """Return the entries of a message.

    Raises
    ------
    DecodeError
        Not JSON, an entry is missing or of the wrong kind, too large or too deep.
    """
    if len(body) > MAX_BODY_BYTES:
        raise DecodeError(f"{len(body)} bytes, more than {MAX_BODY_BYTES}", where=WHERE)
    try:
        return _DECODER.decode(body)
    except RecursionError:
        raise DecodeError("too deep", where=WHERE) from None
    except (msgspec.DecodeError, UnicodeError) as error:
        if isinstance(error, msgspec.ValidationError):
            raise DecodeError(str(error), where=WHERE) from None
        return _decode_extended(body, str(error))


def _decode_extended(body: bytes, why: str) -> RecipeBody:
    """Decode what only Python's own reader takes: not-a-number, infinity, lone surrogates."""
    try:
        message = parse_json(body)
    except ValueError:
        raise DecodeError(f"not JSON: {why}", where=WHERE) from None
    if not isinstance(message, dict) or "recipe" not in message:
        raise DecodeError("no recipe", where=WHERE)
    try:
        message = msgspec.convert(
            message | {"recipe": msgspec.Raw(encode_json(message["recipe"], "recipe"))}, RecipeBody
        )
    except msgspec.ValidationError as error:
        raise DecodeError(str(error), where=WHERE) from None
    return message
