"""The parsers of dranspose, one module a protocol."""

from __future__ import annotations

from typing import Any

from glimt.model.errors import DecodeError
from glimt.model.event import StreamData

__all__ = ["frames_of_type"]


def frames_of_type(data: StreamData, typ: str) -> list[Any]:
    """Return the frames of ``data``.

    Raises
    ------
    DecodeError
        They are of another protocol than the parser.
    """
    if data.typ != typ:
        raise DecodeError(f"stream data of type {data.typ!r:.60}, this parser understands {typ!r}", where="event")
    return data.frames
