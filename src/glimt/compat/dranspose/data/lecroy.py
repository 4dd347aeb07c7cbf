"""What ``dranspose.data.lecroy`` has: the messages of a LeCroy oscilloscope."""

from __future__ import annotations

from functools import partial

from glimt.codecs.lecroy import TYP as LECROY_TYPE
from glimt.codecs.lecroy import (
    LecroyData,
    LecroyEnd,
    LecroyParsed,
    LecroyPrepare,
    LecroySeqEnd,
    LecroySeqStart,
    kind_of,
)
from glimt.codecs.lecroy import LecroyMessage as LecroyBase
from glimt.codecs.lecroy import What as WhatEnum
from glimt.compat.dranspose.packet_adapter import PacketAdapter

LecroyPacket = PacketAdapter("lecroy", partial(kind_of, where="lecroy, part 0"))

__all__ = [
    "LECROY_TYPE",
    "LecroyBase",
    "LecroyData",
    "LecroyEnd",
    "LecroyPacket",
    "LecroyParsed",
    "LecroyPrepare",
    "LecroySeqEnd",
    "LecroySeqStart",
    "WhatEnum",
]
