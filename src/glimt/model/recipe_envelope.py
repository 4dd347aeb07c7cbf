"""What a message of a recipe carries: python-workflows' envelope, whose recipe is passed on as the bytes it came as.

The body is JSON: ``environment``, ``payload``, ``recipe``, ``recipe-path`` and ``recipe-pointer``. Nine tenths of a
message are its recipe, the same in thousands of messages; so those bytes are neither parsed again nor written again.

Not-a-number and infinity: python-workflows writes them as the bare words ``NaN``, ``Infinity`` and ``-Infinity``,
which is no JSON but what its services read. So does `Envelope.encode`, and `Envelope.decode` takes them: a value
comes out as it went in, with Zocalo's services in between or not. A service that wants a missing value must send
``None``.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from glimt.model.errors import DecodeError, RecipeError
from glimt.model.recipe import Recipe
from glimt.model.recipe_body import WHERE, read_body
from glimt.model.recipe_cache import ParsedRecipe, ParsedRecipes
from glimt.model.recipe_json import encode_json, parse_json
from glimt.model.recipe_links import flatten_links, stream_links

MAX_PATH_STEPS = 10_000
MAX_DELAY_S = 4_233_600.0
"""The longest ``transport-delay``, 49 days: what every broker can do."""

_PARSED = ParsedRecipes()


class Envelope:
    """A message for one step of a recipe; not changed once it is made.

    Attributes
    ----------
    recipe_pointer : int
        The step the message is for.
    recipe_path : tuple of int
        The steps it went through.
    environment : mapping
        What all steps of this branch see; ``ID`` is the identity of the run.
    payload : Any
        JSON values.
    """

    __slots__ = ("_node", "_parsed", "environment", "payload", "recipe_path", "recipe_pointer")

    def __init__(
        self, parsed: ParsedRecipe, pointer: int, path: tuple[int, ...], environment: Mapping[str, Any], payload: Any
    ) -> None:
        self._parsed = parsed
        self._node: Mapping[str, Any] | None = None
        self.recipe_pointer = pointer
        self.recipe_path = path
        self.environment = environment
        self.payload = payload

    @classmethod
    def decode(cls, body: bytes) -> Envelope:
        """Return the envelope in the body of a message.

        ``recipe-path``, ``environment`` and ``payload`` may be missing; the pointer may be a number as text, the
        recipe a text that holds the recipe.

        Raises
        ------
        DecodeError
            Not JSON, no recipe, not the form of a recipe, no pointer, a pointer to a step that is not there, too
            large or too deep.
        """
        message = read_body(body)
        raw = bytes(message.recipe)
        parsed = _PARSED.find(raw)
        if parsed is None:
            parsed = _PARSED.add(raw)
        pointer = message.recipe_pointer
        if isinstance(pointer, str):
            pointer = _pointer_number(pointer)
        if pointer not in parsed.node_json:
            raise DecodeError(f"points to step {pointer}, which its recipe does not have", where=WHERE)
        path = message.recipe_path or ()
        if len(path) > MAX_PATH_STEPS:
            raise DecodeError(f"went through {len(path)} steps, more than {MAX_PATH_STEPS}", where=WHERE)
        return cls(parsed, pointer, tuple(path), message.environment or {}, message.payload)

    def encode(self) -> bytes:
        """Return the body of the message.

        ``Decimal`` becomes a float, as in python-workflows.

        Raises
        ------
        ResultError
            The payload or the environment holds what JSON does not have.
        """
        path = ",".join(map(str, self.recipe_path))
        return b"".join(
            (
                b'{"environment":',
                encode_json(self.environment, "environment"),
                b',"payload":',
                encode_json(self.payload, "payload"),
                b',"recipe":',
                self._parsed.raw,
                f',"recipe-path":[{path}],"recipe-pointer":{self.recipe_pointer}}}'.encode(),
            )
        )

    @property
    def recipe(self) -> Recipe:
        """Return the recipe; messages of the same recipe share it, so it must not be changed."""
        return self._parsed.recipe

    @property
    def node(self) -> Mapping[str, Any]:
        """Return the step this message is for; a copy of its own."""
        if self._node is None:
            self._node = parse_json(self._parsed.node_json[self.recipe_pointer])
        return self._node

    @property
    def transport_delay_s(self) -> float:
        """Return how long messages to this step wait, unless the sender says otherwise.

        Raises
        ------
        RecipeError
            ``transport-delay`` is no time, or longer than `MAX_DELAY_S`.
        """
        delay = self._shared_node.get("transport-delay")
        if delay is None:
            return 0.0
        try:
            seconds = float(delay)
        except (TypeError, ValueError):
            seconds = -1.0
        if not isfinite(seconds) or seconds < 0 or isinstance(delay, bool):
            raise RecipeError(f"step {self.recipe_pointer}: transport-delay is {delay!r:.60}, not a number of seconds")
        if seconds > MAX_DELAY_S:
            raise RecipeError(
                f"step {self.recipe_pointer}: transport-delay is {delay!r:.60}, more than 49 days ({MAX_DELAY_S:.0f} s)"
            )
        return seconds

    def targets(self, stream: str | None, *, default: str | None) -> tuple[int, ...]:
        """Return the steps that get what is sent to ``stream``: python-workflows' ``send`` and ``send_to``.

        ``None`` is the unnamed output, or the one named ``default`` where outputs are named; ``default`` by name is
        the unnamed output where there is one. Any other name needs an output of that name.

        Raises
        ------
        RecipeError
            The recipe links this stream to something that is not one of its steps.
        """
        node = self._shared_node
        if "output" not in node:
            return ()
        links = stream_links(node["output"], stream, default)
        return self._existing(links, "output")

    def advanced(self, target: int, *, payload: Any, environment: Mapping[str, Any]) -> Envelope:
        """Return the message to another step of the recipe.

        Raises
        ------
        RecipeError
            There is no such step.
        """
        self._existing(target, "output")
        path = self.recipe_path
        if self.recipe_pointer:
            path = (*path, self.recipe_pointer)
        return Envelope(self._parsed, target, path, environment, payload)

    def repeated(self, *, payload: Any, environment: Mapping[str, Any]) -> Envelope:
        """Return a message to this very step, whose path is not longer."""
        return Envelope(self._parsed, self.recipe_pointer, self.recipe_path, environment, payload)

    @property
    def _shared_node(self) -> Mapping[str, Any]:
        return self._parsed.recipe.nodes[self.recipe_pointer]

    def _existing(self, links: Any, kind: str) -> tuple[int, ...]:
        targets = flatten_links(links, f"step {self.recipe_pointer}, {kind}")
        for target in targets:
            if target not in self._parsed.node_json:
                raise RecipeError(f"step {target} is missing; step {self.recipe_pointer}, {kind}, points to it")
        return tuple(targets)


def start_recipe(recipe: Recipe, *, environment: Mapping[str, Any]) -> list[Envelope]:
    """Return the first messages of a recipe, in the order of its ``start``.

    Raises
    ------
    RecipeError
        The recipe is not valid.
    """
    recipe.check()
    parsed = ParsedRecipe(recipe, recipe.to_json())
    return [Envelope(parsed, number, (), environment, payload) for number, payload in recipe.start]


def _pointer_number(text: str) -> int:
    try:
        if len(text) <= 18:
            return int(text)
    except ValueError:
        pass
    raise DecodeError(f"recipe-pointer is {text!r:.60}, not the number of a step", where=WHERE)
