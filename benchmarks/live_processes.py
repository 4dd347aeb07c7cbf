"""What processes use, read from the system: seconds of CPU and memory."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory of a process [MB].

    Attributes
    ----------
    own_mb : float
        Its own pages.
    shared_mb : float
        Pages of memory that it shares with others: each of these shows the same ones.
    """

    own_mb: float
    shared_mb: float


def cpu_s(process_id: int) -> float:
    """Return the CPU time that a process has used so far [s]."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(process_id: int) -> Memory:
    """Return the memory of a process now."""
    values = {}
    for line in Path(f"/proc/{process_id}/status").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name.startswith("Rss"):
            values[name] = int(rest.split()[0]) * 1024 / 1e6
    return Memory(values["RssAnon"] + values["RssFile"], values["RssShmem"])


def children(process_id: int) -> list[int]:
    """Return the child processes of a process."""
    tasks = Path(f"/proc/{process_id}/task/{process_id}/children")
    return [int(child) for child in tasks.read_text().split()]
