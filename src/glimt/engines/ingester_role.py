"""What the ingester process of a live run is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from glimt.engines.run_keys import NO_KEYS, RunKeys

if TYPE_CHECKING:
    from glimt.engines.intake import Intake


@dataclass(frozen=True, slots=True)
class IngesterRole:
    """All that the ingester process needs to know; pickled to it.

    Attributes
    ----------
    token : bytes
        The secret of the run.
    address : str
        Where workers connect; bound here.
    control_address : str
        ZeroMQ address.
    prepare : callable
        Called first: sets up logging as in the process that started it.
    open_intake : callable
        Opens the sources.
    open_spill : callable
        Returns where events that find no room are written: an object with ``write(event)`` and ``close()``.
    slots : dict of str to frozenset of str
        Names and tags of the worker slots.
    queue_bytes : int
        Most that complete events may take in memory.
    share_memory : bool
        The workers are on this machine.
    keys, frame_keys : RunKeys
        Of the connections to control and reducer, and of those to workers.
    data : dict of str to bytes
        Parameter values in wire form.
    version : int
        Their version.
    first_scan : int
        Number of the first scan; larger than any before in this run.
    """

    token: bytes
    address: str
    control_address: str
    prepare: Callable[[], None]
    open_intake: Callable[[], Intake]
    open_spill: Callable[[], Any]
    slots: Mapping[str, frozenset[str]]
    queue_bytes: int
    share_memory: bool
    data: dict[str, bytes]
    version: int = 0
    first_scan: int = 0
    keys: RunKeys = NO_KEYS
    frame_keys: RunKeys = NO_KEYS
