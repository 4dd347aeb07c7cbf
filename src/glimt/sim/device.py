"""What a simulated device is to the engine that sends its messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import zmq

Message = Sequence[bytes | zmq.Frame]
"""The parts of one message; large ones are ``zmq.Frame``, which are sent without a copy."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series as its device knows it.

    Parameters
    ----------
    series_id : int
        What protocols with numbered series say.
    first_message : int
        Running number of the start message; the messages of the frames follow it, whether or not they are sent.
    n_frames : int
        How many are planned; 0 means until it is stopped.
    period_s : float
        Time between triggers [s], 0 if there is no rate.
    """

    series_id: int
    first_message: int
    n_frames: int
    period_s: float

    def position(self, number: int) -> float:
        """Return where the scanned motor is at frame ``number`` [mm]: from -1 to 1 in a series, 0.01 a frame else."""
        if self.n_frames < 2:
            return 0.01 * number
        return 2.0 * number / (self.n_frames - 1) - 1.0


class Device(Protocol):
    """Makes the messages of one device; sends nothing, and knows of no fault."""

    @property
    def protocol(self) -> str:
        """Name of the wire protocol, as in `glimt.codecs.registry.PROTOCOLS`."""
        ...

    @property
    def frames_per_message(self) -> int:
        """How many frames one call of `frames` is about."""
        ...

    def start(self, series: Series) -> list[Message]:
        """Return what is sent before the first frame."""
        ...

    def frames(self, series: Series, first: int, count: int) -> list[Message]:
        """Return the messages of ``count`` frames from number ``first`` on; 1 unless messages hold more."""
        ...

    def end(self, series: Series, n_frames: int) -> list[Message]:
        """Return what is sent behind the last of ``n_frames`` frames."""
        ...
