"""A recipe: the steps of a processing run, and how results go from one to the next."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import msgspec

from glimt.model.errors import RecipeError
from glimt.model.recipe_environment import substitute_environment
from glimt.model.recipe_graph import check_recipe
from glimt.model.recipe_merge import merge_recipes
from glimt.model.recipe_substitution import substitute_parameters
from glimt.model.recipe_values import MAX_CHARACTERS, ValueBudget, copy_value

__all__ = ["Recipe", "substitute_environment"]

_MAX_NUMBER_CHARACTERS = 18


class Recipe:
    """A recipe as python-workflows 3.7 has it: an object of numbered steps, ``start`` and ``error``.

    Make it by `from_json` or `from_dict`, which refuse what has not the form of a recipe; `check` says whether it is
    valid. A recipe is not changed once it is made: `merged_with` and `substituted` return another one.
    """

    def __init__(self, data: Mapping[int | str, Any]) -> None:
        self._data = data

    @classmethod
    def from_json(cls, text: str | bytes) -> Recipe:
        """Return the recipe in a JSON text; ``NaN`` and ``Infinity`` are taken as Python takes them.

        Raises
        ------
        RecipeError
            The text is not JSON or has not the form of a recipe.
        """
        if len(text) > MAX_CHARACTERS:
            raise RecipeError(f"the recipe has {len(text)} characters, more than {MAX_CHARACTERS}")
        return cls.from_dict(_parse(text))

    @classmethod
    def from_dict(cls, data: Any) -> Recipe:
        """Return the recipe that an object describes; the object is copied.

        Raises
        ------
        RecipeError
            It has not the form of a recipe: a key that is no number, a step that is no object, too large or too deep.
        """
        if not isinstance(data, Mapping):
            raise RecipeError(f"a recipe is an object of steps, not {data!r:.60}")
        budget = ValueBudget()
        recipe: dict[int | str, Any] = {}
        for key in sorted(data, key=lambda key: isinstance(key, str)):
            if key in ("start", "error"):
                continue
            number = _step_number(key)
            if number in recipe:
                raise RecipeError(f"step {number} is there twice")
            recipe[number] = _copy_node(data[key], number, budget)
        if "start" in data:
            recipe["start"] = _copy_start(data["start"], budget)
        if "error" in data:
            recipe["error"] = copy_value(data["error"], budget, "'error'")
        return cls(recipe)

    @cached_property
    def nodes(self) -> Mapping[int, Mapping[str, Any]]:
        """Return the steps by number; not to be changed, for messages share them."""
        return {key: node for key, node in self._data.items() if isinstance(key, int)}

    @cached_property
    def start(self) -> tuple[tuple[int, Any], ...]:
        """Return which steps are sent what first.

        Raises
        ------
        RecipeError
            They are missing or make no sense; see `check`.
        """
        entries = self._data.get("start")
        if not isinstance(entries, list) or not all(
            isinstance(entry, tuple) and len(entry) == 2 and isinstance(entry[0], int) for entry in entries
        ):
            raise RecipeError("'start' is missing or is not a list of [step, payload] pairs")
        return tuple((int(number), payload) for number, payload in entries)

    @cached_property
    def error(self) -> tuple[int, ...]:
        """Return the steps that are told of errors nobody else is told of; empty for none."""
        errors = self._data.get("error")
        entries = errors if isinstance(errors, list) else [errors]
        return tuple(int(entry) for entry in entries if isinstance(entry, int))

    def check(self) -> None:
        """Raise if the recipe is not valid: python-workflows' rules, in linear time.

        Raises
        ------
        RecipeError
            The first rule it breaks, and at which step.
        """
        check_recipe(self._data)

    def merged_with(self, other: Recipe) -> Recipe:
        """Return both recipes as one, with the steps of ``other`` renumbered; neither is changed.

        Raises
        ------
        RecipeError
            One of them is not valid.
        """
        return Recipe(merge_recipes(self._data, other._data))

    def substituted(self, parameters: Mapping[str, Any]) -> Recipe:
        """Return the recipe with ``{name}`` and ``{$REPLACE:name}`` replaced; names that are not there stay.

        Raises
        ------
        RecipeError
            A text cannot be formatted; the error names the step and the text.
        """
        return Recipe.from_dict(substitute_parameters(self._data, parameters))

    def to_dict(self) -> dict[str, Any]:
        """Return a copy as JSON has it, with the numbers of steps as text."""
        return {str(key): copy_value(value, ValueBudget(), "recipe") for key, value in self._data.items()}

    def to_json(self) -> bytes:
        """Return the recipe as JSON, without spaces."""
        try:
            text = json.dumps(self._data, separators=(",", ":"), allow_nan=True)
        except (TypeError, ValueError) as error:
            raise RecipeError(f"the recipe cannot be written as JSON: {error}") from None
        return text.encode()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Recipe) and self._data == other._data

    def __repr__(self) -> str:
        return f"Recipe({len(self.nodes)} steps)"


def _parse(text: str | bytes) -> Any:
    try:
        return msgspec.json.decode(text)
    except RecursionError:
        raise RecipeError("the recipe is too deep") from None
    except (msgspec.DecodeError, UnicodeError) as error:
        try:
            return json.loads(text)
        except json.JSONDecodeError as found:
            where = f"line {found.lineno}, column {found.colno}"
            raise RecipeError(f"the recipe is not JSON: {where}: {found.msg}") from None
        except (ValueError, RecursionError):
            raise RecipeError(f"the recipe is not JSON: {error}") from None


def _step_number(key: Any) -> int:
    if isinstance(key, int) and not isinstance(key, bool):
        return key
    try:
        if isinstance(key, str) and len(key) <= _MAX_NUMBER_CHARACTERS:
            return int(key)
    except ValueError:
        pass
    raise RecipeError(f"the key {key!r:.60} is neither the number of a step nor 'start' nor 'error'")


def _copy_node(node: Any, number: int, budget: ValueBudget) -> dict[str, Any]:
    where = f"step {number}"
    if not isinstance(node, Mapping):
        raise RecipeError(f"{where} is {node!r:.60}, not an object")
    copied: dict[str, Any] = copy_value(dict(node), budget, where)
    if "output" in copied and not isinstance(copied["output"], list | dict):
        copied["output"] = [copied["output"]]
    return copied


def _copy_start(start: Any, budget: ValueBudget) -> Any:
    copied = copy_value(start, budget, "'start'")
    if not isinstance(copied, list):
        return copied
    return [tuple(entry) if isinstance(entry, list) else entry for entry in copied]
