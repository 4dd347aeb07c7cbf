"""Put values of the environment into the texts of a recipe, ``$name``, while it runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from glimt.model.errors import RecipeError
from glimt.model.recipe_values import MAX_DEPTH

MAX_INSERTED = 1024 * 1024
"""Characters that one call puts in: a short text can name a long value many times over. Identifiers have ten."""

_VARIABLE = re.compile(r"\$(?:(\$)|([_A-Za-z][_A-Za-z0-9]*)|\{([_A-Za-z][_A-Za-z0-9]*)\}|)", re.ASCII)
_MAYBE_VARIABLE = re.compile(r"\$(?:([^\W\d]\w*)|\{([^\W\d]\w*)\})")


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
        ``strict``, and a name is not in the environment or a ``$`` stands alone; or too deep; or more than
        `MAX_INSERTED` characters would be put in.
    """
    return _from_environment(value, _Variables(environment, strict=strict), 0)


class _Variables:
    """The environment, and how much of it may still be put into texts."""

    def __init__(self, environment: Mapping[str, Any], *, strict: bool) -> None:
        self._environment, self._strict = environment, strict
        self._texts: dict[str, str] = {}
        self._n_left = MAX_INSERTED
        self._lengths: list[int] | None = None

    def replaced(self, text: str) -> str:
        """Return a text with its variables replaced."""
        if "$" not in text:
            return text
        if self._strict:
            return _VARIABLE.sub(lambda match: self._strict_value(match, text), text)
        return _MAYBE_VARIABLE.sub(lambda match: self._lenient_value(match, text), text)

    def _strict_value(self, match: re.Match[str], text: str) -> str:
        if match[1]:
            return "$"
        name = match[2] or match[3]
        if not name:
            raise RecipeError(f"a '$' in {text!r:.120} is no name; write '$$' for a dollar")
        if name not in self._environment:
            known = ", ".join(sorted(map(str, self._environment))[:20])
            raise RecipeError(f"${name} in {text!r:.120} is not known; the environment has: {known or 'nothing'}")
        return self._take(name, text)

    def _lenient_value(self, match: re.Match[str], text: str) -> str:
        word = match[1]
        if word is None:
            return self._take(match[2], text) if match[2] in self._environment else match[0]
        if word in self._environment:
            return self._take(word, text)
        for length in self._known_lengths():
            if length < len(word) and word[:length] in self._environment:
                return self._take(word[:length], text) + word[length:]
        return match[0]

    def _known_lengths(self) -> list[int]:
        """Return the lengths of names, the longest first: few, however many names there are."""
        if self._lengths is None:
            self._lengths = sorted({len(name) for name in self._environment if name}, reverse=True)
        return self._lengths

    def _take(self, name: str, text: str) -> str:
        if name not in self._texts:
            self._texts[name] = str(self._environment[name])
        found = self._texts[name]
        self._n_left -= len(found)
        if self._n_left < 0:
            raise RecipeError(
                f"${name} in {text!r:.120}: the environment would put in more than {MAX_INSERTED:,} characters"
            )
        return found


def _from_environment(value: Any, variables: _Variables, depth: int) -> Any:
    if isinstance(value, str):
        return variables.replaced(value)
    if depth > MAX_DEPTH:
        raise RecipeError(f"more than {MAX_DEPTH} objects and lists are inside each other")
    if isinstance(value, Mapping):
        return {key: _from_environment(item, variables, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_from_environment(item, variables, depth + 1) for item in value]
    return value
