"""What ``dranspose.data.sardana`` has: the messages of Sardana's scan recorder."""

from __future__ import annotations

from glimt.codecs.sardana import KINDS, SardanaDataDescription, SardanaRecordData, SardanaRecordEnd
from glimt.codecs.sardana import SardanaRecord as SardanaPacketType
from glimt.compat.dranspose.packet_adapter import PacketAdapter

SardanaPacket = PacketAdapter.by_key("sardana", "type", KINDS)

__all__ = ["SardanaDataDescription", "SardanaPacket", "SardanaPacketType", "SardanaRecordData", "SardanaRecordEnd"]
