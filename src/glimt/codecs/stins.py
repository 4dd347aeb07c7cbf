"""STINS, also called "stream1": what MAX IV's streaming-receiver and many of its detectors send over ZeroMQ PUSH.

Multipart JSON: ``header`` (with optional further JSON parts), ``image`` with one pixel part, ``series_end``.
Source: dranspose 0.2.0 (``dranspose.data.stream1``) and MAX IV's streaming-receiver.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from glimt.codecs.open_record import OpenRecord
from glimt.codecs.pixels import decode_pixels, encode_pixels
from glimt.codecs.protocol import Packet, PacketKind, WireProtocol
from glimt.codecs.record import decode_header, header_kind, json_error, json_view
from glimt.model.errors import DecodeError
from glimt.model.frame import check_array

if TYPE_CHECKING:
    from typing_extensions import Buffer

TYP = "STINS"
COMPRESSIONS = ("none", "lz4", "bslz4")


class StinsStart(OpenRecord, kw_only=True, eq=False):
    """Start of a series.

    Attributes
    ----------
    msg_number : int
        Running number of the sender's messages; goes on over series.
    filename : str
        Where the raw data are written, ``""`` if they are not (live view).
    details : list
        Decoded contents of further JSON parts (detector metadata), usually empty or one dict.
    """

    typ: ClassVar[str] = TYP
    msg_number: int
    htype: Literal["header"] = "header"
    filename: str

    @property
    def details(self) -> list[Any]:
        """Decoded contents of the further JSON parts, usually none or one dict of detector metadata."""
        return [msgspec.json.decode(part) for part in self._payload or ()]

    def to_frames(self) -> list[bytes]:
        """Return the parts of the message as they go over the wire."""
        return [self.header_json(), *(bytes(part) for part in self._payload or ())]

    @classmethod
    def from_frames(cls, frames: Sequence[Buffer]) -> StinsStart:
        """Decode a start message; further parts must be JSON."""
        record = decode_header(_start_decoder, frames[0], where="stins header, part 0")
        for number, part in enumerate(frames[1:], start=1):
            where = f"stins header, part {number}"
            try:
                msgspec.json.decode(json_view(part, where=where))
            except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
                raise json_error(error, where=where) from None
        record._payload = tuple(frames[1:])
        return record


class StinsImage(OpenRecord, kw_only=True, eq=False):
    """One frame.

    Attributes
    ----------
    msg_number, frame : int
        Running number of the message; number of the frame in its series, from 0 or 1.
    shape : list of int
        ``[rows, columns]``, slowest first [px].
    type : str
        Element type, such as ``"uint16"``.
    compression : str
        ``"none"``, ``"lz4"`` or ``"bslz4"``; the latter two with or without the 12-byte size prefix.
    data : ndarray
        The pixels, shape ``shape``, dtype ``type``; decoded at first use. Uncompressed ones are a read-only view of
        the received bytes.
    """

    typ: ClassVar[str] = TYP
    msg_number: int
    htype: Literal["image"] = "image"
    frame: int
    shape: list[int]
    type: str
    compression: str

    @property
    def data(self) -> npt.NDArray[Any]:
        """The pixels, ``(rows, columns)``; `DecodeError` if they do not fit what the header says."""
        pixels: npt.NDArray[Any] | None = self._array
        if pixels is None:
            if self._payload is None:
                raise AttributeError("this image has no pixels yet: assign an array to .data")
            pixels = self._array = decode_pixels(
                self._payload, compression=self.compression, shape=self.shape, dtype=self.type, where="stins image"
            )
        return pixels

    @data.setter
    def data(self, pixels: npt.ArrayLike) -> None:
        self._array = np.asarray(pixels)
        self._payload = None

    def to_frames(self) -> list[bytes]:
        """Return header and pixels as they go over the wire, compressed as ``compression`` says."""
        if self._payload is not None:
            return [self.header_json(), bytes(self._payload)]
        return [self.header_json(), encode_pixels(self.data, compression=self.compression)]

    @classmethod
    def from_frames(cls, frames: Sequence[Buffer]) -> StinsImage:
        """Decode an image message of exactly two parts; the pixels stay encoded until ``data`` is read."""
        if len(frames) != 2:
            raise DecodeError(f"{len(frames)} parts, 2 are needed (header and pixels)", where="stins image")
        return decode_header(_image_decoder, frames[0], where="stins image, part 0")._with_pixels(frames[1])

    def _with_pixels(self, payload: Buffer) -> StinsImage:
        shape, element, nbytes = check_array(self.shape, self.type, where="stins image, part 0")
        self._payload = payload
        if self.compression == "none":
            view = payload if type(payload) is bytes else memoryview(payload).cast("B")
            if len(view) != nbytes:
                raise DecodeError(
                    f"{len(view)} bytes of pixels, {self.shape} of {self.type} has {nbytes}",
                    where="stins image, part 1",
                )
            self._array = np.ndarray(shape, element, view)
        elif self.compression not in COMPRESSIONS:
            raise DecodeError(
                f"compression {self.compression[:40]!r} is not one of {', '.join(COMPRESSIONS)}",
                where="stins image, part 0",
            )
        return self

    def _shown(self) -> list[tuple[str, Any]]:
        return [] if self._payload is None and self._array is None else [("data", self.data)]


class StinsEnd(OpenRecord, kw_only=True, eq=False):
    """End of a series."""

    typ: ClassVar[str] = TYP
    msg_number: int
    htype: Literal["series_end"] = "series_end"

    @classmethod
    def from_frames(cls, frames: Sequence[Buffer]) -> StinsEnd:
        """Decode an end message; parts after the first mean nothing and are ignored."""
        return decode_header(_end_decoder, frames[0], where="stins series_end, part 0")


_start_decoder = msgspec.json.Decoder(StinsStart)
_image_decoder = msgspec.json.Decoder(StinsImage)
_end_decoder = msgspec.json.Decoder(StinsEnd)

StinsRecord = StinsStart | StinsImage | StinsEnd

_RECORDS: dict[str, type[StinsStart] | type[StinsImage] | type[StinsEnd]] = {
    "image": StinsImage,
    "header": StinsStart,
    "series_end": StinsEnd,
}


def decode(frames: Sequence[Buffer]) -> StinsRecord:
    """Decode one message.

    Parameters
    ----------
    frames : sequence of buffer
        The parts of the message. Pixels are kept as they are until ``StinsImage.data`` is read.

    Raises
    ------
    DecodeError
        Not a STINS message; the text names the part.
    """
    if len(frames) == 2:  # most are images: try that before looking at htype
        header = frames[0]
        try:
            image = _image_decoder.decode(header)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, TypeError, NotImplementedError):
            pass  # not one, or a bad one: below is found out which
        else:
            image._header = header
            return image._with_pixels(frames[1])
    if not frames:
        raise DecodeError("a message without parts", where="stins")
    kind = header_kind(frames[0], where="stins, part 0")
    record = _RECORDS.get(kind)
    if record is None:
        raise DecodeError(f"htype {kind[:40]!r} is not one of {', '.join(_RECORDS)}", where="stins, part 0")
    return record.from_frames(frames)


def encode(record: StinsRecord) -> list[bytes]:
    """Return the parts of the message; ``encode(decode(frames)) == frames``."""
    return record.to_frames()


class StinsAssembler:
    """Assembler of STINS: every message is one packet.

    ``msg_number`` runs on over header and images, so that it tells where in its series an image stands, whatever
    number its first frame had. A message with a smaller one than the last header is what an aborted series left in a
    queue: it becomes a packet of kind ``OTHER``, which is counted and is no event.
    """

    def __init__(self) -> None:
        self._start_number: int | None = None

    def push(self, parts: Sequence[Buffer]) -> list[Packet]:
        """Return the message as its one packet."""
        record = decode(parts)
        if isinstance(record, StinsStart):
            self._start_number = record.msg_number
            return [Packet(PacketKind.START, list(parts))]
        index = None if self._start_number is None else record.msg_number - self._start_number - 1
        if index is not None and index < -1:
            return [Packet(PacketKind.OTHER, list(parts), is_stale=True)]
        if isinstance(record, StinsImage):
            return [Packet(PacketKind.DATA, list(parts), record.frame, index)]
        return [Packet(PacketKind.END, list(parts))]


PROTOCOL = WireProtocol("stins", TYP, decode, encode, StinsAssembler)
