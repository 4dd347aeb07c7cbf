"""What ``dranspose.data.positioncap`` has: the messages of a PandABox that come as text over TCP."""

from __future__ import annotations

from glimt.codecs.pandabox_text import PositionCapEnd, PositionCapField, PositionCapStart, PositionCapValues

PositionCapPacketType = PositionCapStart | PositionCapValues | PositionCapEnd
PositionCapPacket = PositionCapPacketType

__all__ = [
    "PositionCapEnd",
    "PositionCapField",
    "PositionCapPacket",
    "PositionCapPacketType",
    "PositionCapStart",
    "PositionCapValues",
]
