"""What the run and its worker processes say to each other: MessagePack over ZeroMQ pairs in a private folder."""

from __future__ import annotations

import msgspec

from glimt.pipeline.block import Block
from glimt.pipeline.failure import Failure


class Work(msgspec.Struct, tag="work", frozen=True):
    """Process these events."""

    block: Block


class Change(msgspec.Struct, tag="change", frozen=True):
    """Use these parameter values from the next block on."""

    values: dict[str, bytes]


class Finish(msgspec.Struct, tag="finish", frozen=True):
    """No more events: run ``finish`` and ``close``, then end."""


class Ready(msgspec.Struct, tag="ready", frozen=True):
    """The worker's class is imported and made."""


class Refused(msgspec.Struct, tag="refused", frozen=True):
    """The worker cannot start; one line for a human and the traceback of the user's code, if it was that."""

    error: str
    trace: str


class Done(msgspec.Struct, tag="done", frozen=True):
    """A block was processed.

    Attributes
    ----------
    number : int
        The block.
    parameters_hash : str
        Content hash of the parameters that were used.
    event_numbers : list of int
        The events with a result, in order.
    payloads : bytes
        List of their payloads, as `glimt.pipeline.result_codec.encode_result` makes it.
    failures : list of Failure
        Calls that raised.
    error : str
        Why some of its events could not be read; empty if all were.
    small_frames : list of (int, bytes)
        Event number and what may carry scalars, packed, if somebody looks.
    """

    number: int
    parameters_hash: str = ""
    event_numbers: list[int] = []
    payloads: bytes = b""
    failures: list[Failure] = []
    error: str = ""
    small_frames: list[tuple[int, bytes]] = []


class Finished(msgspec.Struct, tag="finished", frozen=True):
    """``finish`` and ``close`` ran."""

    failures: list[Failure]


ToWorker = Work | Change | Finish
FromWorker = Ready | Refused | Done | Finished
