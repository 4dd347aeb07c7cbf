"""What went wrong in user code during a run, and what the operator was told: the first few in words, all as numbers."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from glimt.pipeline.failure import Failure

log = logging.getLogger("glimt")

_SHOWN_FAILURES = 10
_SHOWN_TRACES = 3


class FailureLog:
    """Counts failures and logs the first ones; may be told of them by several threads.

    Attributes
    ----------
    failures : list of str
        The first calls of user code that raised, one line each.
    n_failures : dict of str to int
        By role.
    remarks : list of str
        What the operator was told.
    """

    def __init__(self) -> None:
        self.failures: list[str] = []
        self.n_failures: dict[str, int] = {}
        self.remarks: list[str] = []
        self._lock = threading.Lock()

    def remark(self, text: str) -> None:
        """Tell the operator something."""
        self.remarks.append(text)
        log.warning("%s", text)

    def take(self, role: str, failures: Sequence[Failure], n_failures: int) -> None:
        """Take note of ``n_failures`` calls that raised, of which ``failures`` are the first."""
        with self._lock:
            before = sum(self.n_failures.values())
            self.n_failures[role] = self.n_failures.get(role, 0) + n_failures
        for number, failure in enumerate(failures, start=before):
            if number < _SHOWN_FAILURES:
                self.failures.append(f"{role}: {failure}")
            if number < _SHOWN_TRACES and failure.trace:
                log.error("%s: %s\n%s", role, failure, failure.trace)
            elif number < _SHOWN_FAILURES:
                log.error("%s: %s", role, failure)
            elif number == _SHOWN_FAILURES:
                log.error("further failures are counted, not shown")
