"""What ``dranspose.data.contrast`` has: the messages of Contrast."""

from __future__ import annotations

from glimt.codecs.contrast import (
    KINDS,
    ContrastFinished,
    ContrastHeartbeat,
    ContrastRunning,
    ContrastStarted,
)
from glimt.codecs.contrast import ContrastMessage as ContrastBase
from glimt.compat.dranspose.packet_adapter import PacketAdapter

ContrastPacket = PacketAdapter.by_key("contrast", "status", KINDS)

__all__ = [
    "ContrastBase",
    "ContrastFinished",
    "ContrastHeartbeat",
    "ContrastPacket",
    "ContrastRunning",
    "ContrastStarted",
]
