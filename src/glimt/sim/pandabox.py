"""A PandABox behind MAX IV's Tango device (ZeroMQ PUB, JSON with a list a channel)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

from glimt.codecs.pandabox import PcapData, PcapEnd, PcapStart
from glimt.model.errors import UsageError
from glimt.sim.beam import Beam
from glimt.sim.device import Message, Series

COUNTS = 100_000.0
"""The I0 counter at intensity 1."""
MAX_FRAMES_PER_MESSAGE = 10_000


@dataclass
class PandaboxDevice:
    """Captures at each trigger a motor (``position``), an I0 counter (``i0``) and the ``triggernumber``.

    Parameters
    ----------
    seed, beam_period : int
        Of the `glimt.sim.beam.Beam` that it sees.
    frames_per_message : int
        Triggers that are sent together.
    stamp : bool
        Messages have ``sent_ns``, when they were made, UTC [ns].

    Raises
    ------
    UsageError
        A message cannot hold so many triggers.
    """

    seed: int = 0
    beam_period: int = 0
    frames_per_message: int = 1
    stamp: bool = False

    protocol: ClassVar[str] = "pandabox"
    message_bytes: ClassVar[int] = 500

    def __post_init__(self) -> None:
        if not 1 <= self.frames_per_message <= MAX_FRAMES_PER_MESSAGE:
            raise UsageError(
                f"{self.frames_per_message} frames a message: 1 to {MAX_FRAMES_PER_MESSAGE:,} are possible"
            )
        self._beam = Beam(self.seed, self.beam_period)

    def start(self, series: Series) -> list[Message]:
        """Return the start message."""
        return [PcapStart(message_id=series.first_message + 1, version=1, arm_time=datetime.now(UTC)).to_frames()]

    def frames(self, series: Series, first: int, count: int) -> list[Message]:
        """Return one message of ``count`` triggers."""
        numbers = range(first, first + count)
        keys: dict[str, Any] = {
            "triggernumber": [float(number + 1) for number in numbers],
            "position": [series.position(number) for number in numbers],
            "i0": [COUNTS * self._beam.intensity(number) for number in numbers],
        }
        if self.stamp:
            keys["sent_ns"] = time.time_ns()
        message_id = series.first_message + 2 + first // self.frames_per_message
        return [PcapData(message_id=message_id, version=1, frame_number=first, **keys).to_frames()]

    def end(self, series: Series, n_frames: int) -> list[Message]:
        """Return the end message."""
        message_id = series.first_message + 2 - (-n_frames // self.frames_per_message)
        return [PcapEnd(message_id=message_id, version=1).to_frames()]
