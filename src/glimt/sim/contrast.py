"""MAX IV's acquisition framework Contrast (ZeroMQ PUB, a pickled dict a point)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from glimt.codecs.contrast import ContrastFinished, ContrastHeartbeat, ContrastRunning, ContrastStarted
from glimt.sim.beam import Beam
from glimt.sim.device import Message, Series
from glimt.sim.pandabox import COUNTS


@dataclass
class ContrastDevice:
    """Scans the motor ``sx``; each point has ``i0`` as a number and, as from a PandABox, as an array in ``panda0``.

    Points have no number of their own in this protocol.

    Parameters
    ----------
    filename : str
        Directory the scan is said to be written to; nothing is written.
    seed, beam_period : int
        Of the `glimt.sim.beam.Beam`.
    stamp : bool
        Points have ``sent_ns``, when they were made, UTC [ns].
    """

    filename: str = ""
    seed: int = 0
    beam_period: int = 0
    stamp: bool = False

    protocol: ClassVar[str] = "contrast"
    frames_per_message: ClassVar[int] = 1
    message_bytes: ClassVar[int] = 500

    def __post_init__(self) -> None:
        self._beam = Beam(self.seed, self.beam_period)

    def _description(self, series: Series) -> str:
        return f"ascan sx -1 1 {max(0, series.n_frames - 1)} {series.period_s:g}"

    def start(self, series: Series) -> list[Message]:
        """Return a heartbeat, as there is between scans, and the start message."""
        start = ContrastStarted(path=self.filename, scannr=series.series_id, description=self._description(series))
        return [ContrastHeartbeat().to_frames(), start.to_frames()]

    def frames(self, series: Series, first: int, count: int) -> list[Message]:
        """Return one point."""
        del count
        i0 = COUNTS * self._beam.intensity(first)
        keys: dict[str, Any] = {
            "sx": series.position(first),
            "i0": i0,
            "panda0": {"COUNTER1.OUT_Value": np.array([i0])},
        }
        if self.stamp:
            keys["sent_ns"] = time.time_ns()
        return [ContrastRunning(dt=first * series.period_s, **keys).to_frames()]

    def end(self, series: Series, n_frames: int) -> list[Message]:
        """Return the end message."""
        del n_frames
        end = ContrastFinished(path=self.filename, scannr=series.series_id, description=self._description(series))
        return [end.to_frames()]
