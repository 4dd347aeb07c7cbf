"""A detector that speaks STINS over ZeroMQ PUSH."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, ClassVar, Self

import msgspec
import numpy as np
import numpy.typing as npt
import zmq

from glimt.codecs.pixels import encode_pixels
from glimt.codecs.stins import COMPRESSIONS, StinsEnd, StinsImage, StinsStart
from glimt.model.errors import UsageError
from glimt.sim.beam import Beam
from glimt.sim.device import Message, Series
from glimt.sim.header_template import HeaderTemplate
from glimt.sim.picture_pool import PicturePool, as_part
from glimt.sim.plan import SimulationPlan
from glimt.sim.report import SimulationReport
from glimt.sim.simulation import Simulation
from glimt.sim.transport import LINGER_MS
from glimt.sim.zmq_transport import ZmqTransport


def check_compression(name: str) -> None:
    """Refuse a compression that detectors do not have.

    Raises
    ------
    UsageError
        The text lists those there are.
    """
    if name not in COMPRESSIONS:
        raise UsageError(f"compression {name[:40]!r} is not one of {', '.join(COMPRESSIONS)}")


@dataclass
class StinsDevice:
    """An area detector.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns [px].
    dtype : str
        Element type.
    compression : str
        ``"none"``, ``"lz4"`` or ``"bslz4"``.
    filename : str
        What the header says where the raw data are written; nothing is written.
    seed : int
        The same seed gives the same frames, byte for byte.
    beam_period : int
        Frames are as bright as the `glimt.sim.beam.Beam` of this seed and period; 0 is a steady beam.
    stamp : bool
        Image headers have ``sent_ns``, when they were made, UTC [ns].

    Raises
    ------
    UsageError
        There is no such detector.
    """

    shape: tuple[int, int] = (512, 512)
    dtype: str = "uint16"
    compression: str = "none"
    filename: str = ""
    seed: int = 0
    beam_period: int = 0
    stamp: bool = False

    protocol: ClassVar[str] = "stins"
    frames_per_message: ClassVar[int] = 1
    _pool: list[bytes | zmq.Frame] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        check_compression(self.compression)
        beam = Beam(self.seed, self.beam_period)
        self._pictures = PicturePool(self.shape, self.dtype, seed=self.seed, beam=beam)
        keys: dict[str, Any] = {"sent_ns": 0} if self.stamp else {}
        image = StinsImage(
            msg_number=0, frame=0, shape=list(self.shape), type=self.dtype, compression=self.compression, **keys
        )
        self._fill = HeaderTemplate(image.header_json(), ["msg_number", "frame", *keys]).fill

    @property
    def message_bytes(self) -> int:
        """About how large a message is."""
        return self._pictures.frame_bytes

    def draw(self, n_frames: int) -> None:
        """Draw the frames of a series of ``n_frames`` now, instead of at its start."""
        if not self._pool:
            self._pool = self._pictures.draw(n_frames, self._pack)

    def _pack(self, picture: npt.NDArray[Any]) -> bytes | zmq.Frame:
        return as_part(encode_pixels(picture, compression=self.compression))

    def start(self, series: Series) -> list[Message]:
        """Return the header with detector metadata in its second part."""
        self.draw(series.n_frames)
        details = self._pictures.scene.setup.details()
        details |= {"nimages": series.n_frames, "count_time": series.period_s}
        start = StinsStart(msg_number=series.first_message, filename=self.filename)
        return [[start.header_json(), msgspec.json.encode(details)]]

    def frames(self, series: Series, first: int, count: int) -> list[Message]:
        """Return one image."""
        del count
        pool = self._pool
        if not pool:
            self.draw(series.n_frames)
            pool = self._pool
        number = series.first_message + 1 + first
        header = self._fill(number, first, time.time_ns()) if self.stamp else self._fill(number, first)
        return [(header, pool[first % len(pool)])]

    def end(self, series: Series, n_frames: int) -> list[Message]:
        """Return the end message."""
        return [[StinsEnd(msg_number=series.first_message + 1 + n_frames).header_json()]]


@dataclass(frozen=True, slots=True)
class StinsDetector:
    """What `StinsSimulator` simulates: a `StinsDevice` and a `glimt.sim.plan.SimulationPlan` in one.

    Raises
    ------
    UsageError
        A number is out of its range.
    """

    shape: tuple[int, int] = (512, 512)
    dtype: str = "uint16"
    rate_hz: float = 10.0
    n_frames: int = 100
    compression: str = "none"
    filename: str = ""
    seed: int = 0
    n_series: int = 1
    timeout_s: float | None = None

    def __post_init__(self) -> None:
        self.plan()
        check_compression(self.compression)

    @property
    def frame_bytes(self) -> int:
        """Size of the pixels of a frame before compression."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    def plan(self) -> SimulationPlan:
        """Return how much to send, and when."""
        return SimulationPlan(
            n_frames=self.n_frames, n_series=self.n_series, rate_hz=self.rate_hz, timeout_s=self.timeout_s
        )


class StinsSimulator:
    """Sends series of STINS frames over ZeroMQ PUSH to whoever receives; a context manager.

    Parameters
    ----------
    detector : StinsDetector
        What to simulate.
    address : str
        ZeroMQ address; ``tcp://127.0.0.1:*`` takes a free port.
    bind : bool
        False connects to a receiver that is bound.

    Raises
    ------
    UsageError
        There is no such detector, or the address cannot be used.
    """

    def __init__(self, detector: StinsDetector, *, address: str = "tcp://127.0.0.1:9999", bind: bool = True) -> None:
        self.detector = detector
        self._device = StinsDevice(
            detector.shape, detector.dtype, detector.compression, detector.filename, detector.seed
        )
        transport = ZmqTransport(address, bind=bind, message_bytes=self._device.message_bytes)
        self.address = transport.address
        self._simulation = Simulation(self._device, transport, plan=detector.plan())

    @property
    def report(self) -> SimulationReport:
        """What was sent so far."""
        return self._simulation.report

    def draw(self) -> None:
        """Draw the frames now, instead of at the start of `run`."""
        self._device.draw(self.detector.n_frames)

    def run(self, stop: threading.Event | None = None) -> SimulationReport:
        """Send all series, as `glimt.sim.simulation.Simulation.run` does."""
        return self._simulation.run(stop)

    def close(self, *, linger_ms: int = LINGER_MS) -> None:
        """Wait for the receiver to take what is queued, ``linger_ms`` at most, and close; safe to call twice."""
        self._simulation.close(linger_ms=linger_ms)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(linger_ms=LINGER_MS if error is None else 0)
