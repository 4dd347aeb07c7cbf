"""An Xspress3 behind MAX IV's Tango device (ZeroMQ PUB, JSON, spectra and pickled counters)."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import zmq

from glimt.codecs.restricted_pickle import dumps
from glimt.codecs.xspress3 import META_KEYS, XspressEnd, XspressImage, XspressStart
from glimt.model.errors import UsageError
from glimt.sim.beam import Beam
from glimt.sim.device import Message, Series
from glimt.sim.header_template import HeaderTemplate
from glimt.sim.picture_pool import as_part, pool_size

BINS = 4096
EV_PER_BIN = 10.0
MAX_CHANNELS = 64
LINES = ((3691.0, 40.0), (6404.0, 160.0), (7058.0, 25.0), (8048.0, 80.0))
"""Energy [eV] and height [counts] of the lines: calcium, iron (K alpha and beta) and copper."""
_SIGMA_EV = 65.0
_MAX_SPECTRA = 100
_CLOCK_HZ = 80_000_000


@dataclass
class Xspress3Device:
    """Fluorescence spectra of several channels.

    Parameters
    ----------
    channels : int
        Elements of the detector.
    split : bool
        An image is three messages of one part, as older devices send it, instead of one message of three.
    filename : str
        What the header says where spectra are written; nothing is written.
    seed, beam_period : int
        Of the spectra, and of the `glimt.sim.beam.Beam` that makes them.
    stamp : bool
        Images have ``sent_ns``, when they were made, UTC [ns].

    Raises
    ------
    UsageError
        There is no such detector.
    """

    channels: int = 4
    split: bool = False
    filename: str = ""
    seed: int = 0
    beam_period: int = 0
    stamp: bool = False

    protocol: ClassVar[str] = "xspress3"
    frames_per_message: ClassVar[int] = 1
    _pool: list[tuple[bytes | zmq.Frame, bytes]] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        if not 1 <= self.channels <= MAX_CHANNELS:
            raise UsageError(f"{self.channels} channels: 1 to {MAX_CHANNELS} are possible")
        self._beam = Beam(self.seed, self.beam_period)
        keys: dict[str, Any] = {"sent_ns": 0} if self.stamp else {}
        image = XspressImage(frame=0, shape=[self.channels, BINS], type="uint32", exptime=0.1, **keys)
        self._fill = HeaderTemplate(image.header_json(), ["frame", *keys]).fill

    @property
    def message_bytes(self) -> int:
        """About how large a message is."""
        return self.channels * BINS * 4

    def draw(self, n_frames: int) -> None:
        """Draw the spectra of a series of ``n_frames`` now, instead of at its start."""
        if self._pool:
            return
        count = pool_size(self.message_bytes, n_frames=n_frames, beam_period=self._beam.period)
        if not self._beam.period:
            count = min(count, _MAX_SPECTRA)
        random = np.random.default_rng(self.seed)
        energy = (np.arange(BINS) + 0.5) * EV_PER_BIN
        expected = 0.5 + sum(
            height * np.exp(-0.5 * ((energy - line) / _SIGMA_EV) ** 2) for line, height in LINES
        )  # fmt: skip
        for number in range(count):
            brightness = self._beam.intensity(number)
            spectra = random.poisson(brightness * expected, (self.channels, BINS)).astype(np.uint32)
            self._pool.append((as_part(spectra.tobytes()), self._counters(spectra)))

    def _counters(self, spectra: np.ndarray[tuple[int, int], np.dtype[np.uint32]]) -> bytes:
        events = spectra.sum(axis=1).astype(np.uint32)
        ticks = np.full(self.channels, math.ceil(0.1 * _CLOCK_HZ), np.uint32)
        resets = np.full(self.channels, 100, np.uint32)
        widths = np.full(self.channels, 6, np.int32)
        correction = 1.0 / (1.0 - (widths * events + resets) / ticks)
        counters = dict.fromkeys(META_KEYS, events) | {
            "ocr": events / 0.1,
            "ClockTicks": ticks,
            "TotalTicks": ticks,
            "ResetTicks": resets,
            "event_widths": widths,
            "dtc": correction,
        }
        return dumps([counters[name] for name in META_KEYS])

    def start(self, series: Series) -> list[Message]:
        """Return the header."""
        self.draw(series.n_frames)
        return [XspressStart(filename=self.filename).to_frames()]

    def frames(self, series: Series, first: int, count: int) -> list[Message]:
        """Return one image: a message of three parts, or three messages."""
        del count
        self.draw(series.n_frames)
        spectra, counters = self._pool[first % len(self._pool)]
        header = self._fill(first, time.time_ns()) if self.stamp else self._fill(first)
        if self.split:
            return [[header], [spectra], [counters]]
        return [[header, spectra, counters]]

    def end(self, series: Series, n_frames: int) -> list[Message]:
        """Return the end message."""
        del series, n_frames
        return [XspressEnd().to_frames()]
