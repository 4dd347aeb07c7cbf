"""Functions of other packages that the Dispatcher asks: Zocalo's entry points for readiness and filters."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from glimt.model.errors import GlimtError, RejectedMessageError

FILTERS = "zocalo.services.dispatcher.filters"
READINESS = "zocalo.services.dispatcher.ready_for_processing"

Message = dict[str, Any]

log = logging.getLogger(__name__)


class DispatcherExtensions:
    """The functions of an entry point group, loaded when they are first needed.

    Parameters
    ----------
    group : str
        `FILTERS` or `READINESS`.
    points : sequence of EntryPoint, optional
        Instead of the installed ones.
    """

    def __init__(self, group: str, points: Sequence[EntryPoint] | None = None) -> None:
        self._group, self._points = group, points
        self._loaded: dict[str, Callable[..., Any]] | None = None

    def call(self, message: Message, parameters: Message) -> list[Any]:
        """Return what each function says about a message.

        Raises
        ------
        RejectedMessageError
            One cannot be loaded or fails; the text names it.
        """
        return [self._checked(name, function, message, parameters) for name, function in self._functions().items()]

    def filtered(self, message: Message, parameters: Message) -> tuple[Message, Message]:
        """Return message and parameters as the functions change them, one after the other.

        Raises
        ------
        RejectedMessageError
            As `call`, or one returns something else.
        """
        for name, function in self._functions().items():
            answer = self._checked(name, function, message, parameters)
            if not isinstance(answer, tuple) or len(answer) != 2 or not all(isinstance(one, dict) for one in answer):
                raise RejectedMessageError(
                    f"the filter {name!r} returned {type(answer).__name__}; a message and parameters are needed"
                )
            message, parameters = answer
        return message, parameters

    def _functions(self) -> dict[str, Callable[..., Any]]:
        if self._loaded is None:
            loaded = {}
            for point in entry_points(group=self._group) if self._points is None else self._points:
                try:
                    loaded[point.name] = point.load()
                except Exception as error:  # noqa: BLE001 - importing another package raises what it likes
                    what = f"{point.name!r} ({point.value}) cannot be loaded"
                    raise RejectedMessageError(f"{self._group}: {what}: {type(error).__name__}: {error}") from None
            self._loaded = loaded
        return self._loaded

    def _checked(self, name: str, function: Callable[..., Any], message: Message, parameters: Message) -> Any:
        try:
            return function(message, parameters)
        except GlimtError:
            raise
        except Exception as error:
            log.exception("%s: %r failed", self._group, name)
            raise RejectedMessageError(f"{self._group}: {name!r} failed: {type(error).__name__}: {error}") from None
