"""What user classes are told about the process they run in (the ``state`` argument of their constructors)."""

from __future__ import annotations

import msgspec


class WorkerState(msgspec.Struct):
    """State of a worker.

    Attributes
    ----------
    name : str
        Name of the worker, unique in its run.
    tags : list of str
        What kinds of events it takes.
    """

    name: str
    tags: list[str] = msgspec.field(default_factory=lambda: ["generic"])


class ReducerState(msgspec.Struct):
    """State of a reducer.

    Attributes
    ----------
    name : str
        Always ``"reducer"``.
    url : str
        Where results are sent; empty in replay.
    """

    name: str = "reducer"
    url: str = ""
