"""By which clock the times in a watch's message were written, so that they stay right when somebody sets that clock.

The message says by how much the time of day was ahead of the machine's other clock, which nobody sets. All processes of
a machine share that one until it is started anew; another machine does not know, and takes the times as they are.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from glimt.services.clock_jumps import JUMP_S, ClockJumps


class ClockStamp(NamedTuple):
    """Which clocks, and by how much the time of day was ahead of the other one [s]."""

    machine: str
    offset_s: float


class WatchClock:
    """The clocks of this machine.

    Parameters
    ----------
    clock : callable
        The time, UTC [s].
    monotonic : callable
        The time since the machine was started [s].
    """

    def __init__(self, clock: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._clocks = ClockJumps(clock, monotonic)

    def stamp(self) -> ClockStamp | None:
        """Return what a message says; ``None`` where the system does not tell when it was started."""
        return ClockStamp(machine(), round(self._clocks.offset_s(), 3)) if machine() else None

    def jumped_by_s(self, since: ClockStamp | None) -> float:
        """Return by how much the time of day was set since a message was written [s]; 0 if that is not known."""
        now = self.stamp()
        if since is None or now is None or since.machine != now.machine:
            return 0.0
        jump_s = now.offset_s - since.offset_s
        return jump_s if abs(jump_s) > JUMP_S else 0.0


def read_stamp(value: Any) -> ClockStamp | None:
    """Return what a message says, ``None`` if it makes no sense."""
    if not (isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)):
        return None
    offset_s = value[1]
    if isinstance(offset_s, bool) or not isinstance(offset_s, (int, float)) or not abs(offset_s) < 1e12:
        return None
    return ClockStamp(value[0], float(offset_s))


@cache
def machine() -> str:
    """Return what no other machine has, nor this one after it was started anew; empty if that is not known."""
    try:
        identity = Path("/proc/sys/kernel/random/boot_id").read_bytes()
    except OSError:
        return ""
    return f"{zlib.crc32(identity):08x}"
