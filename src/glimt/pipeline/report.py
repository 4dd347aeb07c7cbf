"""The account of a run: every event is reduced, has no result by its worker's choice, or failed visibly."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from glimt.pipeline.failure import Failure

log = logging.getLogger("glimt")

_LOGGED_TRACES = 3
_LOGGED_FAILURES = 10


@dataclass(slots=True)
class RunReport:
    """What a run did.

    Attributes
    ----------
    n_events : int
        Events that were given to a worker (an event that went to several counts once).
    n_results : int
        Results that the reducer took.
    n_failures : int
        Calls of user code that raised.
    failures : list of Failure
        The first of them.
    errors : list of str
        What kept the run from being whole: a truncated capture, a worker process that died.
    elapsed_s : float
        From the first event to the end of ``finish`` [s].
    """

    n_events: int = 0
    n_results: int = 0
    n_failures: int = 0
    failures: list[Failure] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    elapsed_s: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add_failure(self, failure: Failure) -> None:
        """Count and log a failure; of many only the first are logged, with traceback the very first."""
        with self._lock:
            self.n_failures += 1
            number = self.n_failures
            if number <= _LOGGED_FAILURES:
                self.failures.append(failure)
        if number <= _LOGGED_TRACES and failure.trace:
            log.error("%s\n%s", failure, failure.trace)
        elif number <= _LOGGED_FAILURES:
            log.error("%s", failure)
        if number == _LOGGED_FAILURES:
            log.error("further failures are counted, not shown")

    def add_error(self, error: str) -> None:
        """Keep and log what went wrong outside user code."""
        self.errors.append(error)
        log.error("%s", error)

    @property
    def is_whole(self) -> bool:
        """Whether nothing failed."""
        return not self.n_failures and not self.errors
