"""What ``dranspose.middlewares.positioncap`` has: the parser of PandABox text that came over TCP."""

from __future__ import annotations

from glimt.codecs.pandabox_text import TYP, PositionCapEnd, PositionCapParser, PositionCapStart, PositionCapValues
from glimt.compat.dranspose.middlewares import frames_of_type
from glimt.model.event import StreamData


class PositioncapParser(PositionCapParser):
    """Understands the lines of a capture with the header before them: one parser a stream, fed in order."""

    def parse(self, data: StreamData) -> PositionCapStart | PositionCapValues | PositionCapEnd:
        """Return the header, values or end in ``data``.

        Raises
        ------
        DecodeError
            ``data`` is of another type, damaged, or came before the header.
        """
        return self.read(frames_of_type(data, TYP))
