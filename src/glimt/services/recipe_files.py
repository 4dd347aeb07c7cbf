"""Recipes as files: found by name in the folders of a site, those that come with glimt last."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path

from glimt.model.errors import RecipeError
from glimt.model.recipe import Recipe

SHIPPED_RECIPES = Path(__file__).with_name("recipes")
"""The folder of the recipes that come with glimt."""

MAX_RECIPE_BYTES = 16 * 1024 * 1024
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,199}", re.ASCII)


def find_recipe(name: str, folders: Sequence[Path] = (SHIPPED_RECIPES,)) -> Path:
    """Return the file ``name.json`` in the first folder that has it.

    Parameters
    ----------
    name : str
        A name, never a path: it may come from a message.
    folders : sequence of Path
        The recipes that come with glimt are looked through last, whether they are listed or not.

    Raises
    ------
    RecipeError
        No folder has it, or it is no name.
    """
    if not _NAME.fullmatch(name):
        raise RecipeError(f"{name!r:.120} is not the name of a recipe: letters, digits and _ . + - only")
    for folder in _all_folders(folders):
        path = folder / f"{name}.json"
        if path.is_file():
            return path
    names = list_recipes(folders)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names[:40]) or 'none'}"
    raise RecipeError(f"there is no recipe {name!r}; {hint}")


def list_recipes(folders: Sequence[Path] = (SHIPPED_RECIPES,)) -> list[str]:
    """Return the names of all recipes that `find_recipe` finds, sorted."""
    return sorted({path.stem for folder in _all_folders(folders) for path in folder.glob("*.json")})


def load_recipe(path: Path) -> Recipe:
    """Return the recipe in a file, unchecked.

    Raises
    ------
    RecipeError
        It cannot be read, or has not the form of a recipe; the error names the file.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MAX_RECIPE_BYTES + 1)
    except OSError as error:
        raise RecipeError(f"{path}: {error.strerror or error}") from None
    if len(text) > MAX_RECIPE_BYTES:
        raise RecipeError(f"{path}: larger than {MAX_RECIPE_BYTES} bytes, so it is hardly a recipe")
    try:
        return Recipe.from_json(text)
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from None


def _all_folders(folders: Sequence[Path]) -> list[Path]:
    return [*(folder for folder in folders if folder != SHIPPED_RECIPES), SHIPPED_RECIPES]
