"""``workflows.recipe.Recipe``: a recipe that can be changed, over `glimt.model.recipe.Recipe`."""

from __future__ import annotations

import json
import sys
from typing import Any

from glimt.compat.workflows import Error
from glimt.model.errors import RecipeError
from glimt.model.recipe import Recipe as ModelRecipe


class Recipe:
    """A recipe.

    Parameters
    ----------
    recipe : dict or str or bytes or None
        As JSON text or what that says.

    Attributes
    ----------
    recipe : dict
        Steps by number, ``start`` and ``error``.
    """

    def __init__(self, recipe: Any = None) -> None:
        self.recipe: dict[Any, Any] = {}
        if isinstance(recipe, str | bytes):
            recipe = json.loads(recipe)
        if recipe:
            self.recipe = _tidy(recipe)

    def deserialize(self, string: str) -> dict[Any, Any]:
        """Return what JSON text says, as `recipe` has it."""
        return _tidy(json.loads(string))

    def serialize(self) -> str:
        """Return JSON."""
        return json.dumps(self.recipe)

    def pretty(self) -> str:
        """Return JSON for a human."""
        return json.dumps(self.recipe, indent=2)

    def __getitem__(self, item: Any) -> Any:
        return self.recipe[item]

    def __contains__(self, item: Any) -> bool:
        return item in self.recipe

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Recipe):
            return self.recipe == other.recipe
        return isinstance(other, dict | str | bytes) and self.recipe == Recipe(other).recipe

    __hash__ = None  # type: ignore[assignment]  # it can be changed

    def validate(self) -> None:
        """Raise `workflows.Error` if the recipe is not valid."""
        try:
            self.to_model().check()
        except RecipeError as error:
            raise Error(f"Invalid recipe: {error}") from None

    def apply_parameters(self, parameters: Any) -> None:
        """Put parameters into all texts."""
        self.recipe = _tidy(self.to_model().substituted(parameters).to_dict())

    def merge(self, other: Any) -> Recipe:
        """Return both recipes in one; neither is changed."""
        added = other if isinstance(other, Recipe) else Recipe(other)
        return Recipe(self.to_model().merged_with(added.to_model()).to_dict())

    def to_model(self) -> ModelRecipe:
        """Return the recipe as glimt has it."""
        return ModelRecipe.from_dict(json.loads(self.serialize()))


def validate_recipe(json_filename: str) -> None:
    """Say what is wrong with the recipe in a file; ends with `workflows.Error` if something is."""
    with open(json_filename, encoding="utf-8") as file:
        text = file.read()
    try:
        Recipe(text).validate()
    except Exception as error:
        print(f"{json_filename}: {error}", file=sys.stderr)  # noqa: T201 - as workflows does
        raise


def _tidy(recipe: dict[Any, Any]) -> dict[Any, Any]:
    tidy: dict[Any, Any] = {}
    for key, value in recipe.items():
        name = key if key in {"start", "error"} else int(key)
        if isinstance(value, dict) and "output" in value and not isinstance(value["output"], list | dict):
            value = {**value, "output": [value["output"]]}
        tidy[name] = value
    if "start" in tidy:
        tidy["start"] = [tuple(entry) for entry in tidy["start"]]
    return tidy
