"""Copy JSON values into a recipe, within bounds of size and depth."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from glimt.model.errors import RecipeError

MAX_DEPTH = 64
"""Objects and lists inside each other; recipes in use have 6."""
MAX_VALUES = 1_000_000
MAX_CHARACTERS = 64 * 1024 * 1024

_AS_TEXT = (datetime, date, time, timedelta, UUID)


class ValueBudget:
    """What one recipe may still grow by; shared by all copies and texts that go into it."""

    __slots__ = ("_characters", "_values")

    def __init__(self, *, values: int = MAX_VALUES, characters: int = MAX_CHARACTERS) -> None:
        self._values = values
        self._characters = characters

    def take_value(self, where: str) -> None:
        """Account for a value.

        Raises
        ------
        RecipeError
            The recipe has too many.
        """
        self._values -= 1
        if self._values < 0:
            raise RecipeError(f"{where}: the recipe grows beyond {MAX_VALUES} values")

    def take_text(self, text: str, where: str) -> str:
        """Account for a text and return it.

        Raises
        ------
        RecipeError
            The recipe has too many characters.
        """
        self._characters -= len(text)
        if self._characters < 0:
            raise RecipeError(f"{where}: the recipe grows beyond {MAX_CHARACTERS} characters")
        return text


def copy_value(value: Any, budget: ValueBudget, where: str, *, depth: int = 0) -> Any:
    """Return a copy of a JSON value that shares nothing with it.

    Tuples become lists, ``Decimal`` becomes a float as python-workflows sends it, times and UUIDs (columns of a
    database) become their text, keys that are integers become text.

    Raises
    ------
    RecipeError
        Too deep, too large, or a value that JSON does not have.
    """
    budget.take_value(where)
    if isinstance(value, str):
        return budget.take_text(value, where)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict | list | tuple):
        if depth >= MAX_DEPTH:
            raise RecipeError(f"{where}: more than {MAX_DEPTH} objects and lists are inside each other")
        if isinstance(value, dict):
            return {
                budget.take_text(_key_text(key, where), where): copy_value(item, budget, where, depth=depth + 1)
                for key, item in value.items()
            }
        return [copy_value(item, budget, where, depth=depth + 1) for item in value]
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, _AS_TEXT):
        return budget.take_text(str(value), where)
    raise RecipeError(f"{where}: a value of type {type(value).__name__} cannot be in a recipe")


def _key_text(key: Any, where: str) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, int) and not isinstance(key, bool):
        return str(key)
    raise RecipeError(f"{where}: the key {key!r:.80} is not text")
