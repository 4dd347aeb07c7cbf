"""What ``dranspose.data.xspress3`` has: the messages of Xspress3."""

from __future__ import annotations

from glimt.codecs.xspress3 import KINDS, XspressEnd, XspressImage, XspressStart
from glimt.codecs.xspress3 import XspressMessage as XspressBase
from glimt.compat.dranspose.packet_adapter import PacketAdapter

XspressPacket = PacketAdapter.by_key("xspress3", "htype", KINDS)

__all__ = ["XspressBase", "XspressEnd", "XspressImage", "XspressPacket", "XspressStart"]
