"""What ``dranspose.middlewares.contrast`` has: the parser of Contrast messages."""

from __future__ import annotations

from glimt.codecs.contrast import TYP, ContrastRecord, decode
from glimt.compat.dranspose.middlewares import frames_of_type
from glimt.model.event import StreamData


def parse(data: StreamData) -> ContrastRecord:
    """Return the message in ``data``.

    Raises
    ------
    DecodeError
        ``data`` is of another type, or is no message of this protocol; the text says what is wrong and where.
    """
    return decode(frames_of_type(data, TYP))
