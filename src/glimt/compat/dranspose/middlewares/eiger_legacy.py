"""What ``dranspose.middlewares.eiger_legacy`` has: the parser of DECTRIS stream V1."""

from __future__ import annotations

from glimt.codecs.dectris_v1_header import TYP
from glimt.codecs.eiger_legacy import EigerLegacyRecord, decode
from glimt.model.errors import DecodeError
from glimt.model.event import StreamData


def parse(data: StreamData) -> EigerLegacyRecord:
    """Return the header, image or end in ``data``; pixels stay compressed, under ``packet.data["buffer"]``.

    Raises
    ------
    DecodeError
        ``data`` is of another type, or is no message of this protocol.
    """
    if data.typ != TYP:
        raise DecodeError(f"stream data of type {data.typ!r:.60}, {TYP!r} is needed", where="eiger_legacy")
    return decode(data.frames)
