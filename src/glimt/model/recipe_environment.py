"""Put values of the environment into the texts of a recipe, ``$name``, while it runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from glimt.model.errors import RecipeError
from glimt.model.recipe_values import MAX_DEPTH

_VARIABLE = re.compile(r"\$(?:(\$)|([_A-Za-z][_A-Za-z0-9]*)|\{([_A-Za-z][_A-Za-z0-9]*)\}|)", re.ASCII)


def substitute_environment(value: Any, environment: Mapping[str, Any], *, strict: bool) -> Any:
    """Return a value of a running recipe with ``$name`` and ``${name}`` taken from the environment.

    Texts inside objects and lists are replaced too, keys are not. What is replaced becomes text.

    Parameters
    ----------
    value : Any
        JSON values.
    environment : mapping
    strict : bool
        As most of Zocalo's services do it (``string.Template``): ``$$`` is a dollar, a name must be known. Otherwise
        as its ISPyB service does: known names only, the longest first, everything else stays as it is.

    Raises
    ------
    RecipeError
        ``strict``, and a name is not in the environment or a ``$`` stands alone; or too deep.
    """
    return _from_environment(value, environment, _lenient_pattern(environment) if not strict else None, 0)


def _from_environment(value: Any, environment: Mapping[str, Any], lenient: re.Pattern[str] | None, depth: int) -> Any:
    if isinstance(value, str):
        if "$" not in value:
            return value
        if lenient is None:
            return _VARIABLE.sub(lambda match: _strict_value(match, value, environment), value)
        return lenient.sub(lambda match: str(environment[match[1] or match[2]]), value)
    if depth > MAX_DEPTH:
        raise RecipeError(f"more than {MAX_DEPTH} objects and lists are inside each other")
    if isinstance(value, Mapping):
        return {key: _from_environment(item, environment, lenient, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_from_environment(item, environment, lenient, depth + 1) for item in value]
    return value


def _lenient_pattern(environment: Mapping[str, Any]) -> re.Pattern[str]:
    names = "|".join(re.escape(name) for name in sorted(environment, key=len, reverse=True) if name)
    return re.compile(rf"\$(?:({names})|\{{({names})\}})" if names else r"(?!)()()")


def _strict_value(match: re.Match[str], text: str, environment: Mapping[str, Any]) -> str:
    if match[1]:
        return "$"
    name = match[2] or match[3]
    if not name:
        raise RecipeError(f"a '$' in {text!r:.120} is no name; write '$$' for a dollar")
    if name not in environment:
        known = ", ".join(sorted(map(str, environment))[:20])
        raise RecipeError(f"${name} in {text!r:.120} is not known; the environment has: {known or 'nothing'}")
    return str(environment[name])
