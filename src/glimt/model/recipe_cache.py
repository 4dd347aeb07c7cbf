"""Recipes that were parsed already, by the bytes they came as."""

from __future__ import annotations

import threading
from collections import OrderedDict

from glimt.model.errors import DecodeError, RecipeError
from glimt.model.recipe import Recipe
from glimt.model.recipe_json import encode_json, parse_json

MAX_CACHED_BYTES = 8 * 1024 * 1024
"""Of recipes as JSON; what is parsed from them takes about ten times as much."""


class ParsedRecipe:
    """A recipe and the bytes that stand for it in messages.

    Attributes
    ----------
    recipe : Recipe
    raw : bytes
        JSON.
    node_json : dict of int to bytes
        Each step as JSON, from which a message gets a copy of its own.
    """

    def __init__(self, recipe: Recipe, raw: bytes) -> None:
        self.recipe = recipe
        self.raw = raw
        self.node_json = {number: encode_json(node, "recipe") for number, node in recipe.nodes.items()}


class ParsedRecipes:
    """The recipes that were met last, within a bound of bytes; any thread may use it."""

    def __init__(self, max_bytes: int = MAX_CACHED_BYTES) -> None:
        self._max_bytes = max_bytes
        self._n_bytes = 0
        self._by_raw: OrderedDict[bytes, ParsedRecipe] = OrderedDict()
        self._newest: ParsedRecipe | None = None
        self._lock = threading.Lock()

    def find(self, raw: bytes) -> ParsedRecipe | None:
        """Return what was parsed from ``raw``, if it is still there."""
        newest = self._newest
        # comparing with the last one costs a fraction of hashing, and messages of one recipe come one after the other
        if newest is not None and newest.raw == raw:
            return newest
        with self._lock:
            found = self._by_raw.get(raw)
            if found is not None:
                self._by_raw.move_to_end(raw)
                self._newest = found
        return found

    def add(self, raw: bytes) -> ParsedRecipe:
        """Parse a recipe and keep it.

        Raises
        ------
        DecodeError
            It has not the form of a recipe.
        """
        try:
            source = raw
            if raw[:1] == b'"':
                source = str(parse_json(raw)).encode("utf-8", "surrogatepass")
            parsed = ParsedRecipe(Recipe.from_json(source), raw)
        except (RecipeError, ValueError) as error:
            raise DecodeError(str(error), where="recipe envelope") from None
        if len(raw) <= self._max_bytes:
            self._keep(raw, parsed)
        return parsed

    def _keep(self, raw: bytes, parsed: ParsedRecipe) -> None:
        with self._lock:
            if raw not in self._by_raw:
                self._by_raw[raw] = parsed
                self._n_bytes += len(raw)
            while self._n_bytes > self._max_bytes:
                oldest, _ = self._by_raw.popitem(last=False)
                self._n_bytes -= len(oldest)
            self._newest = parsed
