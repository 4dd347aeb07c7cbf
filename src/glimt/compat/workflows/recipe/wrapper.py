"""``workflows.recipe.RecipeWrapper``: a message of a recipe, and sending along the recipe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from glimt.compat.workflows.recipe.recipe import Recipe


class RecipeWrapper:
    """A message of a recipe, or a recipe that is to be started.

    Parameters
    ----------
    message : dict or None
        Of a recipe.
    transport : object or None
        What sends.
    recipe : Recipe or dict or None
        Instead of a message.
    environment : dict or None
        Instead of the message's.
    """

    def __init__(
        self, message: Any = None, transport: Any = None, recipe: Any = None, environment: Any = None, **_: Any
    ) -> None:
        self.default_channel: str | None = None
        self.transport = transport
        self.recipe_pointer: int | None = None
        self.recipe_step: Any = None
        self.recipe_path: list[int] = []
        self.payload: Any = None
        if message:
            self.recipe = Recipe(message["recipe"])
            self.recipe_pointer = int(message["recipe-pointer"])
            self.recipe_step = self.recipe[self.recipe_pointer]
            self.recipe_path = message.get("recipe-path", [])
            self.environment = message.get("environment", {}) if environment is None else environment
            self.payload = message.get("payload")
        elif recipe:
            self.recipe = recipe if isinstance(recipe, Recipe) else Recipe(recipe)
            self.environment = environment or {}
        else:
            raise ValueError("A message or recipe is required to create a RecipeWrapper object.")

    def set_default_channel(self, channel: str) -> None:
        """Say which named output is the same as the unnamed one."""
        self.default_channel = channel

    def send(self, *args: Any, **kwargs: Any) -> None:
        """Send to the unnamed output, or to the default of the named ones."""
        output = self._step().get("output")
        if "output" not in self._step():
            return
        if not isinstance(output, dict):
            self._send_all(output, *args, **kwargs)
        elif self.default_channel:
            self.send_to(self.default_channel, *args, **kwargs)

    def send_to(self, channel: str, *args: Any, **kwargs: Any) -> None:
        """Send to a named output; nothing happens if the recipe does not wire it."""
        output = self._step().get("output")
        if isinstance(output, dict):
            if channel in output:
                self._send_all(output[channel], *args, **kwargs)
        elif channel == self.default_channel:
            self.send(*args, **kwargs)

    def checkpoint(self, message: Any, header: Any = None, delay: float = 0, **kwargs: Any) -> None:
        """Send to this step again."""
        self._step()
        self._send_one(self.recipe_pointer, header, message, {**kwargs, "delay": delay}, extends_path=False)

    def start(self, header: Any = None, **kwargs: Any) -> None:
        """Send the first messages of the recipe."""
        self._need_transport()
        if self.recipe_step:
            raise ValueError("This recipe has already been started.")
        for destination, payload in self.recipe["start"]:
            self._send_one(destination, header, payload, kwargs)

    def apply_parameters(self, parameters: Any) -> None:
        """Put parameters into the recipe; for tests."""
        self.recipe.apply_parameters(parameters)
        self.recipe_step = self.recipe[self.recipe_pointer]

    def _need_transport(self) -> None:
        if not self.transport:
            raise ValueError("This RecipeWrapper object does not contain a reference to a transport object.")

    def _step(self) -> Any:
        self._need_transport()
        if not self.recipe_step:
            raise ValueError("This RecipeWrapper object does not contain a recipe with a selected step.")
        return self.recipe_step

    def _send_all(
        self,
        destinations: Any,
        message: Any,
        header: Any = None,
        mangle_for_sending: Callable[[Any], Any] | None = None,
        **kwargs: Any,
    ) -> None:
        for destination in destinations if isinstance(destinations, list) else (destinations,):
            self._send_one(destination, header, message, kwargs, mangle=mangle_for_sending)

    def _send_one(
        self,
        destination: Any,
        header: Any,
        payload: Any,
        options: dict[str, Any],
        *,
        extends_path: bool = True,
        mangle: Callable[[Any], Any] | None = None,
    ) -> None:
        node = self.recipe[destination]
        options = dict(options)
        if "transport-delay" in node:
            options.setdefault("delay", node["transport-delay"])
        if "exchange" in node:
            options.setdefault("exchange", node["exchange"])
        path = [*self.recipe_path, self.recipe_pointer] if extends_path and self.recipe_pointer else self.recipe_path
        message: Any = {
            "environment": self.environment,
            "payload": payload,
            "recipe": self.recipe.recipe,
            "recipe-path": path,
            "recipe-pointer": destination,
        }
        prefix = "" if mangle is None else "raw_"
        if mangle is not None:
            message = mangle(message)
        for key, method in (("queue", f"{prefix}send"), ("topic", f"{prefix}broadcast")):
            if node.get(key):
                send = getattr(self.transport, method)
                send(node[key], message, headers={**(header or {}), "workflows-recipe": True}, **options)
