"""Contrast: what MAX IV's acquisition framework of that name publishes over ZeroMQ, one pickled dict a message.

``status`` says which: ``started``, ``running`` once a point of the scan, ``finished``; ``heartbeat`` in between.
Source: dranspose 0.2.0 (``dranspose.data.contrast``) and a recording of NanoMAX.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from glimt.codecs.open_record import OpenRecord, chosen, one_part
from glimt.codecs.protocol import PacketKind, SingleMessageAssembler, WireProtocol
from glimt.codecs.restricted_pickle import dumps, loads
from glimt.model.errors import DecodeError

if TYPE_CHECKING:
    from typing_extensions import Buffer

TYP = "contrast"
_WHERE = "contrast, part 0"


class ContrastMessage(OpenRecord, kw_only=True, eq=False):
    """Base of the four kinds of message.

    What the detectors of the scan gave is under keys of the beamline: numbers, texts, NumPy arrays, dicts of them.
    """

    typ: ClassVar[str] = TYP

    def to_frames(self) -> list[bytes]:
        """Return the message: the dict, pickled anew."""
        return [dumps(self.values())]

    @classmethod
    def from_frames(cls, frames: Sequence[Buffer]) -> ContrastMessage:
        """Decode a message of this kind."""
        return cls.from_values(_pickled_dict(one_part(frames, where="contrast")), where=_WHERE)

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other) or not isinstance(other, ContrastMessage):
            return False
        return _same(self.values(), other.values())

    __hash__ = None


class ContrastStarted(ContrastMessage, kw_only=True, eq=False):
    """Start of a scan.

    Attributes
    ----------
    path : str
        Directory the scan is written to.
    scannr : int
        Number of the scan.
    description : str
        The macro with its arguments.
    """

    status: Literal["started"] = "started"
    path: str
    scannr: int
    description: str


class ContrastRunning(ContrastMessage, kw_only=True, eq=False):
    """One point of the scan; motors and detectors are keys of the beamline.

    Attributes
    ----------
    dt : float
        Seconds since the scan started.
    """

    status: Literal["running"] = "running"
    dt: float


class ContrastFinished(ContrastMessage, kw_only=True, eq=False):
    """End of a scan; the fields are those of its start."""

    status: Literal["finished"] = "finished"
    path: str
    scannr: int
    description: str


class ContrastHeartbeat(ContrastMessage, kw_only=True, eq=False):
    """Sent between scans: the framework lives."""

    status: Literal["heartbeat"] = "heartbeat"


ContrastRecord = ContrastStarted | ContrastRunning | ContrastFinished | ContrastHeartbeat

KINDS: dict[str, type[ContrastStarted] | type[ContrastRunning] | type[ContrastFinished] | type[ContrastHeartbeat]] = {
    "started": ContrastStarted,
    "running": ContrastRunning,
    "finished": ContrastFinished,
    "heartbeat": ContrastHeartbeat,
}

_PACKET_KINDS = {
    "started": PacketKind.START,
    "running": PacketKind.DATA,
    "finished": PacketKind.END,
    "heartbeat": PacketKind.OTHER,
}


def _pickled_dict(part: Buffer) -> dict[str, Any]:
    values = loads(part, where=_WHERE)
    if not isinstance(values, dict) or not all(type(key) is str for key in values):
        raise DecodeError(f"a pickled {type(values).__name__}, not a dict by names", where=_WHERE)
    own = ("status", "path", "scannr", "description", "dt")
    return values | {key: values[key].item() for key in own if isinstance(values.get(key), np.generic)}


def _same(mine: Any, theirs: Any) -> bool:
    if isinstance(mine, np.ndarray) or isinstance(theirs, np.ndarray):
        same_type = isinstance(theirs, np.ndarray) and isinstance(mine, np.ndarray) and mine.dtype == theirs.dtype
        return same_type and mine.shape == theirs.shape and mine.tobytes() == theirs.tobytes()
    if isinstance(mine, dict) and isinstance(theirs, dict):
        return mine.keys() == theirs.keys() and all(_same(mine[key], theirs[key]) for key in mine)
    if isinstance(mine, list | tuple) and isinstance(theirs, list | tuple):
        return len(mine) == len(theirs) and all(map(_same, mine, theirs))
    return mine is theirs or bool(mine == theirs) or (mine != mine and theirs != theirs)


def decode(frames: Sequence[Buffer]) -> ContrastRecord:
    """Decode one message.

    Raises
    ------
    DecodeError
        Not a message of Contrast, or a pickle of more than plain data and arrays; the text says what and where.
    """
    values = _pickled_dict(one_part(frames, where="contrast"))
    kind = chosen(values, "status", KINDS, where=_WHERE)
    return kind.from_values(values, where=f"contrast {values['status']}, part 0")


def encode(record: ContrastRecord) -> list[bytes]:
    """Return the parts of the message; ``decode(encode(record)) == record``."""
    return record.to_frames()


def _classify(parts: Sequence[Any]) -> tuple[PacketKind, int | None]:
    return _PACKET_KINDS[decode(parts).status], None


PROTOCOL = WireProtocol("contrast", TYP, decode, encode, partial(SingleMessageAssembler, _classify))
