"""A DECTRIS detector that speaks stream V2 (ZeroMQ PUSH, CBOR, one part a message)."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from glimt.codecs.cbor_items import SELF_DESCRIBED
from glimt.codecs.cbor_record import encode_value
from glimt.codecs.dectris_v2 import DectrisV2End, DectrisV2Start
from glimt.codecs.typed_array import pack_array
from glimt.model.errors import UsageError
from glimt.sim.beam import Beam
from glimt.sim.device import Message, Series
from glimt.sim.picture_pool import PicturePool, as_part
from glimt.sim.stins import check_compression

MAX_CHANNELS = 4
_TICKS_PER_S = 50_000_000


@dataclass
class DectrisV2Device:
    """An EIGER2, PILATUS4 or the like.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns [px].
    dtype : str
        Element type.
    compression : str
        ``"none"``, ``"lz4"`` or ``"bslz4"``.
    channels : int
        Energy thresholds; each one after the first counts half of what the one before does.
    header_detail : str
        ``"basic"``, or ``"all"`` (with flat field and pixel mask of every channel).
    seed, beam_period : int
        As for `glimt.sim.stins.StinsDevice`.
    stamp : bool
        Images have the key ``sent_ns``, when they were made, UTC [ns].

    Raises
    ------
    UsageError
        There is no such detector.
    """

    shape: tuple[int, int] = (512, 512)
    dtype: str = "uint16"
    compression: str = "bslz4"
    channels: int = 1
    header_detail: str = "all"
    seed: int = 0
    beam_period: int = 0
    stamp: bool = False

    protocol: ClassVar[str] = "dectris-v2"
    frames_per_message: ClassVar[int] = 1
    _pool: list[bytes] = field(default_factory=list, init=False, repr=False)
    _heads: dict[int, bytes] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        check_compression(self.compression)
        if not 1 <= self.channels <= MAX_CHANNELS:
            raise UsageError(f"{self.channels} channels: 1 to {MAX_CHANNELS} are possible")
        if self.header_detail not in ("basic", "all"):
            raise UsageError(f"header detail {self.header_detail[:40]!r} is not one of basic, all")
        beam = Beam(self.seed, self.beam_period)
        self._pictures = PicturePool(self.shape, self.dtype, seed=self.seed, beam=beam, channels=self.channels)
        self._names = [f"threshold_{number}" for number in range(1, self.channels + 1)]
        self._date = datetime(2026, 1, 1, tzinfo=UTC)

    @property
    def message_bytes(self) -> int:
        """About how large a message is."""
        return self._pictures.frame_bytes

    def draw(self, n_frames: int) -> None:
        """Draw the frames of a series of ``n_frames`` now, instead of at its start."""
        if not self._pool:
            self._pool = self._pictures.draw(n_frames, self._pack)

    def _pack(self, picture: npt.NDArray[Any]) -> bytes:
        floor = picture.dtype.type(2)
        arrays = {}
        for name in self._names:
            arrays[name] = pack_array(picture, compression=self.compression)
            picture = picture / floor if picture.dtype.kind == "f" else picture // floor
        return encode_value("data") + encode_value(arrays)

    def start(self, series: Series) -> list[Message]:
        """Return the start message."""
        self.draw(series.n_frames)
        setup = self._pictures.scene.setup
        details, (slow, fast) = setup.details(), setup.beam_center_px
        self._date = datetime.now(UTC)
        start = DectrisV2Start(
            series_id=series.series_id,
            series_unique_id=_unique_id(series),
            arm_date=self._date,
            beam_center_x=fast,
            beam_center_y=slow,
            channels=self._names,
            count_time=series.period_s,
            countrate_correction_enabled=False,
            detector_description="simulated detector",
            detector_translation=[0.0, 0.0, setup.distance_m],
            flatfield_enabled=self.header_detail == "all",
            frame_time=series.period_s,
            image_dtype=self.dtype,
            image_size_x=self.shape[1],
            image_size_y=self.shape[0],
            incident_energy=details["photon_energy"],
            incident_wavelength=details["wavelength"],
            number_of_images=series.n_frames,
            pixel_mask_enabled=self.header_detail == "all",
            pixel_size_x=details["x_pixel_size"],
            pixel_size_y=details["y_pixel_size"],
            saturation_value=_saturation(self.dtype),
            threshold_energy={name: 4000.0 * (index + 1) for index, name in enumerate(self._names)},
        )
        if self.header_detail == "all":
            start.put("flatfield", dict.fromkeys(self._names, np.ones(self.shape, np.float32)))
            start.put("pixel_mask", dict.fromkeys(self._names, np.zeros(self.shape, np.uint32)))
        return [start.to_frames()]

    def frames(self, series: Series, first: int, count: int) -> list[Message]:
        """Return one image: what the pool has, behind the keys that change."""
        del count
        self.draw(series.n_frames)
        ticks = round(series.period_s * _TICKS_PER_S)
        changing: dict[str, Any] = {
            "image_id": first,
            "real_time": [ticks, _TICKS_PER_S],
            "start_time": [first * ticks, _TICKS_PER_S],
            "stop_time": [(first + 1) * ticks, _TICKS_PER_S],
        }
        if self.stamp:
            changing["sent_ns"] = time.time_ns()
        constant = self._constant_keys(series)
        n_keys = 4 + len(changing) + 1  # with type, series_id, series_unique_id, series_date; and the data
        keys = b"".join(encode_value(key) + encode_value(value) for key, value in changing.items())
        head = SELF_DESCRIBED + bytes([0xA0 + n_keys])  # a map of up to 23 pairs
        return [[as_part(b"".join((head, constant, keys, self._pool[first % len(self._pool)])))]]

    def _constant_keys(self, series: Series) -> bytes:
        keys = self._heads.get(series.series_id)
        if keys is None:
            constant = {
                "type": "image",
                "series_id": series.series_id,
                "series_unique_id": _unique_id(series),
                "series_date": self._date,
            }
            keys = b"".join(encode_value(key) + encode_value(value) for key, value in constant.items())
            self._heads = {series.series_id: keys}
        return keys

    def end(self, series: Series, n_frames: int) -> list[Message]:
        """Return the end message."""
        del n_frames
        return [DectrisV2End(series_id=series.series_id, series_unique_id=_unique_id(series)).to_frames()]


def _unique_id(series: Series) -> str:
    return f"simulated-{series.series_id:08d}"


def _saturation(dtype: str) -> int:
    return int(np.iinfo(dtype).max) - 1 if np.dtype(dtype).kind != "f" else 1 << 24
