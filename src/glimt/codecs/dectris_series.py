"""How the messages of a DECTRIS detector become packets: every one belongs to a numbered series."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from glimt.codecs.protocol import Packet, PacketKind

if TYPE_CHECKING:
    from typing_extensions import Buffer


class SeriesPosition(NamedTuple):
    """Where in which series a message stands; ``series_id`` is ``None`` for one that belongs to no series."""

    kind: PacketKind
    series_id: int | None
    frame_number: int | None = None


class SeriesAssembler:
    """Assembler of protocols in which every message is one packet and says which series it is of.

    A detector that was aborted and armed again first empties its queue: frames of the old series may follow the start
    of the new one. Such leftovers become packets of kind ``OTHER``, which are counted and are no events. Before the
    first start nothing is held back: of several receivers that share a stream only one gets the start.

    Parameters
    ----------
    locate : callable
        Parts of a message to its `SeriesPosition`; raises `DecodeError` for a message that is none.
    """

    def __init__(self, locate: Callable[[Sequence[Any]], SeriesPosition]) -> None:
        self._locate = locate
        self._series_id: int | None = None

    def push(self, parts: Sequence[Buffer]) -> list[Packet]:
        """Return the message as its one packet."""
        kind, series_id, frame_number = self._locate(parts)
        if kind is PacketKind.START:
            self._series_id = series_id
        elif self._series_id not in (None, series_id):
            return [Packet(PacketKind.OTHER, list(parts), is_stale=True)]
        return [Packet(kind, list(parts), frame_number, frame_number)]  # DECTRIS counts every series from 0
