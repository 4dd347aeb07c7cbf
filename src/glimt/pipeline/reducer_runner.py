"""Calls a user's reducer class."""

from __future__ import annotations

import contextlib
import math
import threading
from typing import TYPE_CHECKING, Any

from glimt.model.errors import UsageError
from glimt.pipeline.failure import Failure
from glimt.pipeline.hooks import bind_hook
from glimt.pipeline.state import ReducerState
from glimt.pipeline.worker_runner import make_instance

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from glimt.model.event import ResultData
    from glimt.pipeline.kept_scalars import KeptScalars
    from glimt.pipeline.parameter_set import ParameterSet

_DEFAULT_DELAY_S = 1.0
_LONGEST_DELAY_S = 3600.0


class ReducerRunner:
    """The one object of a user's reducer class.

    Parameters
    ----------
    cls : class
        With ``process_result`` and optionally ``timer``, ``finish``, ``close``, and the attributes ``publish`` (a dict)
        and ``publish_rlock`` (a context manager).
    parameters : ParameterSet
        Its ``values`` are what the hooks are given.
    on_failure : callable
        Called with the `Failure` of a ``timer`` that raised, from the timer's thread.
    context : dict, optional
        What the constructor is given as ``context``: lives as long as the process, over several objects of the class.
    url : str
        Where results are sent; empty in replay.

    Attributes
    ----------
    n_results : int
        Results that ``process_result`` took.
    newest_event : int or None
        Highest event number among them.
    reducer : object
        The user's.
    scalars : KeptScalars or None
        Of the streams, for a page; kept only where somebody has set this.

    Raises
    ------
    UsageError, UserCodeError
        The class has no ``process_result``, or cannot be made.
    """

    def __init__(
        self,
        cls: Any,
        *,
        parameters: ParameterSet,
        on_failure: Callable[[Failure], None],
        context: dict[str, Any] | None = None,
        url: str = "",
    ) -> None:
        self.parameters = parameters
        self.n_results = 0
        self.newest_event: int | None = None
        self.scalars: KeptScalars | None = None
        self._on_failure = on_failure
        self._context: dict[str, Any] = {} if context is None else context
        self._what = getattr(cls, "__qualname__", str(cls))
        if not callable(getattr(cls, "process_result", None)):
            raise UsageError(f"{self._what} has no method process_result(self, result, parameters=None)")
        self.reducer = make_instance(cls, parameters, self._context, ReducerState(url=url), what=self._what)
        self._process = bind_hook(
            self.reducer.process_result, ("result", "parameters"), what=f"{self._what}.process_result"
        )
        self._stop_timer = threading.Event()
        self._timer: threading.Thread | None = None

    def process(self, result: ResultData) -> Failure | None:
        """Run ``process_result``; the result must share nothing with the worker."""
        try:
            self._process(result, self.parameters.values)
        except (Exception, SystemExit) as error:  # user code: this result failed, the run goes on
            return Failure.from_exception(error, event_number=result.event_number, hook=f"{self._what}.process_result")
        self.n_results += 1
        if self.newest_event is None or result.event_number > self.newest_event:
            self.newest_event = result.event_number
        return None

    def start_timer(self) -> None:
        """Start calling the optional ``timer``, in a thread of its own: it returns the seconds to its next call."""
        method = getattr(self.reducer, "timer", None)
        if method is None:
            return
        timer = bind_hook(method, ("parameters",), what=f"{self._what}.timer")

        def run() -> None:
            delay = 0.0
            while not self._stop_timer.wait(delay):
                try:
                    asked = timer(self.parameters.values)
                    delay = _DEFAULT_DELAY_S if asked is None else min(max(float(asked), 0.0), _LONGEST_DELAY_S)
                    if math.isnan(delay):
                        raise ValueError("timer must return seconds, got nan")
                except (Exception, SystemExit) as error:  # user code: the timer goes on, once a second
                    self._on_failure(Failure.from_exception(error, event_number=-1, hook=f"{self._what}.timer"))
                    delay = _DEFAULT_DELAY_S

        self._timer = threading.Thread(target=run, name="reducer timer", daemon=True)
        self._timer.start()

    def stop_timer(self) -> None:
        """Stop calling ``timer`` and wait for a call that runs, a few seconds at most."""
        self._stop_timer.set()
        if self._timer is not None:
            self._timer.join(timeout=5.0)

    def finish(self) -> Failure | None:
        """Run the optional ``finish``."""
        return self._optional("finish", self.parameters.values, "parameters")

    def close(self) -> Failure | None:
        """Run the optional ``close``, which is given the context."""
        return self._optional("close", self._context, "context")

    def _optional(self, hook: str, argument: Any, name: str) -> Failure | None:
        method = getattr(self.reducer, hook, None)
        if method is None:
            return None
        try:
            bind_hook(method, (name,), what=f"{self._what}.{hook}")(argument)
        except (Exception, SystemExit) as error:  # user code
            return Failure.from_exception(error, event_number=-1, hook=f"{self._what}.{hook}")
        return None

    def tree(self) -> tuple[Mapping[str, Any], AbstractContextManager[Any]]:
        """Return what the reducer publishes, and the lock to hold while reading it."""
        published = getattr(self.reducer, "publish", None)
        lock = getattr(self.reducer, "publish_rlock", None)
        return (published if isinstance(published, dict) else {}), lock or contextlib.nullcontext()
