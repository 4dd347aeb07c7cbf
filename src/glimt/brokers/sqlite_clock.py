"""The time that a broker's file is written in: nobody can set it, and all processes of the machine share it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable

_WHICH = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def since_boot_ns() -> int:
    """Return the time since the machine was started [ns], sleep included where the system counts it."""
    return time.clock_gettime_ns(_WHICH)


def known_clock(connection: sqlite3.Connection, boot: str) -> Callable[[], int] | None:
    """Return the clock of a file, or ``None`` if it must be set: see `set_clock`."""
    if not boot:
        return time.time_ns
    row = connection.execute("SELECT offset_ns FROM clock WHERE boot = ?", (boot,)).fetchone()
    return None if row is None else _running(int(row[0]))


def set_clock(connection: sqlite3.Connection, boot: str) -> Callable[[], int]:
    """Set the clock of a file by the time of day, but never back, if nobody did so; part of a transaction that writes.

    From then on it runs by the machine's own clock until the machine is started anew, whatever the time of day is set
    to. So what waits for its time waits as long as it was told to; the time that the machine was off counts as far as
    the time of day tells it.
    """
    known = known_clock(connection, boot)
    if known is not None:
        return known
    row = connection.execute("SELECT seen_ns FROM clock").fetchone()
    now_ns = max(time.time_ns(), 0 if row is None else int(row[0]))
    offset_ns = now_ns - since_boot_ns()
    connection.execute("DELETE FROM clock")
    connection.execute("INSERT INTO clock VALUES (?, ?, ?)", (boot, offset_ns, now_ns))
    return _running(offset_ns)


def _running(offset_ns: int) -> Callable[[], int]:
    return lambda: since_boot_ns() + offset_ns
