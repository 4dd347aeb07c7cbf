"""``workflows.recipe``: recipes, the wrapper of a message, and subscriptions that unwrap."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from glimt.compat.workflows.recipe.recipe import Recipe, validate_recipe
from glimt.compat.workflows.recipe.wrapper import RecipeWrapper

__all__ = ["Recipe", "RecipeWrapper", "validate_recipe", "wrap_subscribe", "wrap_subscribe_broadcast"]

_log = logging.getLogger("workflows.recipe")
_YES = (True, "True", "true", 1)


def wrap_subscribe(
    transport_layer: Any,
    channel: str,
    callback: Callable[..., Any],
    *args: Any,
    mangle_for_receiving: Callable[[Any], Any] | None = None,
    **kwargs: Any,
) -> Any:
    """Subscribe to a queue; the callback gets a `RecipeWrapper`, the header and the payload."""
    return _wrap(transport_layer, transport_layer.subscribe, channel, callback, args, mangle_for_receiving, kwargs)


def wrap_subscribe_broadcast(
    transport_layer: Any,
    channel: str,
    callback: Callable[..., Any],
    *args: Any,
    mangle_for_receiving: Callable[[Any], Any] | None = None,
    **kwargs: Any,
) -> Any:
    """Listen to a topic; as `wrap_subscribe`."""
    listen = transport_layer.subscribe_broadcast
    return _wrap(transport_layer, listen, channel, callback, args, mangle_for_receiving, kwargs)


def _wrap(
    transport: Any,
    subscribe: Callable[..., Any],
    channel: str,
    callback: Callable[..., Any],
    args: tuple[Any, ...],
    mangle: Callable[[Any], Any] | None,
    kwargs: dict[str, Any],
) -> Any:
    takes_plain = kwargs.pop("allow_non_recipe_messages", False)
    log_extender = kwargs.pop("log_extender", None)

    @functools.wraps(callback)
    def unwrap(header: Any, message: Any) -> Any:
        if mangle is not None:
            message = mangle(message)
        if header.get("workflows-recipe") not in _YES:
            if takes_plain:
                return callback(None, header, message)
            _log.error("the message belongs to no recipe, and this service takes no others")
            return transport.nack(header)
        wrapper = RecipeWrapper(message=message, transport=transport)
        with ExitStack() as stack:
            if log_extender and wrapper.environment.get("ID"):
                stack.enter_context(log_extender("recipe_ID", wrapper.environment["ID"]))
            return callback(wrapper, header, message.get("payload"))

    if mangle is not None:
        kwargs = {**kwargs, "disable_mangling": True}
    return subscribe(channel, unwrap, *args, **kwargs)
