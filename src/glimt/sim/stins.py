"""A detector that speaks STINS over ZeroMQ PUSH."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import msgspec
import numpy as np
import zmq

from glimt.codecs.pixels import encode_pixels
from glimt.codecs.stins import COMPRESSIONS, StinsEnd, StinsImage, StinsStart
from glimt.model.errors import UsageError
from glimt.sim.scattering import ScatteringScene

POOL_BYTES = 256 << 20
"""Pictures are drawn and compressed before the first is sent, up to this size of uncompressed pixels [bytes]."""
MAX_POOL_FRAMES = 500
QUEUE_BYTES = 64 << 20
"""What ZeroMQ may hold for a receiver that is slower than the detector [bytes], beside the system's own buffers."""

_SLICE_MS = 100
_LATE_S = 0.1
_LINGER_MS = 30_000
_LINGER_STOPPED_MS = 2_000


@dataclass(frozen=True, slots=True)
class StinsDetector:
    """What to simulate.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns [px].
    dtype : str
        Element type.
    rate_hz : float
        Frames a second; 0 sends as fast as the receiver takes them.
    n_frames : int
        Frames of a series; 0 goes on until it is stopped.
    compression : str
        ``"none"``, ``"lz4"`` or ``"bslz4"``.
    filename : str
        What the header says where the raw data are written; nothing is written.
    seed : int
        The same seed gives the same frames, byte for byte.
    n_series : int
        0 repeats until it is stopped.
    timeout_s : float or None
        Give up if nobody receives for so long; without it, wait.

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
        if not 0 <= self.rate_hz < float("inf"):
            raise UsageError(f"rate {self.rate_hz} Hz: 0 (as fast as possible) or more is needed")
        if self.n_frames < 0 or self.n_series < 0:
            raise UsageError("numbers of frames and series cannot be negative; 0 means without end")
        if self.timeout_s is not None and not self.timeout_s > 0:
            raise UsageError(f"timeout {self.timeout_s} s: a positive number of seconds is needed")
        if self.compression not in COMPRESSIONS:
            raise UsageError(f"compression {self.compression[:40]!r} is not one of {', '.join(COMPRESSIONS)}")

    @property
    def frame_bytes(self) -> int:
        """Size of the pixels of a frame before compression."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


@dataclass(slots=True)
class SimulationReport:
    """What was sent: series begun, frames, bytes of messages, and the time from the first message to the last."""

    n_series: int = 0
    n_frames: int = 0
    n_bytes: int = 0
    elapsed_s: float = 0.0


class StinsSimulator:
    """Sends series of frames to whoever receives; a context manager.

    Frames are drawn before the first one is sent (`POOL_BYTES`, `MAX_POOL_FRAMES`): a series that has more goes around
    this pool. So drawing and compressing never limit the rate. A receiver that does not keep up delays the series;
    frames are not skipped, and not sent in a burst afterwards. Without a receiver nothing is sent.

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
        self.report = SimulationReport()
        self._scene = ScatteringScene(detector.shape, detector.dtype, seed=detector.seed)
        self._message_number = 0
        self._began = 0.0
        self._context: zmq.Context[Any] = zmq.Context()
        self._socket: zmq.Socket[bytes] = self._context.socket(zmq.PUSH)
        self._socket.setsockopt(zmq.SNDHWM, min(1000, max(2, QUEUE_BYTES // detector.frame_bytes)))
        self._socket.setsockopt(zmq.IMMEDIATE, 1)  # a queue for a receiver that is not there would be lost in the end
        try:
            (self._socket.bind if bind else self._socket.connect)(address)
        except zmq.ZMQError as error:
            self.close()
            raise UsageError(f"cannot {'bind' if bind else 'connect to'} {address}: {error.strerror}") from None
        self.address = str(self._socket.get_string(zmq.LAST_ENDPOINT)).rstrip("\0")
        self._pool: list[zmq.Frame] = []

    def draw(self) -> None:
        """Draw the frames now, instead of at the start of `run`."""
        if self._pool:
            return
        detector = self.detector
        count = min(MAX_POOL_FRAMES, max(2, POOL_BYTES // detector.frame_bytes))
        if detector.n_frames:
            count = min(count, detector.n_frames)
        self._pool = [
            zmq.Frame(encode_pixels(picture, compression=detector.compression), copy=False)
            for picture in self._scene.pictures(count)
        ]

    def run(self, stop: threading.Event | None = None) -> SimulationReport:
        """Send all series.

        Parameters
        ----------
        stop : Event, optional
            Once set, the series ends after the current frame, with its end message.

        Raises
        ------
        UsageError
            Nobody received for ``timeout_s``.
        """
        stop = stop or threading.Event()
        self.draw()
        while not stop.is_set() and (not self.detector.n_series or self.report.n_series < self.detector.n_series):
            if not self._send_start(stop):
                break
            self.report.n_series += 1
            self._send_frames(stop)
            self._send([StinsEnd(msg_number=self._message_number).header_json()], stop, patience_s=1.0)
            self.report.elapsed_s = time.monotonic() - self._began
        if stop.is_set():
            self.close(linger_ms=_LINGER_STOPPED_MS)
        return self.report

    def _send_start(self, stop: threading.Event) -> bool:
        detector = self.detector
        details = self._scene.setup.details() | {"nimages": detector.n_frames, "count_time": self._period_s}
        start = StinsStart(msg_number=self._message_number, filename=detector.filename)
        sent = self._send([start.header_json(), msgspec.json.encode(details)], stop)
        if sent and not self.report.n_series:
            self._began = time.monotonic()
        return sent

    @property
    def _period_s(self) -> float:
        return 1.0 / self.detector.rate_hz if self.detector.rate_hz else 0.0

    def _send_frames(self, stop: threading.Event) -> None:
        detector, number = self.detector, 0
        due = time.monotonic()
        while not stop.is_set() and (not detector.n_frames or number < detector.n_frames):
            header = StinsImage(
                msg_number=self._message_number,
                frame=number,
                shape=list(detector.shape),
                type=detector.dtype,
                compression=detector.compression,
            ).header_json()
            if not self._send([header, self._pool[number % len(self._pool)]], stop):
                return
            number += 1
            self.report.n_frames += 1
            due = max(due + self._period_s, time.monotonic() - _LATE_S)
            if (early_s := due - time.monotonic()) > 0:
                stop.wait(early_s)

    def _send(self, parts: list[Any], stop: threading.Event, *, patience_s: float = 0.0) -> bool:
        """Send a message when the receiver takes it; False if it did not before ``stop`` and the patience after it."""
        patience, waited_since = patience_s, time.monotonic()
        timeout_s = self.detector.timeout_s
        while True:
            try:
                self._socket.send_multipart(parts, zmq.NOBLOCK, copy=False)
            except zmq.Again:
                if stop.is_set():
                    if patience <= 0:
                        return False
                    patience -= _SLICE_MS * 1e-3
                if timeout_s is not None and time.monotonic() - waited_since >= timeout_s:
                    raise UsageError(f"nobody received on {self.address} for {timeout_s:g} s") from None
                self._socket.poll(_SLICE_MS, zmq.POLLOUT)
            else:
                self._message_number += 1
                self.report.n_bytes += sum(len(part) for part in parts)
                return True

    def close(self, *, linger_ms: int = _LINGER_MS) -> None:
        """Wait for the receiver to take what is queued, ``linger_ms`` at most, and close; safe to call twice."""
        self._socket.close(linger=linger_ms)
        self._context.term()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(linger_ms=_LINGER_MS if error is None else 0)
