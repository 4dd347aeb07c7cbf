"""What ``dranspose.middlewares.stream1`` has: the parser of STINS messages."""

from __future__ import annotations

from glimt.codecs.stins import TYP, StinsRecord, decode
from glimt.compat.dranspose.middlewares import frames_of_type
from glimt.model.event import StreamData


def parse(data: StreamData) -> StinsRecord:
    """Return the message in ``data``; an image has its pixels under ``.data``, whether they were compressed or not.

    Raises
    ------
    DecodeError
        ``data`` is of another type, or is no message of this protocol; the text says what is wrong and where.
    """
    return decode(frames_of_type(data, TYP))
