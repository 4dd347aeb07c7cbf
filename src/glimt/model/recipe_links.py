"""Links of a recipe's steps: the numbers of other steps in ``output`` and ``error``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from glimt.model.errors import RecipeError


def flatten_links(links: Any, where: str) -> list[int]:
    """Return the numbers of all steps that ``links`` names, in order, duplicates kept.

    Parameters
    ----------
    links : Any
        A number, a list of numbers, ``None``, or an object of names to any of these; ``true`` counts as 1, as in
        Python.
    where : str
        For the error.

    Raises
    ------
    RecipeError
        Something else is in there, such as a number as text.
    """
    if links is None:
        return []
    if isinstance(links, int):
        return [int(links)]
    if isinstance(links, list):
        for link in links:
            if not isinstance(link, int):
                raise RecipeError(f"{where}: {_shown(link)} is no link; a link is the number of a step, such as 2")
        return [int(link) for link in links]
    if isinstance(links, Mapping):
        return [link for name, item in links.items() for link in flatten_links(item, f"{where} {name!r:.60}")]
    raise RecipeError(f"{where}: {_shown(links)} is no link; a link is the number of a step, such as 2")


def renumber_links(links: Any, numbers: Mapping[int, int]) -> Any:
    """Return links of the same form to the new numbers."""
    if links is None:
        return None
    if isinstance(links, list):
        return [renumber_links(link, numbers) for link in links]
    if isinstance(links, Mapping):
        return {name: renumber_links(item, numbers) for name, item in links.items()}
    return numbers[links]


def stream_links(output: Any, stream: str | None, default: str | None) -> Any:
    """Return the links that python-workflows' ``send`` (no stream) and ``send_to`` follow; ``None`` for none.

    Parameters
    ----------
    output : Any
        A step's ``output``.
    stream : str or None
        The named output; ``None`` is the unnamed one.
    default : str or None
        The name that an unnamed output stands for.
    """
    if not isinstance(output, Mapping):
        return output if stream is None or stream == default else None
    name = default if stream is None else stream
    return None if not name else output.get(name)


def _shown(link: Any) -> str:
    return f"{link!r:.60}"
