"""Whether a recipe is valid: python-workflows' rules, in its order, in linear time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from glimt.model.errors import RecipeError
from glimt.model.recipe_links import flatten_links


def check_recipe(data: Mapping[int | str, Any]) -> None:
    """Raise if a recipe is not a directed graph without cycles whose steps are all there and all reached.

    python-workflows walks every path, which takes time that is exponential in the number of stacked diamonds; here a
    step that was walked through once is not walked again. The verdict, and which mistake is reported first, are the
    same: a step that was left cannot reach one that is still being walked.

    Parameters
    ----------
    data : mapping
        Steps by number, ``start`` and ``error``.

    Raises
    ------
    RecipeError
    """
    if not data:
        raise RecipeError("the recipe is empty")
    _check_start(data)
    _check_error(data)
    for key in data:
        if not isinstance(key, int) and key not in ("start", "error"):
            raise RecipeError(f"step {key!r:.60} is not a number")
    reached: set[int] = set()
    for entry in data["start"]:
        _walk(data, "start", entry[0], reached)
    if "error" in data:
        errors = data["error"]
        for link in errors if isinstance(errors, list | tuple) else [errors]:
            _walk(data, "error", link, reached)
    for key in data:
        if isinstance(key, int) and key not in reached:
            raise RecipeError(f"step {key} is never reached: neither 'start', 'error' nor another step points to it")


def _check_start(data: Mapping[int | str, Any]) -> None:
    if "start" not in data:
        raise RecipeError("'start' is missing: it lists [step, payload] pairs")
    start = data["start"]
    if not start:
        raise RecipeError("'start' is empty: it lists [step, payload] pairs")
    if not isinstance(start, list | tuple):
        raise RecipeError(f"'start' is {start!r:.60}, not a list of [step, payload] pairs")
    for entry in start:
        if not isinstance(entry, list | tuple) or len(entry) != 2:
            raise RecipeError(f"'start' has {entry!r:.60}, which is not a [step, payload] pair")
    if any(entry[0] == "start" for entry in start):
        raise RecipeError("'start' points to itself")


def _check_error(data: Mapping[int | str, Any]) -> None:
    errors = data.get("error")
    if isinstance(errors, list | tuple | str):
        if "start" in errors:
            raise RecipeError("'error' points to 'start'")
        if "error" in errors:
            raise RecipeError("'error' points to itself")


def _walk(data: Mapping[int | str, Any], origin: str, first: Any, reached: set[int]) -> None:
    """Walk depth first from one entry, adding to ``reached``; ``path`` holds the steps being walked."""
    path: list[int] = []
    on_path: set[int] = set()
    open_links: list[Iterator[int]] = [iter([_entry_number(data, origin, first)])]
    while open_links:
        number = next(open_links[-1], None)
        if number is None:
            open_links.pop()
            if path:
                on_path.discard(path.pop())
            continue
        if number in on_path:
            cycle = [*path[path.index(number) :], number]
            shown = cycle if len(cycle) <= 12 else [*cycle[:6], "…", *cycle[-5:]]
            raise RecipeError(f"the recipe has a cycle: {' -> '.join(map(str, shown))}")
        if number not in data:
            raise RecipeError(f"step {number} is missing; {_referrer(path, origin)} points to it")
        if number in reached:
            continue
        reached.add(number)
        path.append(number)
        on_path.add(number)
        open_links.append(iter(node_links(data[number], number)))


def node_links(node: Mapping[str, Any], number: int) -> list[int]:
    """Return all steps that a step points to, by ``output`` and ``error``."""
    return [
        link
        for kind in ("output", "error")
        if kind in node
        for link in flatten_links(node[kind], f"step {number}, {kind}")
    ]


def _entry_number(data: Mapping[int | str, Any], origin: str, entry: Any) -> int:
    if isinstance(entry, int):
        return int(entry)
    hint = " (a number, without quotes)" if isinstance(entry, str) else ""
    raise RecipeError(f"'{origin}' points to {entry!r:.60}, which is not the number of a step{hint}")


def _referrer(path: list[int], origin: str) -> str:
    return f"step {path[-1]}" if path else f"'{origin}'"
