"""What ``dranspose.data.albaem`` has: the messages of the AlbaEM electrometer."""

from __future__ import annotations

from glimt.codecs.albaem import KINDS, AlbaemData, AlbaemEnd, AlbaemStart
from glimt.codecs.albaem import AlbaemMessage as AlbaemBase
from glimt.compat.dranspose.packet_adapter import PacketAdapter

AlbaemPacket = PacketAdapter.by_key("albaem", "message_type", KINDS)

__all__ = ["AlbaemBase", "AlbaemData", "AlbaemEnd", "AlbaemPacket", "AlbaemStart"]
