"""What ``dranspose.data.stream1`` has: the messages of STINS."""

from __future__ import annotations

from glimt.codecs.stins import StinsEnd as Stream1End
from glimt.codecs.stins import StinsImage as Stream1Data
from glimt.codecs.stins import StinsRecord as Stream1
from glimt.codecs.stins import StinsStart as Stream1Start
from glimt.compat.dranspose.packet_adapter import PacketAdapter

Stream1Packet = PacketAdapter.by_key(
    "stins", "htype", {"header": Stream1Start, "image": Stream1Data, "series_end": Stream1End}
)

__all__ = ["Stream1", "Stream1Data", "Stream1End", "Stream1Packet", "Stream1Start"]
