"""Calls a user's worker class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from glimt.model.errors import GlimtError, UsageError, UserCodeError
from glimt.pipeline.failure import Failure, describe_exception, user_trace
from glimt.pipeline.hooks import bind_hook
from glimt.pipeline.state import WorkerState
from glimt.pipeline.ticks import TickClock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glimt.pipeline.parameter_set import ParameterSet


def make_instance(cls: Any, parameters: ParameterSet, context: dict[str, Any], state: Any, *, what: str) -> Any:
    """Return an object of a user's class.

    Raises
    ------
    UsageError
        Its constructor needs arguments that glimt does not have.
    UserCodeError
        Its constructor raises.
    """
    construct = bind_hook(cls, ("parameters", "context", "state"), prefer_keywords=True, what=what)
    try:
        return construct(parameters.values, context, state)
    except GlimtError:
        raise
    except (Exception, SystemExit) as error:  # user code
        raise UserCodeError(f"making {what} raised {describe_exception(error)}", trace=user_trace(error)) from error


class WorkerRunner:
    """One object of a user's worker class.

    Parameters
    ----------
    cls : class
        With ``process_event`` and optionally ``finish``, ``get_tick_interval``, ``close``.
    name : str
        Name of the worker.
    parameters : ParameterSet
        Its ``values`` are what the hooks are given.
    context : dict, optional
        What the constructor is given as ``context``: lives as long as the process, over several objects of the class.
    tags : sequence of str
        What kinds of events it takes.

    Attributes
    ----------
    hook : callable
        The user's ``process_event``, to be called with event, parameters and tick whatever its signature; what it
        raises is the caller's to catch and to give to `failure`.
    n_failures : int
        Calls that raised.

    Raises
    ------
    UsageError, UserCodeError
        The class has no ``process_event``, or cannot be made.
    """

    def __init__(
        self,
        cls: Any,
        *,
        name: str,
        parameters: ParameterSet,
        context: dict[str, Any] | None = None,
        tags: Sequence[str] = ("generic",),
    ) -> None:
        self.name = name
        self.n_failures = 0
        self.parameters = parameters
        self._context: dict[str, Any] = {} if context is None else context
        self._what = getattr(cls, "__qualname__", str(cls))
        if not callable(getattr(cls, "process_event", None)):
            raise UsageError(f"{self._what} has no method process_event(self, event, parameters=None)")
        self._worker = make_instance(cls, parameters, self._context, WorkerState(name, list(tags)), what=self._what)
        self.hook = bind_hook(
            self._worker.process_event, ("event", "parameters", "tick"), what=f"{self._what}.process_event"
        )
        self._clock: TickClock | None = None
        if hasattr(self._worker, "get_tick_interval"):
            interval = bind_hook(self._worker.get_tick_interval, ("parameters",))
            self._clock = TickClock(lambda: float(interval(parameters.values)))

    @property
    def needs_times(self) -> bool:
        """Whether the worker asks for ticks, which need the events' times."""
        return self._clock is not None

    def tick(self, index: int, when_ns: int, previous_ns: int) -> bool:
        """Tell whether an event ticks; see `TickClock.tick`. Raises what ``get_tick_interval`` raises."""
        return self._clock is not None and self._clock.tick(index, when_ns, previous_ns)

    def failure(self, error: BaseException, event_number: int) -> Failure:
        """Count and describe what `hook` or `tick` raised."""
        self.n_failures += 1
        return Failure.from_exception(error, event_number=event_number, hook=f"{self._what}.process_event")

    def finish(self) -> Failure | None:
        """Run the optional ``finish``."""
        return self._optional("finish", self.parameters.values, "parameters")

    def close(self) -> Failure | None:
        """Run the optional ``close``, which is given the context."""
        return self._optional("close", self._context, "context")

    def _optional(self, hook: str, argument: Any, name: str) -> Failure | None:
        method = getattr(self._worker, hook, None)
        if method is None:
            return None
        try:
            bind_hook(method, (name,), what=f"{self._what}.{hook}")(argument)
        except (Exception, SystemExit) as error:  # user code
            self.n_failures += 1
            return Failure.from_exception(error, event_number=-1, hook=f"{self._what}.{hook}")
        return None
