"""Put parameters into the texts of a recipe, ``{name}``, once: when it is dispatched."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from typing import Any

from glimt.model.errors import RecipeError
from glimt.model.recipe_values import MAX_DEPTH, ValueBudget, copy_value

MAX_WIDTH = 1000
"""Largest width and precision in a format, [characters]."""

_REPLACE = "{$REPLACE"
_SPEC_NUMBER = re.compile(r"\d+")


class _Missing:
    """A name that is not among the parameters, and the indices that followed it: stays as it is written."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return "{" + self.text + "}"

    __repr__ = __str__


def substitute_parameters(value: Any, parameters: Mapping[str, Any]) -> Any:
    """Return a recipe with Python's format rules applied to every text, keys included, in one pass.

    ``{a}``, ``{n:05d}``, ``{d[k]}``, ``{l[1]}`` and ``{d!r}`` become text; ``{missing}`` and ``{missing[a]}`` stay. A
    text that is ``{$REPLACE:path}`` as a whole becomes a copy of that value, ``None`` if it is not there. Attributes
    (``{a.b}``) are refused, for they let a recipe read what is not in its parameters.

    Parameters
    ----------
    value : Any
        A whole recipe (steps by number), or any part of one.
    parameters : mapping

    Raises
    ------
    RecipeError
        A text cannot be formatted, or the result is too large; the text of the error names the step and the text.
    """
    budget = ValueBudget()
    if isinstance(value, Mapping):
        return {
            _substitute_key(key, parameters, budget, "recipe"): _substitute(
                item, parameters, budget, f"step {key}" if isinstance(key, int) else f"'{key!s:.60}'", 1
            )
            for key, item in value.items()
        }
    return _substitute(value, parameters, budget, "recipe", 0)


def _substitute(value: Any, parameters: Mapping[str, Any], budget: ValueBudget, where: str, depth: int) -> Any:
    if isinstance(value, str):
        return substitute_text(value, parameters, budget, where)
    budget.take_value(where)
    if depth > MAX_DEPTH:
        raise RecipeError(f"{where}: more than {MAX_DEPTH} objects and lists are inside each other")
    if isinstance(value, Mapping):
        result: dict[Any, Any] = {}
        for key, item in value.items():
            new_key = _substitute_key(key, parameters, budget, where)
            if new_key in result:
                raise RecipeError(f"{where}: the key {new_key!r:.60} is there twice once {key!r:.60} is replaced")
            result[new_key] = _substitute(item, parameters, budget, f"{where}, {key!s:.60}", depth + 1)
        return result
    if isinstance(value, list | tuple):
        return [_substitute(item, parameters, budget, where, depth + 1) for item in value]
    return value


def _substitute_key(key: Any, parameters: Mapping[str, Any], budget: ValueBudget, where: str) -> Any:
    if not isinstance(key, str):
        return key
    new_key = substitute_text(key, parameters, budget, where)
    if not isinstance(new_key, str):
        raise RecipeError(f"{where}: the key {key!r:.60} would become {new_key!r:.60}, which is not text")
    return new_key


def substitute_text(text: str, parameters: Mapping[str, Any], budget: ValueBudget, where: str) -> Any:
    """Return one text with its fields replaced, or the value that ``{$REPLACE:path}`` names.

    Raises
    ------
    RecipeError
    """
    if "{" not in text and "}" not in text:
        return budget.take_text(text, where)
    try:
        if text.startswith(_REPLACE) and text.endswith("}"):
            return _replaced(text, parameters, budget, where)
        return budget.take_text(_formatted(text, parameters, budget, where, 2), where)
    except RecipeError:
        raise
    except Exception as error:  # noqa: BLE001  a value's own __format__ may raise anything
        raise _cannot(where, text, str(error) or type(error).__name__) from None


def _replaced(text: str, parameters: Mapping[str, Any], budget: ValueBudget, where: str) -> Any:
    path = text[len(_REPLACE) + 1 : -1]
    if "{" in path or "}" in path:
        raise _cannot(where, text, "{$REPLACE:...} must be the whole text")
    try:
        return copy_value(_looked_up(path, parameters, keep_missing=False), budget, where)
    except KeyError:
        return None


def _formatted(text: str, parameters: Mapping[str, Any], budget: ValueBudget, where: str, levels: int) -> str:
    if levels < 0:
        raise ValueError("too many fields inside each other")
    parts: list[str] = []
    for literal, field, spec, conversion in string.Formatter().parse(text):
        parts.append(literal)
        if field is None:
            continue
        value = _looked_up(field, parameters, keep_missing=True)
        if conversion:
            value = _converted(value, conversion)
        layout = _formatted(spec or "", parameters, budget, where, levels - 1)
        if isinstance(value, _Missing) and layout:
            raise ValueError(f"{value} is not among the parameters, so it cannot be formatted with {layout!r:.40}")
        if any(len(number) > 9 or int(number) > MAX_WIDTH for number in _SPEC_NUMBER.findall(layout)):
            raise ValueError(f"a width or precision beyond {MAX_WIDTH}")
        parts.append(budget.take_text(str(value) if isinstance(value, _Missing) else format(value, layout), where))
    return "".join(parts)


def _converted(value: Any, conversion: str) -> str:
    if conversion == "r":
        return repr(value)
    if conversion == "s":
        return str(value)
    if conversion == "a":
        return ascii(value)
    raise ValueError(f"unknown conversion {conversion!r}")


def _looked_up(field: str, parameters: Mapping[str, Any], *, keep_missing: bool) -> Any:
    """Return what ``name[key][0]`` names; a name that is not there as `_Missing`, or as a ``KeyError``."""
    name, bracket, rest = field.partition("[")
    if "." in name:
        raise ValueError("attributes ('.') cannot be read; only [keys] can")
    if not field or name.isdecimal():
        raise ValueError("a field needs the name of a parameter")
    keys = _index_keys(bracket + rest)
    if name not in parameters:
        if not keep_missing:
            raise KeyError(name)
        return _Missing(field)
    value = parameters[name]
    for key in keys:
        value = _item(value, key, keep_missing=keep_missing)
    return value


def _index_keys(text: str) -> list[str | int]:
    keys: list[str | int] = []
    while text:
        end = text.find("]")
        if text[0] == ".":
            raise ValueError("attributes ('.') cannot be read; only [keys] can")
        if text[0] != "[" or end < 0:
            raise ValueError("a '[' has no ']', or something else follows a ']'")
        key = text[1:end]
        if not key:
            raise ValueError("[] is empty")
        keys.append(int(key) if key.isdecimal() and len(key) < 19 else key)
        text = text[end + 1 :]
    return keys


def _item(value: Any, key: str | int, *, keep_missing: bool) -> Any:
    if isinstance(value, Mapping):
        if key in value:
            return value[key]
        if keep_missing:
            raise ValueError(f"there is no [{key}]")
        raise KeyError(key)
    if isinstance(value, list | tuple | str):
        if not isinstance(key, int):
            raise ValueError(f"[{key}] is not the position of an item")
        if key >= len(value):
            raise ValueError(f"there is no [{key}]; it has {len(value)} items")
        return value[key]
    raise ValueError(f"a value of type {type(value).__name__} has no [{key}]")


def _cannot(where: str, text: str, why: str) -> RecipeError:
    return RecipeError(f"{where}: cannot replace in {text!r:.120}: {why:.300}")
