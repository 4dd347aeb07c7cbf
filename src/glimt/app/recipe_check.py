"""Check recipes for people: a file or a name to the recipe, and all that is wrong with it as lines."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from glimt.app.service_registry import load_service, service_path
from glimt.app.site import Site
from glimt.brokers.layout import LAYOUT
from glimt.model.errors import RecipeError, UsageError
from glimt.model.recipe import Recipe
from glimt.services.recipe_files import MAX_RECIPE_BYTES, find_recipe, load_recipe
from glimt.services.recipe_lint import RecipeProblem, find_recipe_problems
from glimt.services.service_outputs import CONTRACTS

KNOWN_QUEUES = frozenset({*CONTRACTS, *(queue.name for queue in LAYOUT)})
"""Queues that a site has without being told."""


def site_queues(site: Site) -> set[str]:
    """Return the queues that a site has besides: those of services that its file names, and of its beamline."""
    queues = {queue for plan in site.plans.values() for queue in plan.queues} | {f"xrc.{site.beamline}"}
    for name in site.plans:
        with contextlib.suppress(UsageError):  # a service that is not there has no queues; `serve` says so
            queues.update(getattr(load_service(service_path(name)), "queues", ()))
    return queues


def recipe_path(name_or_path: str, folders: Sequence[Path] = ()) -> Path:
    """Return the file of a recipe: a path if it looks like one, else the name of a recipe in ``folders``.

    ``name.json`` is a path if there is such a file, else the recipe of that name.

    Raises
    ------
    RecipeError
        There is no such recipe.
    """
    path = Path(name_or_path)
    if "/" in name_or_path or "\\" in name_or_path or (name_or_path.endswith(".json") and path.is_file()):
        return path
    return find_recipe_or_file(name_or_path, folders)


def find_recipe_or_file(word: str, folders: Sequence[Path] = ()) -> Path:
    """Return the file of the recipe ``name`` or ``name.json``, which is no file here.

    Raises
    ------
    RecipeError
        There is no such recipe; of what looks like a file, that there is none either.
    """
    try:
        return find_recipe(word.removesuffix(".json"), folders)
    except RecipeError as error:
        if not word.endswith(".json"):
            raise
        raise RecipeError(f"there is no file {word!r:.120}, and {error}") from None


def open_recipe(name_or_path: str, folders: Sequence[Path] = ()) -> Recipe:
    """Return a recipe by name or path, unchecked.

    Raises
    ------
    RecipeError
        There is no such recipe, or it has not the form of one.
    """
    return load_recipe(recipe_path(name_or_path, folders))


def problems_of_file(
    name_or_path: str,
    *,
    folders: Sequence[Path] = (),
    parameters: Mapping[str, Any] | None = None,
    known_queues: Collection[str] | None = None,
) -> list[RecipeProblem]:
    """Return all that is wrong with a recipe by name or path; that it cannot be read is a problem too."""
    try:
        path = recipe_path(name_or_path, folders)
    except RecipeError as error:
        return [RecipeProblem(None, str(error))]
    try:
        recipe = load_recipe(path)
    except RecipeError as error:
        return [RecipeProblem(None, str(error).removeprefix(f"{path}: "))]
    return find_recipe_problems(recipe, parameters=parameters, known_queues=known_queues)


def read_parameters(values: Sequence[str], path: Path | None) -> dict[str, Any] | None:
    """Return what ``-s key=value`` and a JSON file say, the former over the latter; ``None`` for neither.

    Raises
    ------
    UsageError
        A value has no ``=``, or the file cannot be read or is no JSON object.
    """
    if not values and path is None:
        return None
    parameters: dict[str, Any] = {} if path is None else _read_object(path)
    for value in values:
        name, equals, text = value.partition("=")
        if not equals or not name:
            raise UsageError(f"-s {value!r} has not the form name=value")
        parameters[name] = text
    return parameters


def _read_object(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_RECIPE_BYTES + 1)
        if len(text) > MAX_RECIPE_BYTES:
            raise UsageError(f"{path}: larger than {MAX_RECIPE_BYTES} bytes")
        return msgspec.json.decode(text, type=dict[str, Any])
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise UsageError(f"{path} is not a JSON object of parameters: {error}") from None
