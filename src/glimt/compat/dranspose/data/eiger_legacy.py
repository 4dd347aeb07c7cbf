"""What ``dranspose.data.eiger_legacy`` has: the messages of DECTRIS stream V1."""

from __future__ import annotations

from glimt.codecs.eiger_legacy import KINDS, EigerLegacyEnd, EigerLegacyHeader, EigerLegacyImage
from glimt.codecs.eiger_legacy import EigerLegacyRecord as EigerLegacy
from glimt.compat.dranspose.packet_adapter import PacketAdapter

EigerLegacyPacket = PacketAdapter.by_key("eiger_legacy", "htype", KINDS)

__all__ = ["EigerLegacy", "EigerLegacyEnd", "EigerLegacyHeader", "EigerLegacyImage", "EigerLegacyPacket"]
