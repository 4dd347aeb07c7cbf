"""``dranspose.protocol``: the names that analyses use; most are no more than names for ``str`` and ``int``."""

from __future__ import annotations

from typing import NewType

import msgspec

from glimt.model.parameters import WorkParameter
from glimt.pipeline.state import ReducerState, WorkerState

StreamName = NewType("StreamName", str)
WorkerName = NewType("WorkerName", str)
WorkerTag = NewType("WorkerTag", str)
IngesterName = NewType("IngesterName", str)
ParameterName = NewType("ParameterName", str)
MappingName = NewType("MappingName", str)
HashDigest = NewType("HashDigest", str)
VirtualConstraint = NewType("VirtualConstraint", int)
EventNumber = NewType("EventNumber", int)

GENERIC_WORKER = WorkerTag("generic")


class VirtualWorker(msgspec.Struct, kw_only=True):
    """Entry of a trigger map.

    Attributes
    ----------
    tags : set of str
        What a worker must have to get the event.
    constraint : int or None
        Equal numbers go to the same worker; ``None`` goes to all workers with these tags.
    """

    tags: set[str] = msgspec.field(default_factory=lambda: {GENERIC_WORKER})
    constraint: int | None = None


__all__ = [
    "GENERIC_WORKER",
    "EventNumber",
    "HashDigest",
    "IngesterName",
    "MappingName",
    "ParameterName",
    "ReducerState",
    "StreamName",
    "VirtualConstraint",
    "VirtualWorker",
    "WorkParameter",
    "WorkerName",
    "WorkerState",
    "WorkerTag",
]
