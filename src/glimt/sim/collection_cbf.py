"""Writes CBF files as detectors do: whole under another name, or growing where everybody sees them."""

from __future__ import annotations

import os
import threading
import time
from random import Random

from glimt.sim.collection_plan import CollectionPlan, Due
from glimt.sim.faults import Action, garbage, truncated

_PIECES = 4


class CbfWriter:
    """Writes the files of a collection.

    Parameters
    ----------
    plan : CollectionPlan
        What, and how.
    files : list of bytes
        Contents, used in turn.
    """

    def __init__(self, plan: CollectionPlan, files: list[bytes]) -> None:
        self._plan, self._files = plan, files

    def path_of(self, number: int) -> str:
        """Return the file of an image, from 0."""
        return self._plan.pattern % (self._plan.first_number + number)

    def write(self, due: Due, random: Random, stop: threading.Event) -> tuple[int, int]:
        """Write a file; return when it was made and when it was whole, UTC [ns]."""
        content = self._files[due.number % len(self._files)]
        if due.action is Action.TRUNCATE:
            content = truncated(content)
        elif due.action is Action.GARBAGE:
            content = garbage(random, content)
        times = self._write(self.path_of(due.number), content, stop)
        if due.action is Action.DUPLICATE:
            times = times[0], self._write(self.path_of(due.number), content, stop)[1]
        return times

    def _write(self, path: str, content: bytes, stop: threading.Event) -> tuple[int, int]:
        folder, name = os.path.split(path)
        open_path = os.path.join(folder, f".{name}.part") if self._plan.writing == "rename" else path
        n_pieces = _PIECES if self._plan.writing == "grow" else 1
        size = -(-len(content) // n_pieces)
        with open(open_path, "wb", buffering=0) as file:
            began_ns = time.time_ns()
            for k in range(n_pieces):
                if k and self._plan.grow_s:
                    stop.wait(self._plan.grow_s / (n_pieces - 1))
                file.write(content[k * size : (k + 1) * size])
        if open_path != path:
            os.replace(open_path, path)
            began_ns = time.time_ns()
        return began_ns, time.time_ns()

    def close(self) -> None:
        """Do nothing: every file is closed."""
