"""Who an event is for: any worker, all of them, or those that the trigger map names."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Recipients(enum.Enum):
    """Who an event is for, without a trigger map."""

    ANY = "any"
    ALL = "all"


ANY = Recipients.ANY
"""One worker with the tag ``generic``."""
ALL = Recipients.ALL
"""Every worker with the tag ``generic``."""


class Target(Protocol):
    """A virtual worker of the trigger map."""

    @property
    def tags(self) -> frozenset[str]:
        """What a worker must have to take a key not seen before."""

    @property
    def key(self) -> int | None:
        """Which worker; the same key means the same one, ``None`` all with these tags."""


class MappedEvent(Protocol):
    """One event of the trigger map: what is used of `glimt.model.trigger_map_part.MapEvent`."""

    @property
    def key(self) -> int | None:
        """The only key, if the whole event belongs to one worker with the tag ``generic``."""

    @property
    def pattern(self) -> Sequence[tuple[int, Sequence[object]]]:
        """As ``entries``, of which only matters which are empty."""

    @property
    def entries(self) -> Sequence[tuple[int, Sequence[Target]]]:
        """Stream index and its targets, for every stream that has a frame; no target: discard."""


class Split(NamedTuple):
    """An event's targets by kind.

    Attributes
    ----------
    keys : dict of int to tuple
        For each key the tags of its first entry and the indices of its streams.
    broadcasts : dict of frozenset to tuple
        For each set of tags the indices of the streams that all workers with these tags get.
    n_streams : int
        Streams of the event, those to discard included.
    """

    keys: dict[int, tuple[frozenset[str], tuple[int, ...]]]
    broadcasts: dict[frozenset[str], tuple[int, ...]]
    n_streams: int

    def shown(self, streams: tuple[int, ...]) -> tuple[int, ...] | None:
        """Return ``streams``, or ``None`` if that is all the event has."""
        return None if len(streams) == self.n_streams else streams


def shown_streams(pattern: Sequence[tuple[int, Sequence[object]]]) -> tuple[int, ...] | None:
    """Return the streams that are not to be discarded, ``None`` if that is all."""
    for _, targets in pattern:
        if not targets:
            return tuple(stream for stream, targets in pattern if targets)
    return None


def split_targets(event: MappedEvent) -> Split:
    """Sort the targets of ``event``; each stream is named once for each key and each set of tags."""
    keys: dict[int, tuple[frozenset[str], tuple[int, ...]]] = {}
    broadcasts: dict[frozenset[str], tuple[int, ...]] = {}
    for stream, targets in event.entries:
        for tags, key in [(target.tags, target.key) for target in targets]:
            if key is None:
                streams = broadcasts.get(tags, ())
                if stream not in streams:
                    broadcasts[tags] = (*streams, stream)
            else:
                first_tags, streams = keys.get(key, (tags, ()))
                if stream not in streams:
                    keys[key] = (first_tags, (*streams, stream))
    return Split(keys, broadcasts, len(event.entries))
