"""Draw how a recipe's steps are connected: as a tree of text, or for Mermaid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from glimt.model.recipe import Recipe
from glimt.model.recipe_links import flatten_links

_UNICODE = ("├─ ", "└─ ", "│  ", " → ")
_ASCII = ("|- ", "`- ", "|  ", " -> ")
_MAX_DEPTH = 200


def draw_tree(recipe: Recipe, *, is_ascii: bool = False) -> list[str]:
    """Return the lines of a tree; a step that more than one step sends to is drawn whole once, and named again after.

    Raises
    ------
    RecipeError
        The recipe is not valid.
    """
    recipe.check()
    marks = _ASCII if is_ascii else _UNICODE
    drawn: set[int] = set()
    lines = ["start"]
    _draw_links(recipe, [("", number) for number, _ in recipe.start], "", marks, drawn, lines)
    if recipe.error:
        lines.append("error")
        _draw_links(recipe, [("", number) for number in recipe.error], "", marks, drawn, lines)
    return lines


def draw_mermaid(recipe: Recipe) -> list[str]:
    """Return the lines of a Mermaid flowchart.

    Raises
    ------
    RecipeError
        The recipe is not valid.
    """
    recipe.check()
    lines = ["flowchart TD", "    start([start])"]
    lines += [f'    {_node_id(number)}["{_quoted(_title(recipe, number))}"]' for number in recipe.nodes]
    lines += [f"    start --> {_node_id(number)}" for number, _ in recipe.start]
    if recipe.error:
        lines.append("    error([error])")
        lines += [f"    error -.-> {_node_id(number)}" for number in recipe.error]
    for number, node in recipe.nodes.items():
        for name, target, is_error in _links(node, number):
            arrow = "-.->" if is_error else "-->"
            label = f'|"{_quoted(name)}"|' if name else ""
            lines.append(f"    {_node_id(number)} {arrow}{label} {_node_id(target)}")
    return lines


def _draw_links(
    recipe: Recipe,
    links: list[tuple[str, int]],
    indent: str,
    marks: tuple[str, str, str, str],
    drawn: set[int],
    lines: list[str],
) -> None:
    middle, last, bar, arrow = marks
    for k, (name, number) in enumerate(links):
        is_last = k == len(links) - 1
        label = f"{name}{arrow}" if name else ""
        again = " (see above)" if number in drawn else ""
        lines.append(f"{indent}{last if is_last else middle}{label}{_title(recipe, number)}{again}")
        below = indent + ("   " if is_last else bar)
        if again:
            continue
        drawn.add(number)
        further = [
            (f"error {name}".rstrip() if is_error else name, target)
            for name, target, is_error in _links(recipe.nodes[number], number)
        ]
        if further and len(below) > 3 * _MAX_DEPTH:
            lines.append(f"{below}{last}…")
            continue
        _draw_links(recipe, further, below, marks, drawn, lines)


def _links(node: Mapping[str, Any], number: int) -> Iterator[tuple[str, int, bool]]:
    """Yield name, target and whether it is for errors, of all links of a step."""
    for kind in ("output", "error"):
        links = node.get(kind)
        named = links.items() if isinstance(links, Mapping) else [("", links)]
        for name, link in named:
            for target in flatten_links(link, f"step {number}, {kind}"):
                yield name, target, kind == "error"


def _title(recipe: Recipe, number: int) -> str:
    node = recipe.nodes[number]
    places = [str(node[kind]) for kind in ("queue", "topic") if node.get(kind)]
    command = node.get("parameters")
    command = command.get("ispyb_command") if isinstance(command, Mapping) else None
    title = " ".join([str(number), " and ".join(places) or "(neither queue nor topic)"])
    return _plain(f"{title} {command}" if command else title)


def _plain(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)[:200]


def _node_id(number: int) -> str:
    return f"s{number}" if number >= 0 else f"m{-number}"


def _quoted(text: str) -> str:
    escaped = text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
    return _plain(escaped)
