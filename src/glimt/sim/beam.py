"""The beam that all simulated devices of one beamline see: it drifts slowly and jitters from frame to frame."""

from __future__ import annotations

import numpy as np

from glimt.model.errors import UsageError

MAX_PERIOD = 1_000_000
_MEAN, _DRIFT, _JITTER, _MAX_JITTER = 0.8, 0.12, 0.025, 0.075
_STREAM = 0xBEA3
"""Keeps the beam's random numbers apart from those of the pictures of the same seed."""


class Beam:
    """Intensity by frame number, the same in every process that has seed and period.

    Parameters
    ----------
    seed : int
        That of the devices.
    period : int
        Frames after which it repeats; 0 is a steady beam of intensity 1.

    Raises
    ------
    UsageError
        The period is negative or has more than `MAX_PERIOD` frames.
    """

    def __init__(self, seed: int, period: int) -> None:
        if not 0 <= period <= MAX_PERIOD:
            raise UsageError(f"a beam that repeats after {period} frames: 0 (steady) to {MAX_PERIOD:,} are possible")
        if seed < 0:
            raise UsageError(f"seed {seed} is negative; 0 or more is needed")
        self.period = period
        if not period:
            self._values = [1.0]
            return
        phase = np.arange(period) / period
        noise = np.random.default_rng([seed, _STREAM]).normal(0.0, _JITTER, period)
        values = _MEAN + _DRIFT * np.cos(2 * np.pi * phase) + np.clip(noise, -_MAX_JITTER, _MAX_JITTER)
        self._values = values.tolist()

    def intensity(self, number: int) -> float:
        """Return the intensity at frame ``number``, 0.6 to 1."""
        return self._values[number % len(self._values)]
