"""What ``dranspose.data.pcap`` has: the messages of a PandABox that come over ZeroMQ."""

from __future__ import annotations

from glimt.codecs.pandabox import KINDS
from glimt.codecs.pandabox import PcapData as PCAPData
from glimt.codecs.pandabox import PcapEnd as PCAPEnd
from glimt.codecs.pandabox import PcapMessage as PCAPBase
from glimt.codecs.pandabox import PcapStart as PCAPStart
from glimt.compat.dranspose.packet_adapter import PacketAdapter

PCAPPacket = PacketAdapter.by_key("pandabox", "message_type", KINDS)

__all__ = ["PCAPBase", "PCAPData", "PCAPEnd", "PCAPPacket", "PCAPStart"]
