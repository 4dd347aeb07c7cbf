"""What ``dranspose.middlewares.xspress`` has: the parser of Xspress3 messages."""

from __future__ import annotations

from glimt.codecs.xspress3 import TYP, XspressRecord, decode
from glimt.compat.dranspose.middlewares import frames_of_type
from glimt.model.event import StreamData


def parse(data: StreamData) -> XspressRecord:
    """Return the message in ``data``; an image has spectra under ``.data`` and counters under ``.meta``.

    Raises
    ------
    DecodeError
        ``data`` is of another type, or is no message of this protocol; the text says what is wrong and where.
    """
    return decode(frames_of_type(data, TYP))
