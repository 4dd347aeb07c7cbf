"""What ``dranspose.middlewares.lecroy`` has: the parser of LeCroy events."""

from __future__ import annotations

from glimt.codecs.lecroy import TYP, LecroyRecord, decode
from glimt.compat.dranspose.middlewares import frames_of_type
from glimt.model.event import StreamData


def parse(data: StreamData) -> LecroyRecord:
    """Return the message in ``data``; an event has ``.meta``, ``.data`` and ``.timestamps``, lists over the channels.

    Raises
    ------
    DecodeError
        ``data`` is of another type, or is no message of this protocol; the text says what is wrong and where.
    """
    return decode(frames_of_type(data, TYP))
