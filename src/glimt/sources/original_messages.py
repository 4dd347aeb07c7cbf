"""The messages that an event of a capture was made of, as the device sent them.

In most protocols that is one message an event. The events of a LeCroy oscilloscope hold the messages of a whole
sequence one after the other: one part for a remark, three for the traces of a channel.
"""

from __future__ import annotations

from typing import Any

import msgspec

from glimt.codecs import lecroy
from glimt.model.event import StreamData, frame_bytes

_N_TRACE_PARTS = 3


class _Head(msgspec.Struct):
    htype: str = ""


_DECODER = msgspec.json.Decoder(_Head)


def original_messages(data: StreamData) -> list[list[Any]]:
    """Return the messages, each a list of parts; what cannot be told apart stays one message."""
    if data.typ != lecroy.TYP or len(data.frames) < 2:
        return [data.frames]
    messages: list[list[Any]] = []
    at = 0
    while at < len(data.frames):
        try:
            head = _DECODER.decode(frame_bytes(data.frames[at]))
        except msgspec.MsgspecError:
            return [data.frames]
        n_parts = _N_TRACE_PARTS if head.htype == "traces" else 1
        messages.append(data.frames[at : at + n_parts])
        at += n_parts
    return messages
