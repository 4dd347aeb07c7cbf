"""Merge two recipes into one, as python-workflows numbers the steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from glimt.model.recipe_graph import check_recipe
from glimt.model.recipe_links import renumber_links

_Data = Mapping[int | str, Any]


def merge_recipes(first: _Data, second: _Data) -> dict[int | str, Any]:
    """Return both recipes as one; neither is changed, though what they do not have to differ in is shared.

    Steps of the second are renumbered upwards from the largest number of the first, at least from 2, in their order.
    Steps that are the same in both stay two steps. With an empty recipe the other comes back unchecked.

    Raises
    ------
    RecipeError
        One of them is not valid.
    """
    if not second or not first:
        return dict(first or second)
    check_recipe(first)
    check_recipe(second)
    steps = [key for key in second if isinstance(key, int)]
    base = max(1, *(key for key in first if isinstance(key, int))) + 1
    numbers = {step: base + k for k, step in enumerate(steps)}
    merged = dict(first)
    for step in steps:
        merged[numbers[step]] = _renumber_node(second[step], numbers)
    merged["start"] = [*first["start"], *((numbers[step], payload) for step, payload in second["start"])]
    if "error" in second:
        errors = renumber_links(_as_list(second["error"]), numbers)
        if "error" in first:
            merged["error"] = [*_as_list(first["error"]), *errors]
        else:
            merged["error"] = errors if isinstance(second["error"], list) else errors[0]
    return merged


def _renumber_node(node: Mapping[str, Any], numbers: Mapping[int, int]) -> dict[str, Any]:
    return {key: renumber_links(value, numbers) if key in ("output", "error") else value for key, value in node.items()}


def _as_list(errors: Any) -> list[Any]:
    return list(errors) if isinstance(errors, list | tuple) else [errors]
