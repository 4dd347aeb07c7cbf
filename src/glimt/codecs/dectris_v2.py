"""DECTRIS stream V2: what SIMPLON detectors send over ZeroMQ PUSH (port 31001) as CBOR, one part a message.

``start``, ``image`` with the arrays of all channels (energy thresholds), ``end``. Senders may add keys and types of
messages (Jungfraujoch does): the former are in ``extra``, the latter become `DectrisV2Other`.
Source: DECTRIS, "Stream V2" in the documentation of SIMPLON 1.8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import msgspec
import numpy.typing as npt

from glimt.codecs.cbor_items import read_item, scan_map
from glimt.codecs.cbor_record import CborRecord
from glimt.codecs.dectris_series import SeriesAssembler, SeriesPosition
from glimt.codecs.protocol import PacketKind, WireProtocol
from glimt.codecs.typed_array import ChannelArrays, EncodedArray, pack_array
from glimt.model.errors import DecodeError

if TYPE_CHECKING:
    from typing_extensions import Buffer

TYP = "DECTRIS_V2"

Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Ticks = tuple[int, int]
"""A time as ``(numerator, denominator)`` [s]: exact, unlike a float."""


def seconds(ticks: Ticks) -> float:
    """Return a time as a number of seconds.

    Raises
    ------
    DecodeError
        The denominator is not positive.
    """
    return _denominator_checked(ticks)[0] / ticks[1]


def nanoseconds(ticks: Ticks) -> int:
    """Return a time in whole nanoseconds, rounded half up.

    Raises
    ------
    DecodeError
        The denominator is not positive.
    """
    numerator, denominator = _denominator_checked(ticks)
    return (2_000_000_000 * numerator + denominator) // (2 * denominator)


def _denominator_checked(ticks: Ticks) -> Ticks:
    if ticks[1] <= 0:
        raise DecodeError(f"time {ticks[0]}/{ticks[1]} s", where=TYP)
    return ticks


class DectrisV2Start(CborRecord, kw_only=True):
    """Start of a series: how the detector is set. What a sender leaves out is ``None``.

    Attributes
    ----------
    series_id : int
        Number of the series, also in every image.
    number_of_images : int
        How many will follow unless the series is aborted.
    image_size_x, image_size_y : int
        Columns and rows [px].
    beam_center_x, beam_center_y : float
        [px]
    incident_energy : float
        [eV]
    incident_wavelength : float
        [Å]
    count_time, frame_time : float
        Exposure and period [s].
    pixel_size_x, pixel_size_y, sensor_thickness, detector_translation : float, list of float
        [m]
    threshold_energy : dict of str to float
        By channel [eV].
    saturation_value : int
        Counts above this mean nothing. Masked pixels have all bits set.
    user_data : object
        Whatever the control system had set.
    """

    typ: ClassVar[str] = TYP
    lazy_keys: ClassVar[tuple[str, ...]] = ("flatfield", "pixel_mask", "countrate_correction_lookup_table")
    type: Literal["start"] = "start"
    series_id: Count
    series_unique_id: str | None = None
    arm_date: datetime | None = None
    beam_center_x: float | None = None
    beam_center_y: float | None = None
    channels: list[str] | None = None
    count_time: float | None = None
    countrate_correction_enabled: bool | None = None
    detector_description: str | None = None
    detector_serial_number: str | None = None
    detector_translation: list[float] | None = None
    flatfield_enabled: bool | None = None
    frame_time: float | None = None
    goniometer: Any = None
    image_dtype: str | None = None
    image_size_x: Count | None = None
    image_size_y: Count | None = None
    incident_energy: float | None = None
    incident_wavelength: float | None = None
    number_of_images: Count | None = None
    pixel_mask_enabled: bool | None = None
    pixel_size_x: float | None = None
    pixel_size_y: float | None = None
    saturation_value: Count | None = None
    sensor_material: str | None = None
    sensor_thickness: float | None = None
    threshold_energy: dict[str, float] | None = None
    user_data: Any = None
    virtual_pixel_interpolation_enabled: bool | None = None

    @property
    def image_shape(self) -> tuple[int, int] | None:
        """Rows and columns [px], ``None`` if the message does not say."""
        if self.image_size_x is None or self.image_size_y is None:
            return None
        return self.image_size_y, self.image_size_x

    @property
    def flatfield(self) -> Mapping[str, npt.NDArray[Any]]:
        """Factor of every pixel by channel, ``(rows, columns)`` float32; a table that is damaged raises when read."""
        return self.channel_arrays("flatfield")

    @property
    def pixel_mask(self) -> Mapping[str, npt.NDArray[Any]]:
        """State of every pixel by channel, ``(rows, columns)`` uint32: 0 is good, each bit one reason against it."""
        return self.channel_arrays("pixel_mask")

    @property
    def countrate_correction_lookup_table(self) -> npt.NDArray[Any] | None:
        """Corrected counts by measured counts, 1 axis, ``None`` if the message has none."""
        key = self.lazy_keys[2]
        if key not in self._spans:
            return None
        return ChannelArrays({"table": self.read(key)}, where=f"{TYP} message, {key}")["table"]


class DectrisV2Image(CborRecord, kw_only=True):
    """One frame, in one or several channels.

    Attributes
    ----------
    series_id, image_id : int
        The series; number of the frame in it, from 0.
    real_time : tuple of int
        Exposure as ``(numerator, denominator)`` [s].
    start_time, stop_time : tuple of int
        Since ``series_date``, likewise.
    series_date : datetime
        When the series began.
    user_data : object
        Whatever the control system had set.
    """

    typ: ClassVar[str] = TYP
    lazy_keys: ClassVar[tuple[str, ...]] = ("data",)
    type: Literal["image"] = "image"
    series_id: Count
    series_unique_id: str | None = None
    image_id: Count
    real_time: Ticks | None = None
    series_date: datetime | None = None
    start_time: Ticks | None = None
    stop_time: Ticks | None = None
    user_data: Any = None

    @property
    def channels(self) -> Mapping[str, npt.NDArray[Any]]:
        """The pixels by channel, ``(rows, columns)``, each decoded when first read; masked ones have all bits set."""
        return self.channel_arrays("data")

    @property
    def data(self) -> npt.NDArray[Any]:
        """The pixels of the first channel, ``(rows, columns)``; `DecodeError` if they do not fit what the tags say."""
        channels = self.channels
        if not channels:
            raise AttributeError("this image has no pixels yet: assign an array to .data")
        return channels[next(iter(channels))]

    @data.setter
    def data(self, pixels: npt.ArrayLike) -> None:
        self.pack({next(iter(self.channels), "threshold_1"): pixels})

    def pack(self, channels: Mapping[str, npt.ArrayLike], *, compression: str = "bslz4") -> None:
        """Set the pixels of all channels, ``(rows, columns)`` each; ``"none"``, ``"lz4"`` or ``"bslz4"``."""
        self.put("data", {name: pack_array(pixels, compression=compression) for name, pixels in channels.items()})

    def check_channels(self, *, where: str) -> None:
        """Refuse a message whose pixels cannot be pixels, without decoding them.

        Raises
        ------
        DecodeError
            No channel, or one that is no array with two axes.
        """
        if "data" not in self._spans:
            raise DecodeError("no key 'data'", where=where)
        arrays = read_item(self._spans["data"], where=f"{where}, data")
        if not isinstance(arrays, dict) or not arrays:
            raise DecodeError("'data' has no channel", where=where)
        for name, array in arrays.items():
            if not isinstance(name, str) or not isinstance(array, EncodedArray) or len(array.shape or ()) != 2:
                raise DecodeError(f"channel {name!r:.60} is no array with rows and columns (tag 40)", where=where)
        self._array["data"] = ChannelArrays(arrays, where=where)

    @classmethod
    def from_spans(cls, message: Buffer, spans: dict[str, memoryview], *, where: str) -> DectrisV2Image:
        """Make the record of an image whose keys were found by `glimt.codecs.cbor_items.scan_map`."""
        record = super().from_spans(message, spans, where=where)
        record.check_channels(where=where)
        return record


class DectrisV2End(CborRecord, kw_only=True):
    """End of a series."""

    typ: ClassVar[str] = TYP
    type: Literal["end"] = "end"
    series_id: Count
    series_unique_id: str | None = None


class DectrisV2Other(CborRecord, kw_only=True):
    """A message of a type that the protocol does not define; all its keys are in ``extra``."""

    typ: ClassVar[str] = TYP
    type: str


DectrisV2Record = DectrisV2Start | DectrisV2Image | DectrisV2End | DectrisV2Other

_RECORDS: dict[str, type[DectrisV2Start] | type[DectrisV2Image] | type[DectrisV2End]] = {
    "image": DectrisV2Image,
    "start": DectrisV2Start,
    "end": DectrisV2End,
}


def decode(frames: Sequence[Buffer]) -> DectrisV2Record:
    """Decode one message.

    Parameters
    ----------
    frames : sequence of buffer
        The one part of the message. Arrays are kept as they are until they are read.

    Raises
    ------
    DecodeError
        Not a message of DECTRIS stream V2; the text names the key.
    """
    if len(frames) != 1:
        raise DecodeError(f"{len(frames)} parts, a message has 1", where="dectris-v2")
    spans = scan_map(frames[0], where="dectris-v2")
    kind = read_item(spans["type"], where="dectris-v2, type") if "type" in spans else None
    if not isinstance(kind, str):
        raise DecodeError("no text under 'type'", where="dectris-v2")
    record = _RECORDS.get(kind, DectrisV2Other)
    return record.from_spans(frames[0], spans, where=f"dectris-v2 {kind[:40]}")


def encode(record: DectrisV2Record) -> list[bytes]:
    """Return the one part of the message; ``encode(decode(frames)) == frames``."""
    return record.to_frames()


def _locate(parts: Sequence[Any]) -> SeriesPosition:
    record = decode(parts)
    match record:
        case DectrisV2Image():
            return SeriesPosition(PacketKind.DATA, record.series_id, record.image_id)
        case DectrisV2Start():
            return SeriesPosition(PacketKind.START, record.series_id)
        case DectrisV2End():
            return SeriesPosition(PacketKind.END, record.series_id)
    return SeriesPosition(PacketKind.OTHER, None)


PROTOCOL = WireProtocol("dectris-v2", TYP, decode, encode, partial(SeriesAssembler, _locate))
