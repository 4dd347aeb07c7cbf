"""How services are, as the page of services shows it: a table, rates, and the account for the dock."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from glimt.app.serve_page_tree import Column, table
from glimt.app.serve_state import ServedState
from glimt.services.service_activity import COUNTS, ServiceState

WINDOW_S = 5.0
"""Rates are those of so many seconds."""

_COLUMNS: tuple[Column, ...] = (
    ("service", "text"),
    ("state", "text"),
    ("instances", "count"),
    ("pid", "text"),
    ("done", "count"),
    ("rejected", "count"),
    ("failed", "count"),
    ("retried", "count"),
    ("per s", "text"),
    ("silent, s", "number"),
    ("starts", "count"),
)
_LONG_S = 2.0
_MOST_PIDS = 16


class _Sample(NamedTuple):
    at: float
    counts: dict[str, int]
    busy_s: dict[str, float]


class ServiceAccounts:
    """Makes of the states of services, looked at about once a second, what is shown of them.

    Parameters
    ----------
    look : callable
        Returns all instances, as they are.
    clock : callable
        The time [s], as the activities have it.
    """

    def __init__(
        self, look: Callable[[], Sequence[ServedState]], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._look, self._clock = look, clock
        self._began = clock()
        self._samples: deque[_Sample] = deque()
        self._last_s: dict[str, float] = {}
        self._states: Sequence[ServedState] = ()

    def take(self) -> dict[str, Any]:
        """Look, and return what is shown now."""
        now, states = self._clock(), self._look()
        counts = {state.label: sum(state.activity.counts.values()) for state in states}
        before = self._samples[-1].counts if self._samples else {}
        for label, count in counts.items():
            if count != before.get(label, 0):
                self._last_s[label] = now
        busy_s = {state.label: state.activity.spent_s[ServiceState.PROCESSING] for state in states}
        self._samples.append(_Sample(now, counts, busy_s))
        while len(self._samples) > 2 and now - self._samples[1].at >= WINDOW_S:
            self._samples.popleft()
        self._states = states
        return {"services": self._table(now), **self._numbers()}

    def health(self) -> dict[str, Any]:
        """Return the account that the page's dock shows, as of the last look."""
        states = self._states
        gone = [state.label for state in states if state.pid is None and state.is_over]
        return {
            "state": "running" if any(state.pid is not None for state in states) else "starting",
            "reason": f"{', '.join(gone)} ended and {'is' if len(gone) == 1 else 'are'} not started again"
            if gone
            else "",
            "uptime_s": round(self._clock() - self._began, 1),
            "workers": {state.label: self._worker(state) for state in states},
        }

    def _worker(self, state: ServedState) -> dict[str, Any]:
        counts = state.activity.counts
        first, last = self._samples[0], self._samples[-1]
        window = last.at - first.at
        busy = (last.busy_s.get(state.label, 0.0) - first.busy_s.get(state.label, 0.0)) / window if window else 0.0
        return {
            "state": _DOTS.get(state.activity.state, "starting") if state.pid is not None else "failed",
            "n_events": counts["handled"],
            "n_failures": counts["failed"] + counts["rejected"],
            "event_rate": round(self._rate([state.label]), 3),
            "busy": round(min(max(busy, 0.0), 1.0), 3),
            "n_restarts": max(state.n_starts - 1, 0),
        }

    def _rate(self, labels: Sequence[str]) -> float:
        first, last = self._samples[0], self._samples[-1]
        if last.at <= first.at:
            return 0.0
        return sum(last.counts.get(label, 0) - first.counts.get(label, 0) for label in labels) / (last.at - first.at)

    def _numbers(self) -> dict[str, Any]:
        labels: dict[str, list[str]] = {}
        for state in self._states:
            labels.setdefault(state.name, []).append(state.label)
        numbers: dict[str, Any] = {"messages": self._rate([state.label for state in self._states])}
        if "per_image_analysis" in labels:
            numbers["images"] = self._rate(labels["per_image_analysis"])
        if "ispyb" in labels:
            numbers["results_written"] = sum(
                state.activity.counts["handled"] for state in self._states if state.name == "ispyb"
            )
        return numbers

    def _table(self, now: float) -> Any:
        rows = []
        for name in dict.fromkeys(state.name for state in self._states):
            mine = [state for state in self._states if state.name == name]
            counts = {key: sum(state.activity.counts[key] for state in mine) for key in COUNTS}
            last = max((self._last_s.get(state.label, -math.inf) for state in mine), default=-math.inf)
            states = Counter(state_text(state, now) for state in mine)
            rows.append(
                (
                    name,
                    ", ".join(text if len(mine) == 1 else f"{n} × {text}" for text, n in states.items()),
                    len(mine),
                    " ".join(str(state.pid) for state in mine[:_MOST_PIDS] if state.pid is not None),
                    counts["handled"],
                    counts["rejected"],
                    counts["failed"],
                    counts["retried"],
                    f"{self._rate([state.label for state in mine]):.1f}",
                    round(now - last, 0) if last > -math.inf else None,
                    sum(state.n_starts for state in mine),
                )
            )
        return table(_COLUMNS, rows)


_DOTS = {
    ServiceState.PROCESSING: "busy",
    ServiceState.IDLE: "ready",
    ServiceState.TIMER: "busy",
    ServiceState.ERROR: "failed",
}


def state_text(state: ServedState, now: float) -> str:
    """Return the state of an instance in words."""
    if state.pid is None:
        return "ended" if state.is_over else "starting again" if state.n_starts else "starting"
    age_s = now - state.activity.since
    if state.activity.state is ServiceState.PROCESSING and age_s >= _LONG_S:
        return f"processing since {age_s:.0f} s"
    return state.activity.state.text
