"""What ``dranspose.middlewares.albaem`` has: the parser of AlbaEM messages (dranspose itself ships none)."""

from __future__ import annotations

from glimt.codecs.albaem import TYP, AlbaemRecord, decode
from glimt.compat.dranspose.middlewares import frames_of_type
from glimt.model.event import StreamData


def parse(data: StreamData) -> AlbaemRecord:
    """Return the message in ``data``.

    Raises
    ------
    DecodeError
        ``data`` is of another type, or is no message of this protocol; the text says what is wrong and where.
    """
    return decode(frames_of_type(data, TYP))
