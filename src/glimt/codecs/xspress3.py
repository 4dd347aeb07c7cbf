"""Xspress3: fluorescence spectra of Quantum Detectors' electronics, as MAX IV's Tango device sends them over ZeroMQ.

JSON ``header``, ``image``, ``series_end``. An image has three parts: JSON, the spectra, and a pickled list of counters
of each channel. Newer devices send it as one message of three parts, older ones as three messages of one part, which
the assembler joins. Source: dranspose 0.2.0 (``dranspose.data.xspress3`` and its ingester) and a recording of NanoMAX.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from glimt.codecs.open_record import OpenRecord, chosen, json_object, one_part
from glimt.codecs.pixels import decode_pixels, encode_pixels
from glimt.codecs.protocol import Packet, PacketKind, WireProtocol
from glimt.codecs.restricted_pickle import dumps, loads
from glimt.model.errors import DecodeError
from glimt.model.frame import check_array

if TYPE_CHECKING:
    from typing_extensions import Buffer

TYP = "xspress"

META_KEYS = ("ocr", "AllEvents", "AllGood", "ClockTicks", "TotalTicks", "ResetTicks", "event_widths", "dtc")
"""What the counters in the third part are, in its order; the last one is the dead-time correction factor."""


class XspressMessage(OpenRecord, kw_only=True, eq=False):
    """Base of the three kinds of message."""

    typ: ClassVar[str] = TYP

    @classmethod
    def from_frames(cls, frames: Sequence[Buffer]) -> XspressMessage:
        """Decode a message of this kind."""
        return cls.from_header(one_part(frames, where="xspress3"), where="xspress3, part 0")


class XspressStart(XspressMessage, kw_only=True, eq=False):
    """Start of a series.

    Attributes
    ----------
    filename : str
        Where the device writes the spectra, ``""`` if it does not.
    """

    htype: Literal["header"] = "header"
    filename: str


class XspressImage(XspressMessage, kw_only=True, eq=False):
    """Spectra of all channels for one trigger.

    Attributes
    ----------
    frame : int
        Number of the trigger in its series, from 0.
    shape : list of int
        ``[channels, energy bins]``.
    exptime : float or None
        Exposure [s].
    type : str
        Element type, such as ``"uint32"``.
    compression : str or None
        ``"none"``; nothing else has been seen.
    """

    htype: Literal["image"] = "image"
    frame: int
    shape: list[int]
    exptime: float | None = 1
    type: str
    compression: str | None = "none"

    @property
    def data(self) -> npt.NDArray[Any]:
        """The spectra, ``(channel, energy bin)`` [counts]; a read-only view of the received bytes."""
        spectra = self._part(0, "data")
        if not isinstance(spectra, np.ndarray):
            where = "xspress3 image, part 1"
            spectra = decode_pixels(spectra, compression="none", shape=self.shape, dtype=self.type, where=where)
            self._array[0] = spectra
        decoded: npt.NDArray[Any] = spectra
        return decoded

    @data.setter
    def data(self, spectra: npt.ArrayLike) -> None:
        self._set_part(0, np.asarray(spectra))

    @property
    def meta(self) -> dict[str, Any]:
        """Counters by name (`META_KEYS`), each an array ``(channel,)``; `DecodeError` if they are no plain list."""
        meta = self._part(1, "meta")
        if not isinstance(meta, dict):
            where = "xspress3 image, part 2"
            values = loads(meta, where=where)
            if not isinstance(values, list | tuple):
                raise DecodeError(f"a pickled {type(values).__name__}, not a list of counters", where=where)
            meta = self._array[1] = dict(zip(META_KEYS, values, strict=False))
        counters: dict[str, Any] = meta
        return counters

    @meta.setter
    def meta(self, counters: dict[str, Any]) -> None:
        self._set_part(1, dict(counters))

    def _part(self, index: int, name: str) -> Any:
        part = self._array[index] if self._array is not None else None
        if part is None:
            raise AttributeError(f"this image has no {name} yet: assign .{name}")
        return part

    def _set_part(self, index: int, value: Any) -> None:
        parts = list(self._array or (None, None))
        parts[index] = value
        self._array = parts
        self._payload = None

    def to_frames(self) -> list[bytes]:
        """Return header, spectra and counters: as received unless one of them was assigned since."""
        if self._payload is not None:
            return [self.header_json(), *(bytes(part) for part in self._payload)]
        frames = [self.header_json()]
        for name, part in self._shown():
            packed = dumps([*part.values()]) if name == "meta" else encode_pixels(part, compression="none")
            frames.append(packed)
        return frames

    @classmethod
    def from_frames(cls, frames: Sequence[Buffer]) -> XspressImage:
        """Decode an image of exactly three parts; the counters stay pickled until ``meta`` is read."""
        if len(frames) != 3:
            raise DecodeError(
                f"{len(frames)} parts, 3 are needed (header, spectra and counters)", where="xspress3 image"
            )
        record = cls.from_header(frames[0], where="xspress3 image, part 0")
        expected, size = record.spectra_bytes(), memoryview(frames[1]).nbytes
        if size != expected:
            what = f"{size} bytes of spectra, {record.shape} of {record.type} has {expected}"
            raise DecodeError(what, where="xspress3 image, part 1")
        record._payload = tuple(frames[1:])
        record._array = list(frames[1:])
        return record

    def spectra_bytes(self) -> int:
        """Return how many bytes the spectra have; `DecodeError` if the header announces what cannot be."""
        where = "xspress3 image, part 0"
        if self.compression is not None and self.compression != "none":
            raise DecodeError(f"compression {self.compression[:40]!r}; only 'none' is known", where=where)
        return check_array(self.shape, self.type, where=where)[2]

    def _shown(self) -> list[tuple[str, Any]]:
        names = ("data", "meta")
        parts = self._array or (None, None)
        return [(name, getattr(self, name)) for name, part in zip(names, parts, strict=True) if part is not None]


class XspressEnd(XspressMessage, kw_only=True, eq=False):
    """End of a series."""

    htype: Literal["series_end"] = "series_end"


XspressRecord = XspressStart | XspressImage | XspressEnd

KINDS: dict[str, type[XspressStart] | type[XspressImage] | type[XspressEnd]] = {
    "header": XspressStart,
    "image": XspressImage,
    "series_end": XspressEnd,
}


def _header(part: Buffer) -> XspressRecord:
    values = json_object(part, where="xspress3, part 0")
    kind = chosen(values, "htype", KINDS, where="xspress3, part 0")
    return kind.from_values(values, where=f"xspress3 {values['htype']}, part 0", header=part)


def decode(frames: Sequence[Buffer]) -> XspressRecord:
    """Decode one packet: an image has three parts here, whichever way it was sent.

    Raises
    ------
    DecodeError
        Not a message of the device; the text names the part.
    """
    if not frames:
        raise DecodeError("a message without parts", where="xspress3")
    record = _header(frames[0])
    if isinstance(record, XspressImage):
        return XspressImage.from_frames(frames)
    one_part(frames, where="xspress3")
    return record


def encode(record: XspressRecord) -> list[bytes]:
    """Return the parts of the packet; ``encode(decode(frames)) == frames``."""
    return record.to_frames()


class XspressAssembler:
    """Joins images that come as three messages.

    If one of the three is lost, what is there of the image is returned as a packet of no series, and its frame number
    is missing among the data packets.
    """

    def __init__(self) -> None:
        self._pending: list[Buffer] = []
        self._image: XspressImage | None = None

    def push(self, parts: Sequence[Buffer]) -> list[Packet]:
        """Take one message, return the packets that are complete with it.

        Raises
        ------
        DecodeError
            The message breaks the protocol.
        """
        if self._image is not None and len(parts) == 1 and self._continues(self._image, parts[0]):
            self._pending.append(parts[0])
            if len(self._pending) < 3:
                return []
            packet = Packet(PacketKind.DATA, self._pending, self._image.frame)
            self._image = None
            return [packet]
        lost = [Packet(PacketKind.OTHER, self._pending)] if self._image is not None else []
        self._image = None
        return lost + self._begin(parts)

    def _continues(self, image: XspressImage, part: Buffer) -> bool:
        if len(self._pending) == 1:
            return memoryview(part).nbytes == image.spectra_bytes()
        return bytes(memoryview(part).cast("B")[:1]) == b"\x80"  # every pickle of protocol 2 or later; JSON never

    def _begin(self, parts: Sequence[Buffer]) -> list[Packet]:
        if len(parts) == 1:
            record = _header(parts[0])
            if isinstance(record, XspressImage):
                record.spectra_bytes()
                self._image, self._pending = record, [parts[0]]
                return []
        else:
            record = decode(parts)
        if isinstance(record, XspressImage):
            return [Packet(PacketKind.DATA, list(parts), record.frame)]
        return [Packet(PacketKind.START if isinstance(record, XspressStart) else PacketKind.END, list(parts))]


PROTOCOL = WireProtocol("xspress3", TYP, decode, encode, XspressAssembler)
