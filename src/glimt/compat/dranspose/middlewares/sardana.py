"""What ``dranspose.middlewares.sardana`` has: the parser of Sardana's scan recorder."""

from __future__ import annotations

from glimt.codecs.sardana import TYP, SardanaRecord, decode
from glimt.compat.dranspose.middlewares import frames_of_type
from glimt.model.event import StreamData


def parse(data: StreamData) -> SardanaRecord:
    """Return the message in ``data``.

    Raises
    ------
    DecodeError
        ``data`` is of another type, or is no message of this protocol; the text says what is wrong and where.
    """
    return decode(frames_of_type(data, TYP))
