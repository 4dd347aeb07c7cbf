"""When a watch looks again: soon while something comes, seldom while nothing does."""

from __future__ import annotations

import math

from glimt.services.file_watcher_status import WatchStatus

SHORTEST_S = 0.002
LONGEST_S = 1.0
"""Zocalo's file watcher looks every second."""
LONGEST_BETWEEN_S = 0.05
"""While items come at a known pace."""
LONGEST_NOTICED_S = 0.1
"""Where the system gives notice, and this instance is busy with another watch."""


def next_look_s(status: WatchStatus, now: float, *, has_notice: bool) -> float:
    """Return when to look again after nothing new was found: a power of two in milliseconds, 2 to 1024.

    Few different delays, because RabbitMQ needs a queue for each.

    Parameters
    ----------
    status : WatchStatus
        What came when.
    now : float
        UTC [s].
    has_notice : bool
        The system says when something happens; this is only for when nobody listens.
    """
    since = status.started if status.last_seen is None else status.last_seen
    quiet_s = max(0.0, now - since)
    longest_s = LONGEST_NOTICED_S if has_notice else LONGEST_S
    between_s = _time_between(status)
    if between_s is not None and quiet_s < 4 * between_s + 1.0:
        longest_s = min(longest_s, max(LONGEST_BETWEEN_S, between_s / 20))
    wait_s = min(max(quiet_s / 4, SHORTEST_S), longest_s)
    return float(2 ** math.floor(math.log2(wait_s * 1000) + 1e-9)) / 1000


def _time_between(status: WatchStatus) -> float | None:
    """Return the mean time between items [s], ``None`` before the second one."""
    if status.first_seen is None or status.last_seen is None or status.n_seen < 2:
        return None
    return max(0.0, status.last_seen - status.first_seen) / (status.n_seen - 1)
