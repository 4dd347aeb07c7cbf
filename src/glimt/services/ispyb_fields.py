"""Where the fields of a command come from: the step of a sequence, the message, the recipe, and the environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from glimt.model.errors import RecipeError, RejectedMessageError
from glimt.model.recipe_environment import substitute_environment
from glimt.services.ispyb_command import Command

_MISSING = "None"
"""What a recipe makes of a parameter without a value."""


class Fields:
    """The fields that one command sees.

    Parameters
    ----------
    layers : sequence of mapping
        First come, first served; a layer without a value for a name (``null``, or the text ``None``) leaves it to the
        next.
    environment : mapping
        What ``$name`` and ``${name}`` stand for; unknown ones stay as they are.
    """

    def __init__(self, layers: Sequence[Mapping[str, Any]], environment: Mapping[str, Any]) -> None:
        self._layers = layers
        self._environment = environment

    def get(self, name: str) -> Any:
        """Return a field, ``None`` if nobody has it."""
        return self._replaced(self.written(name))

    def written(self, name: str) -> Any:
        """Return a field as it is written, with its ``$name``; ``None`` if nobody has it."""
        for layer in self._layers:
            value = layer.get(name)
            if value is not None and value != _MISSING:
                return value
        return None

    def below(self, layer: Mapping[str, Any], environment: Mapping[str, Any] | None = None) -> Fields:
        """Return these fields with others before them."""
        return Fields((layer, *self._layers), self._environment if environment is None else environment)

    def record(self, command: Command) -> msgspec.Struct:
        """Return the record of a command.

        Raises
        ------
        RejectedMessageError
            A field is missing or makes no sense.
        """
        values: dict[str, Any] = {}
        for name in command.record.__struct_encode_fields__:
            value = self._loose(name) if command.loose else self.written(name)
            if value is None:
                continue
            value = without_missing(value)
            values[name] = value if name in command.literal else self._replaced(value)
        try:
            return msgspec.convert(values, command.record, strict=False)
        except msgspec.ValidationError as error:
            raise RejectedMessageError(f"{command.name}: {error}") from None

    def _loose(self, name: str) -> Any:
        exact = self.written(name)
        if exact is not None:
            return exact
        wanted = _normalised(name)
        for layer in self._layers:
            for key, value in layer.items():
                if isinstance(key, str) and _normalised(key) == wanted and value is not None and value != _MISSING:
                    return value
        return None

    def _replaced(self, value: Any) -> Any:
        if (
            not self._environment
            or not isinstance(value, (str, list, Mapping))
            or (isinstance(value, str) and "$" not in value)
        ):
            return value
        try:
            return substitute_environment(value, self._environment, strict=False)
        except RecipeError as error:
            raise RejectedMessageError(str(error)) from None


def without_missing(value: Any, depth: int = 0) -> Any:
    """Return a value with every text ``None`` inside objects left out: a recipe writes missing parameters so.

    Raises
    ------
    RejectedMessageError
        It is nested more than 20 deep.
    """
    if depth > 20:
        raise RejectedMessageError("a field is nested too deeply")
    if isinstance(value, Mapping):
        kept = {key: without_missing(item, depth + 1) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item is not None and item != _MISSING}
    if isinstance(value, list):
        return [without_missing(item, depth + 1) for item in value]
    return value


def _normalised(name: str) -> str:
    return name.replace("_", "").lower()
