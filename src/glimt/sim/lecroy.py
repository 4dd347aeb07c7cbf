"""A LeCroy oscilloscope behind MAX IV's MAUI server, in continuous mode (ZeroMQ PUB)."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from glimt.codecs.lecroy import MAX_CHANNELS, LecroyData, LecroyEnd, LecroyPrepare, LecroySeqEnd, LecroySeqStart
from glimt.codecs.restricted_pickle import dumps
from glimt.model.errors import UsageError
from glimt.sim.beam import Beam
from glimt.sim.device import Message, Series

SAMPLES = 1000
INTERVAL_S = 1.25e-11
_NOISE_V = 0.005
_PULSE_V = 0.2


@dataclass
class LecroyDevice:
    """Traces of a diode: a pulse as high as the beam is bright, with noise.

    Parameters
    ----------
    channels : int
        The oscilloscope's channels 1, 2, …
    seed, beam_period : int
        Of the noise, and of the `glimt.sim.beam.Beam`.
    stamp : bool
        Traces have ``sent_ns``, when they were made, UTC [ns].

    Raises
    ------
    UsageError
        There is no such oscilloscope.
    """

    channels: int = 2
    seed: int = 0
    beam_period: int = 0
    stamp: bool = False

    protocol: ClassVar[str] = "lecroy"
    frames_per_message: ClassVar[int] = 1
    message_bytes: ClassVar[int] = 8 * SAMPLES
    _pulse: npt.NDArray[np.float64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not 1 <= self.channels <= MAX_CHANNELS:
            raise UsageError(f"{self.channels} channels: 1 to {MAX_CHANNELS} are possible")
        self._beam = Beam(self.seed, self.beam_period)
        samples = np.arange(SAMPLES)
        self._pulse = _PULSE_V * np.exp(-0.5 * ((samples - SAMPLES // 2) / 20.0) ** 2)

    def start(self, series: Series) -> list[Message]:
        """Return the two messages before the first trace."""
        del series
        channels = [*range(1, self.channels + 1)]
        return [
            LecroyPrepare(frame=0).to_frames(),
            LecroySeqStart(frame=0, ntriggers=-1, seqno=0, channels=channels).to_frames(),
        ]

    def frames(self, series: Series, first: int, count: int) -> list[Message]:
        """Return the traces of all channels, and the message behind them."""
        del series, count
        random = np.random.default_rng([self.seed, first])
        now_ns = time.time_ns()
        keys: dict[str, Any] = {"sent_ns": now_ns} if self.stamp else {}
        messages: list[Message] = []
        for index in range(self.channels):
            trace = self._beam.intensity(first) * self._pulse + random.normal(0.0, _NOISE_V, SAMPLES)
            header = LecroyData(
                frame=first * self.channels + index,
                ch=index + 1,
                ts=now_ns * 1e-9,
                shape=[1, SAMPLES],
                dtype="float64",
                horiz_offset=-SAMPLES / 2 * INTERVAL_S,
                horiz_interval=INTERVAL_S,
                **keys,
            )
            messages.append([header.header_json(), trace.tobytes(), dumps([now_ns * 1e-9])])
        return [*messages, LecroySeqEnd(frame=(first + 1) * self.channels).to_frames()]

    def end(self, series: Series, n_frames: int) -> list[Message]:
        """Return the last message."""
        del series
        n_traces = n_frames * self.channels
        return [LecroyEnd(frame=n_traces, frames=n_traces).to_frames()]
