"""DECTRIS stream V1 in the shape that dranspose gives it: ``EIGER_LEGACY``.

The same messages as `glimt.codecs.dectris_v1`, which decodes them; here the parts appear as plain dicts and the
pixels as the bytes that were received. Source: dranspose 0.2.0 (``dranspose.data.eiger_legacy``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

import msgspec

from glimt.codecs import dectris_v1
from glimt.codecs.dectris_v1 import DectrisV1End, DectrisV1Image
from glimt.codecs.dectris_v1_header import TYP, DectrisV1Header
from glimt.codecs.open_record import OpenRecord
from glimt.codecs.protocol import WireProtocol
from glimt.codecs.record import header_kind
from glimt.model.errors import DecodeError

if TYPE_CHECKING:
    from typing_extensions import Buffer

V = TypeVar("V", DectrisV1Header, DectrisV1Image)


class EigerLegacyHeader(OpenRecord, kw_only=True):
    """Start of a series.

    ``header_detail`` and ``series`` are among the keys of the message; two attributes are made from its other parts:

    Attributes
    ----------
    info : dict
        The detector configuration under DECTRIS's own names; empty if the header has none.
    appendix : object
        The header appendix: the value of its JSON, the bytes themselves if they are none; ``None`` without one.
    """

    typ: ClassVar[str] = TYP
    htype: Literal["dheader-1.0"] = "dheader-1.0"

    @property
    def info(self) -> dict[str, Any]:
        """The detector configuration under DECTRIS's own names."""
        found: dict[str, Any] = _shaped(self, _header_attributes)["info"]
        return found

    @property
    def appendix(self) -> Any:
        """What the control system had set as ``header_appendix``."""
        return _shaped(self, _header_attributes)["appendix"]

    def to_frames(self) -> list[bytes]:
        """Return the parts of the message; those after the first as received."""
        return [self.header_json(), *_received(self, DectrisV1Header).to_frames()[1:]]

    @classmethod
    def from_frames(cls, frames: Sequence[Buffer]) -> EigerLegacyHeader:
        """Decode a header; the tables of pixels are not looked into."""
        received = DectrisV1Header.from_frames(frames)
        record = cls.from_header(frames[0], where="eiger_legacy header, part 0")
        record._payload = received
        return record

    def _shown(self) -> list[tuple[str, Any]]:
        return [*_shaped(self, _header_attributes).items()] if self._payload is not None else []


class EigerLegacyImage(OpenRecord, kw_only=True):
    """One frame.

    ``hash`` and ``series`` are among the keys of the message; two attributes are made from its other parts:

    Attributes
    ----------
    frame : int
        Number of the frame in its series, from 0.
    data : dict
        ``encoding``, ``shape`` (fast axis first), ``size``, ``type``, and ``buffer``: the pixels as `bytes`, still
        compressed, and not compared with ``size``.
    config : dict
        ``real_time``, ``start_time``, ``stop_time`` [ns].
    """

    typ: ClassVar[str] = TYP
    htype: Literal["dimage-1.0"] = "dimage-1.0"
    frame: int

    @property
    def data(self) -> dict[str, Any]:
        """What the message says about its pixels, and under ``buffer`` the pixels as `bytes`, still compressed."""
        found: dict[str, Any] = _shaped(self, _image_attributes)["data"]
        return found

    @property
    def config(self) -> dict[str, Any]:
        """When the frame was exposed [ns]."""
        found: dict[str, Any] = _shaped(self, _image_attributes)["config"]
        return found

    def to_frames(self) -> list[bytes]:
        """Return the parts of the message; those after the first as received."""
        return [self.header_json(), *_received(self, DectrisV1Image).to_frames()[1:]]

    @classmethod
    def from_frames(cls, frames: Sequence[Buffer]) -> EigerLegacyImage:
        """Decode an image; the pixels are not looked into."""
        received = DectrisV1Image.from_frames(frames)
        record = cls.from_header(frames[0], where="eiger_legacy image, part 0")
        record._payload = received
        return record

    def _shown(self) -> list[tuple[str, Any]]:
        return [*_shaped(self, _image_attributes).items()] if self._payload is not None else []


class EigerLegacyEnd(OpenRecord, kw_only=True):
    """End of a series; ``series`` is among its keys."""

    typ: ClassVar[str] = TYP
    htype: Literal["dseries_end-1.0"] = "dseries_end-1.0"

    @classmethod
    def from_frames(cls, frames: Sequence[Buffer]) -> EigerLegacyEnd:
        """Decode an end message; parts after the first mean nothing and are ignored."""
        DectrisV1End.from_frames(frames)
        return cls.from_header(frames[0], where="eiger_legacy series_end, part 0")


EigerLegacyRecord = EigerLegacyHeader | EigerLegacyImage | EigerLegacyEnd

KINDS: dict[str, type[EigerLegacyHeader] | type[EigerLegacyImage] | type[EigerLegacyEnd]] = {
    "dimage-1.0": EigerLegacyImage,
    "dheader-1.0": EigerLegacyHeader,
    "dseries_end-1.0": EigerLegacyEnd,
}


def _received(record: OpenRecord, kind: type[V]) -> V:
    if not isinstance(record._payload, kind):
        raise AttributeError(f"this {type(record).__name__} has only its first part; decode one from frames")
    return record._payload


def _shaped(record: OpenRecord, attributes: Any) -> dict[str, Any]:
    """Return the attributes made from the parts after the first, always the same objects: user code changes them."""
    if record._array is None:
        record._array = attributes(record)
    found: dict[str, Any] = record._array
    return found


def _header_attributes(record: EigerLegacyHeader) -> dict[str, Any]:
    header = _received(record, DectrisV1Header)
    return {"info": header.config, "appendix": _read_appendix(header.appendix)}


def _read_appendix(part: bytes | None) -> Any:
    if part is None:
        return None
    try:
        return msgspec.json.decode(part)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return part  # control systems may set any bytes


def _image_attributes(record: EigerLegacyImage) -> dict[str, Any]:
    image = _received(record, DectrisV1Image)
    return {
        "data": msgspec.json.decode(image.layout.header_json()) | {"buffer": bytes(image.payload)},
        "config": msgspec.json.decode(image.times.header_json()),
    }


def decode(frames: Sequence[Buffer]) -> EigerLegacyRecord:
    """Decode one message.

    Parameters
    ----------
    frames : sequence of buffer
        The parts of the message. Pixels and tables are not decoded.

    Raises
    ------
    DecodeError
        Not a message of DECTRIS stream V1; the text names the part.
    """
    if not frames:
        raise DecodeError("a message without parts", where="eiger_legacy")
    kind = header_kind(frames[0], where="eiger_legacy, part 0")
    record = KINDS.get(kind)
    if record is None:
        raise DecodeError(f"htype {kind[:40]!r} is not one of {', '.join(KINDS)}", where="eiger_legacy, part 0")
    return record.from_frames(frames)


def encode(record: EigerLegacyRecord) -> list[bytes]:
    """Return the parts of the message; ``encode(decode(frames)) == frames``."""
    return record.to_frames()


PROTOCOL = WireProtocol("eiger-legacy", TYP, decode, encode, dectris_v1.PROTOCOL.assembler)
