"""What a service is doing and has done: Zocalo's status codes, counts of messages, time for each."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, MutableSequence
from typing import NamedTuple


class ServiceState(enum.IntEnum):
    """Zocalo's status codes of a service."""

    TEARDOWN = -2
    NONE = -1
    CONSTRUCTING = 0
    STARTING = 1
    IDLE = 2
    TIMER = 3
    PROCESSING = 4
    SHUTTING_DOWN = 5
    SHUTDOWN = 6
    ERROR = 7

    @property
    def text(self) -> str:
        """Zocalo's words for it."""
        return _TEXTS[self]


_TEXTS = {
    ServiceState.TEARDOWN: "shutdown",
    ServiceState.NONE: "no service loaded",
    ServiceState.CONSTRUCTING: "constructing",
    ServiceState.STARTING: "starting",
    ServiceState.IDLE: "idle",
    ServiceState.TIMER: "timer event",
    ServiceState.PROCESSING: "processing",
    ServiceState.SHUTTING_DOWN: "shutting down",
    ServiceState.SHUTDOWN: "shutdown",
    ServiceState.ERROR: "error",
}

COUNTS = ("handled", "rejected", "retried", "failed", "lost")
"""What became of messages: done; refused for good; given back on purpose; given back after an error; no longer ours."""

_STATE, _SINCE, _FIRST_COUNT = 0, 1, 2
_FIRST_TIME = _FIRST_COUNT + len(COUNTS)
_N_STATES = 10
_NEXT = _FIRST_TIME + _N_STATES
_FIRST_DURATION = _NEXT + 1
_N_DURATIONS = 512

N_CELLS = _FIRST_DURATION + _N_DURATIONS
"""So many numbers describe a service; in shared memory another process can read them while the service works."""


class Activity(NamedTuple):
    """What a service is doing and has done, at one moment.

    Attributes
    ----------
    state : ServiceState
    since : float
        When that began [s, as ``time.monotonic``].
    counts : dict of str to int
        What became of messages, for each of `COUNTS`.
    spent_s : dict of ServiceState to float
        Time in each state [s].
    median_s, p99_s : float or None
        Of the time for one of the last 512 messages [s]; ``None`` if there was none.
    """

    state: ServiceState
    since: float
    counts: dict[str, int]
    spent_s: dict[ServiceState, float]
    median_s: float | None
    p99_s: float | None


class ServiceActivity:
    """Keeps account of one service; one writer, any number of readers.

    Parameters
    ----------
    cells : mutable sequence of float or None
        Where the numbers are kept: `N_CELLS` zeros, perhaps in shared memory; ``None`` for a list of its own.
    clock : callable
        The time [s]; one that all processes of a machine share.
    """

    def __init__(
        self, cells: MutableSequence[float] | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._cells: MutableSequence[float] = [0.0] * N_CELLS if cells is None else cells
        self._clock = clock
        if not self._cells[_SINCE]:
            self._cells[_SINCE] = clock()

    def enter(self, state: ServiceState) -> None:
        """Begin something; what was before ends."""
        cells = self._cells
        if cells[_STATE] == state:
            return
        now = self._clock()
        cells[_FIRST_TIME + int(cells[_STATE]) + 2] += now - cells[_SINCE]
        cells[_SINCE] = now
        cells[_STATE] = float(state)

    def add(self, count: str, n: int = 1) -> None:
        """Count messages; ``count`` is one of `COUNTS`."""
        self._cells[_FIRST_COUNT + COUNTS.index(count)] += n

    def took(self, duration_s: float) -> None:
        """Remember how long a message took [s]."""
        number = int(self._cells[_NEXT])
        self._cells[_FIRST_DURATION + number % _N_DURATIONS] = duration_s
        self._cells[_NEXT] = number + 1

    def read(self) -> Activity:
        """Return the account as it stands."""
        cells = list(self._cells)
        state = ServiceState(int(cells[_STATE]))
        spent = {ServiceState(number - 2): cells[_FIRST_TIME + number] for number in range(_N_STATES)}
        spent[state] += max(self._clock() - cells[_SINCE], 0.0)
        n = min(int(cells[_NEXT]), _N_DURATIONS)
        durations = sorted(cells[_FIRST_DURATION : _FIRST_DURATION + n])
        return Activity(
            state=state,
            since=cells[_SINCE],
            counts={name: int(cells[_FIRST_COUNT + number]) for number, name in enumerate(COUNTS)},
            spent_s=spent,
            median_s=durations[n // 2] if n else None,
            p99_s=durations[min(n - 1, n * 99 // 100)] if n else None,
        )

    def restart(self) -> None:
        """Begin anew after the process ended, with the counts kept."""
        self.enter(ServiceState.CONSTRUCTING)


def metrics_text(services: dict[str, Activity]) -> str:
    """Return the accounts of services in the text format of Prometheus."""
    lines = ["# TYPE glimt_service_messages_total counter"]
    for name, activity in services.items():
        lines += [
            f'glimt_service_messages_total{{service="{_label(name)}",outcome="{outcome}"}} {count}'
            for outcome, count in activity.counts.items()
        ]
    lines.append("# TYPE glimt_service_message_seconds gauge")
    for name, activity in services.items():
        for quantile, value in (("0.5", activity.median_s), ("0.99", activity.p99_s)):
            if value is not None:
                labels = f'service="{_label(name)}",quantile="{quantile}"'
                lines.append(f"glimt_service_message_seconds{{{labels}}} {value:.6g}")
    lines.append("# TYPE glimt_service_state gauge")
    lines += [
        f'glimt_service_state{{service="{_label(name)}"}} {int(activity.state)}' for name, activity in services.items()
    ]
    return "\n".join(lines) + "\n"


def _label(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
