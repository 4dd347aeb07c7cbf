"""An AlbaEM electrometer that reads the four quadrants of a beam monitor (ZeroMQ PUB, JSON)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, ClassVar

from glimt.codecs.albaem import AlbaemData, AlbaemEnd, AlbaemStart
from glimt.sim.beam import Beam
from glimt.sim.device import Message, Series

CURRENT_A = 1e-9
"""Sum of all channels at intensity 1 [A]."""
SHARES = (0.28, 0.22, 0.26, 0.24)
"""How much of it each quadrant sees."""


@dataclass
class AlbaemDevice:
    """An electrometer with four channels, whose sum is the intensity of the beam.

    Parameters
    ----------
    seed, beam_period : int
        Of the `glimt.sim.beam.Beam` that it sees.
    stamp : bool
        Samples have ``sent_ns``, when they were made, UTC [ns].
    """

    seed: int = 0
    beam_period: int = 0
    stamp: bool = False

    protocol: ClassVar[str] = "albaem"
    frames_per_message: ClassVar[int] = 1
    message_bytes: ClassVar[int] = 300

    def __post_init__(self) -> None:
        self._beam = Beam(self.seed, self.beam_period)

    def start(self, series: Series) -> list[Message]:
        """Return the start message."""
        return [AlbaemStart(message_id=series.first_message + 1, version=1).to_frames()]

    def frames(self, series: Series, first: int, count: int) -> list[Message]:
        """Return one sample."""
        del count
        current_a = CURRENT_A * self._beam.intensity(first)
        now_ns = time.time_ns()
        channels: dict[str, Any] = {f"channel{index}": share * current_a for index, share in enumerate(SHARES, start=1)}
        if self.stamp:
            channels["sent_ns"] = now_ns
        sample = AlbaemData(
            message_id=series.first_message + 2 + first,
            version=1,
            frame_number=first,
            timestamp=first * series.period_s,
            acquisition_timestamp=now_ns,
            **channels,
        )
        return [sample.to_frames()]

    def end(self, series: Series, n_frames: int) -> list[Message]:
        """Return the end message."""
        keys: dict[str, Any] = {"detector_specific": {"read_overflow": False, "memory_overflow": False}}
        end = AlbaemEnd(
            message_id=series.first_message + 2 + n_frames,
            version=1,
            **keys,
        )
        return [end.to_frames()]
