"""A DECTRIS detector that speaks stream V1 (ZeroMQ PUSH, multipart JSON)."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import zmq

from glimt.codecs.dectris_v1 import DectrisV1End, DectrisV1Image
from glimt.codecs.dectris_v1_header import COUNTRATE_TABLE, FLATFIELD, PIXEL_MASK, DectrisV1Header
from glimt.codecs.dectris_v1_pixels import DectrisV1Times
from glimt.model.errors import UsageError
from glimt.sim.beam import Beam
from glimt.sim.device import Message, Series
from glimt.sim.header_template import HeaderTemplate
from glimt.sim.picture_pool import PicturePool, as_part
from glimt.sim.stins import check_compression

DETAILS = ("none", "basic", "all")
APPENDIX = b'{"sample":"simulated"}'
_TABLE_LENGTH = 1000


@dataclass
class DectrisV1Device:
    """An EIGER or PILATUS.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns [px].
    dtype : str
        Element type.
    compression : str
        ``"none"``, ``"lz4"`` or ``"bslz4"``.
    header_detail : str
        ``"none"``, ``"basic"`` (with the configuration) or ``"all"`` (with flat field, pixel mask and count rates).
    appendix : bool
        Header and images have a last part, as a control system sets it: `APPENDIX`.
    seed, beam_period : int
        As for `glimt.sim.stins.StinsDevice`.
    stamp : bool
        The first part of images has ``sent_ns``, when they were made, UTC [ns].

    Raises
    ------
    UsageError
        There is no such detector.
    """

    shape: tuple[int, int] = (512, 512)
    dtype: str = "uint16"
    compression: str = "bslz4"
    header_detail: str = "all"
    appendix: bool = False
    seed: int = 0
    beam_period: int = 0
    stamp: bool = False

    protocol: ClassVar[str] = "dectris-v1"
    frames_per_message: ClassVar[int] = 1
    _pool: list[tuple[bytes, bytes | zmq.Frame]] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        check_compression(self.compression)
        if self.header_detail not in DETAILS:
            raise UsageError(f"header detail {self.header_detail[:40]!r} is not one of {', '.join(DETAILS)}")
        beam = Beam(self.seed, self.beam_period)
        self._pictures = PicturePool(self.shape, self.dtype, seed=self.seed, beam=beam)
        header = DectrisV1Image(frame=0, series=0).header_json()
        gaps = ["frame", "series"]
        if self.stamp:
            header, gaps = header[:-1] + b',"sent_ns":0}', [*gaps, "sent_ns"]
        self._fill = HeaderTemplate(header, gaps).fill
        times = DectrisV1Times(real_time=0, start_time=0, stop_time=0)
        self._fill_times = HeaderTemplate(times.header_json(), ["real_time", "start_time", "stop_time"]).fill

    @property
    def message_bytes(self) -> int:
        """About how large a message is."""
        return self._pictures.frame_bytes

    def draw(self, n_frames: int) -> None:
        """Draw the frames of a series of ``n_frames`` now, instead of at its start."""
        if not self._pool:
            self._pool = self._pictures.draw(n_frames, self._pack)

    def _pack(self, picture: npt.NDArray[Any]) -> tuple[bytes, bytes | zmq.Frame]:
        image = DectrisV1Image.make(picture, series=0, frame=0, compression=self.compression)
        return image.layout.header_json(), as_part(bytes(image.payload))

    def start(self, series: Series) -> list[Message]:
        """Return the header with as much detail as was asked for."""
        self.draw(series.n_frames)
        has_config = self.header_detail != "none"
        header = DectrisV1Header.make(
            series=series.series_id,
            config=self._config(series) if has_config else None,
            tables=self._tables() if self.header_detail == "all" else None,
            appendix=APPENDIX if self.appendix else None,
        )
        return [header.to_frames()]

    def _config(self, series: Series) -> dict[str, Any]:
        return self._pictures.scene.setup.details() | {
            "bit_depth_image": 8 * np.dtype(self.dtype).itemsize,
            "compression": self.compression,
            "count_time": series.period_s,
            "countrate_correction_count_cutoff": _largest(self.dtype) - 1,
            "description": "simulated detector",
            "frame_time": series.period_s,
            "nimages": series.n_frames,
            "ntrigger": 1,
            "trigger_mode": "ints",
        }

    def _tables(self) -> dict[Any, npt.NDArray[Any]]:
        counts = np.arange(_TABLE_LENGTH, dtype=np.float32)
        return {
            FLATFIELD: np.ones(self.shape, np.float32),
            PIXEL_MASK: np.zeros(self.shape, np.uint32),
            COUNTRATE_TABLE: np.stack([counts, counts], axis=1),
        }

    def frames(self, series: Series, first: int, count: int) -> list[Message]:
        """Return one image."""
        del count
        self.draw(series.n_frames)
        layout, pixels = self._pool[first % len(self._pool)]
        numbers = (first, series.series_id, time.time_ns()) if self.stamp else (first, series.series_id)
        period_ns = round(series.period_s * 1e9)
        times = self._fill_times(period_ns, first * period_ns, (first + 1) * period_ns)
        parts = (self._fill(*numbers), layout, pixels, times)
        return [(*parts, APPENDIX) if self.appendix else parts]

    def end(self, series: Series, n_frames: int) -> list[Message]:
        """Return the end message."""
        del n_frames
        return [DectrisV1End(series=series.series_id).to_frames()]


def _largest(dtype: str) -> int:
    return int(np.iinfo(dtype).max) if np.dtype(dtype).kind != "f" else 1 << 24
