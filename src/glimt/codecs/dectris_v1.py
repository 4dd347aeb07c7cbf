"""DECTRIS SIMPLON stream V1: what EIGER and PILATUS detectors send over ZeroMQ PUSH (port 9999) as multipart JSON.

A header (`glimt.codecs.dectris_v1_header`), images of 4 or 5 parts, the end of the series.
Source: DECTRIS, "SIMPLON API 1.8"; recordings of an EIGER 4M and an EIGER2 9M.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from glimt.codecs.dectris_series import SeriesAssembler, SeriesPosition
from glimt.codecs.dectris_v1_header import TYP, Count, DectrisV1Header, decode_part
from glimt.codecs.dectris_v1_pixels import DectrisV1Layout, DectrisV1Times, pixel_packing
from glimt.codecs.pixels import decode_pixels, encode_pixels
from glimt.codecs.protocol import PacketKind, WireProtocol
from glimt.codecs.record import Record, header_kind
from glimt.model.errors import DecodeError

if TYPE_CHECKING:
    from typing_extensions import Buffer


class _Contents(NamedTuple):
    """The parts of an image after the first."""

    layout: DectrisV1Layout
    pixels: Buffer
    times: DectrisV1Times
    appendix: Buffer | None


class DectrisV1Image(Record, kw_only=True):
    """One frame.

    Attributes
    ----------
    frame, series : int
        Number of the frame in its series, from 0; the series.
    hash : str
        Said to be the MD5 sum of the pixels. It is not that of any bytes of real messages: never checked.
    """

    typ: ClassVar[str] = TYP
    frame: Count
    hash: str = ""
    htype: Literal["dimage-1.0"] = "dimage-1.0"
    series: Count

    @property
    def layout(self) -> DectrisV1Layout:
        """What the message says about its pixels, ``shape`` fast axis first."""
        return self._contents.layout

    @property
    def times(self) -> DectrisV1Times:
        """When the frame was exposed [ns]."""
        return self._contents.times

    @property
    def appendix(self) -> bytes | None:
        """What the control system had set as ``image_appendix``, ``None`` if nothing."""
        part = self._contents.appendix
        return None if part is None else bytes(part)

    @property
    def payload(self) -> Buffer:
        """The pixels as they came, still encoded."""
        return self._contents.pixels

    @property
    def data(self) -> npt.NDArray[Any]:
        """The pixels, ``(rows, columns)``, decoded at first use; masked ones have all bits set.

        Raises
        ------
        DecodeError
            They are cut, damaged or do not fit shape and type.
        """
        if self._array is None:
            self._array = _decode_data(self._contents)
        pixels: npt.NDArray[Any] = self._array
        return pixels

    @property
    def _contents(self) -> _Contents:
        if self._payload is None:
            raise AttributeError("this image has no pixels: use DectrisV1Image.make")
        contents: _Contents = self._payload
        return contents

    def to_frames(self) -> list[bytes]:
        """Return the parts of the message as they go over the wire."""
        layout, pixels, times, appendix = self._contents
        parts = [self.header_json(), layout.header_json(), bytes(pixels), times.header_json()]
        return parts if appendix is None else [*parts, bytes(appendix)]

    @classmethod
    def from_frames(cls, frames: Sequence[Buffer]) -> DectrisV1Image:
        """Decode an image; the pixels stay encoded until ``data`` is read."""
        where = "dectris-v1 image"
        if len(frames) not in (4, 5):
            raise DecodeError(f"{len(frames)} parts, an image has 4, or 5 with an appendix", where=where)
        record = decode_part(_image_decoder, frames[0], where=f"{where}, part 0")
        layout = DectrisV1Layout.from_frames(frames[1:2])
        times = DectrisV1Times.from_frames(frames[3:4])
        record._payload = _Contents(layout, frames[2], times, frames[4] if len(frames) == 5 else None)
        return record

    @classmethod
    def make(
        cls,
        pixels: npt.ArrayLike,
        *,
        series: int,
        frame: int,
        compression: str = "bslz4",
        times: DectrisV1Times | None = None,
        appendix: bytes | None = None,
    ) -> DectrisV1Image:
        """Return an image of ``pixels`` ``(rows, columns)``, packed with ``"none"``, ``"lz4"`` or ``"bslz4"``."""
        array = np.asarray(pixels)
        if array.ndim != 2:
            raise ValueError(f"pixels of shape {array.shape}: an image has rows and columns")
        encoding = {"none": "<", "lz4": "lz4<", "bslz4": f"bs{8 * array.itemsize}-lz4<"}[compression]
        payload = encode_pixels(array, compression=compression, framing="bare" if compression == "lz4" else "hdf5")
        layout = DectrisV1Layout(
            encoding=encoding, shape=list(array.shape[::-1]), size=len(payload), type=array.dtype.name
        )
        record = cls(frame=frame, series=series)
        record._payload = _Contents(
            layout, payload, times or DectrisV1Times(real_time=0, start_time=0, stop_time=0), appendix
        )
        return record

    def _shown(self) -> list[tuple[str, Any]]:
        if self._payload is None:
            return []
        return [("layout", self.layout), ("times", self.times), ("appendix", self.appendix)]


def _decode_data(contents: _Contents) -> npt.NDArray[Any]:
    layout, where = contents.layout, "dectris-v1 image, part 2"
    packing = pixel_packing(layout.encoding, layout.type, where=where)
    try:
        pixels = decode_pixels(
            contents.pixels,
            compression=packing.compression,
            framing=packing.framing,
            shape=layout.shape[::-1],
            dtype=layout.type,
            where=where,
        )
    except DecodeError as error:
        received = memoryview(contents.pixels).nbytes
        if received == layout.size:
            raise
        # The usual reason, and more to the point than what the decoder fell over.
        raise DecodeError(
            f"{received} bytes of pixels where the header announces {layout.size}: {error.what}", where=where
        ) from None
    return pixels.byteswap() if packing.big_endian else pixels


class DectrisV1End(Record, kw_only=True):
    """End of a series."""

    typ: ClassVar[str] = TYP
    htype: Literal["dseries_end-1.0"] = "dseries_end-1.0"
    series: Count

    @classmethod
    def from_frames(cls, frames: Sequence[Buffer]) -> DectrisV1End:
        """Decode an end message; parts after the first mean nothing and are ignored."""
        return decode_part(_end_decoder, frames[0], where="dectris-v1 series_end, part 0")


_image_decoder = msgspec.json.Decoder(DectrisV1Image)
_end_decoder = msgspec.json.Decoder(DectrisV1End)

DectrisV1Record = DectrisV1Header | DectrisV1Image | DectrisV1End

_RECORDS: dict[str, type[DectrisV1Header] | type[DectrisV1Image] | type[DectrisV1End]] = {
    "dimage-1.0": DectrisV1Image,
    "dheader-1.0": DectrisV1Header,
    "dseries_end-1.0": DectrisV1End,
}


def decode(frames: Sequence[Buffer]) -> DectrisV1Record:
    """Decode one message.

    Parameters
    ----------
    frames : sequence of buffer
        The parts of the message. Pixels and tables are kept as they are until they are read.

    Raises
    ------
    DecodeError
        Not a message of DECTRIS stream V1; the text names the part.
    """
    if not frames:
        raise DecodeError("a message without parts", where="dectris-v1")
    kind = header_kind(frames[0], where="dectris-v1, part 0")
    record = _RECORDS.get(kind)
    if record is None:
        raise DecodeError(f"htype {kind[:40]!r} is not one of {', '.join(_RECORDS)}", where="dectris-v1, part 0")
    return record.from_frames(frames)


def encode(record: DectrisV1Record) -> list[bytes]:
    """Return the parts of the message; ``encode(decode(frames)) == frames``."""
    return record.to_frames()


def _locate(parts: Sequence[Any]) -> SeriesPosition:
    record = decode(parts)
    match record:
        case DectrisV1Image():
            return SeriesPosition(PacketKind.DATA, record.series, record.frame)
        case DectrisV1Header():
            return SeriesPosition(PacketKind.START, record.series)
    return SeriesPosition(PacketKind.END, record.series)


PROTOCOL = WireProtocol("dectris-v1", TYP, decode, encode, partial(SeriesAssembler, _locate))
