"""Who receives from a SQLite broker, and whether a receiver's process is still there."""

from __future__ import annotations

import functools
import os
import time
from dataclasses import dataclass
from pathlib import Path

LEASE_S = 5.0
"""After this time without renewal a receiver counts as gone, if nobody can look whether its process lives."""

_LIVING_LEASE_S = 60.0
"""The same for a process that is there and runs: its threads may have been kept from it by compiled code."""


@dataclass(frozen=True, slots=True)
class OwnerProcess:
    """The process of a receiver; no other ever had, or will have, the same values.

    Attributes
    ----------
    boot : str
        Which start of the machine; empty where the system does not tell.
    namespace : int
        In which ``pid`` counts (containers have their own).
    pid : int
    started : int
        [clock ticks since boot].
    """

    boot: str
    namespace: int
    pid: int
    started: int


@functools.cache
def _system() -> tuple[str, int]:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return boot, Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return "", 0


def boot_id() -> str:
    """Return which start of the machine this is; empty where the system does not tell."""
    return _system()[0]


def this_process() -> OwnerProcess:
    """Return who we are."""
    boot, namespace = _system()
    known = _state_and_start(os.getpid())
    return OwnerProcess(boot, namespace, os.getpid(), known[1] if known is not None else 0)


def is_gone(process: OwnerProcess, renewed_ns: int, *, trusts_leases: bool = True) -> bool:
    """Say whether a receiver is gone, so that its messages are another's.

    Parameters
    ----------
    process : OwnerProcess
    renewed_ns : int
        When it last said that it is there [ns, `lease_clock_ns`].
    trusts_leases : bool
        False if renewals may have failed for everybody, because the disk was full.
    """
    boot, namespace = _system()
    if process.boot != boot:
        return True
    allowed_s = LEASE_S
    if boot and process.namespace == namespace:
        known = _state_and_start(process.pid)
        if known is None or known[1] != process.started or known[0] in "ZX":
            return True
        allowed_s = LEASE_S if known[0] in "tT" else _LIVING_LEASE_S
    age_s = 1e-9 * (lease_clock_ns() - renewed_ns)
    # From the future: the machine was started anew, where the system does not tell so.
    return trusts_leases and (age_s > allowed_s or age_s < -1.0)


def lease_clock_ns() -> int:
    """Return the time that leases are measured in: nobody can set that clock, and all processes share it."""
    return time.monotonic_ns()


def _state_and_start(pid: int) -> tuple[str, int] | None:
    """Return the state (a letter) and the start time of a process, or ``None`` if there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The name, in brackets, may hold anything.
    fields = text[text.rindex(b")") + 2 :].split()
    return fields[0].decode(), int(fields[19])
