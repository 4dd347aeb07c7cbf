"""Which frame of which stream belongs to which event, and which worker gets it: the plan of a scan.

Meaning and JSON are those of dranspose 0.2 (its ``MappingSequence``), whose clients upload such maps.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from glimt.model.errors import UsageError
from glimt.model.trigger_map_column import Column, RuleColumn
from glimt.model.trigger_map_entries import MAX_RULE_EVENTS, clipped
from glimt.model.trigger_map_json import MAX_INSTANCES, MAX_MAP_BYTES, read_map, uniform_part, write_map
from glimt.model.trigger_map_part import IndexedPart, MapEvent, Part

WRAP_PART = "reserved_start_end"
"""Name of the part of one event that is put before and behind a map for the streams' start and end packets."""

MAX_CELLS = 1 << 25
"""Most entries and constraints in parts whose streams differ: `TriggerMap.check` looks at all, up to a few seconds."""

MAX_FRAME_TABLE = 1 << 24
"""Largest product of streams and part instances."""

EVENTS_AHEAD = 256
KEYS_AHEAD = 1 << 14
"""So many events are made at once, fewer if each has many targets: most are asked for in order."""


class TriggerMap:
    """The plan of a scan: for every event and stream, whether there is a frame and which workers get it. Immutable.

    An *entry*, one stream's share of one event, is

    - ``null``: the stream records nothing at this event;
    - ``[]``: it records a frame, which nobody needs;
    - a list of virtual workers ``{"tags": ["generic"], "constraint": n}``, each of which gets the frame. All frames
      with the same constraint go to the same worker, which has to offer the tags of the first of them. With
      ``"constraint": null``, all workers that offer the tags get it (it may be that none does). Default are the tag
      "generic" and no constraint.

    Streams list their entries in *parts*, stretches of the scan; the *sequence* says which part follows which. Every
    time a part comes (a part *instance*) its constraints mean new workers. A stream that a part does not name has no
    frames in it.

    Parameters
    ----------
    parts : mapping of str to Part
        Name to part. Their order, and that of the streams in them, is the order of `streams`.
    sequence : sequence of str
        Names of parts, in the order in which they are recorded.
    all_wrap : bool
        Put one event before and one behind, at which every stream has a frame for all workers of all tags that occur:
        its start and its end packet. Without, the parts have to have entries for these packets.

    Attributes
    ----------
    streams : tuple of str
        All streams, of unused parts too; a *stream index* is the index in here.
    n_events : int
        Number of events, with those of the wrap.
    is_wrapped : bool
        Whether the first and the last event are those of ``all_wrap``.

    Raises
    ------
    UsageError
        There is no such map: unknown part, nothing in it, too big.
    """

    __slots__ = (
        "_block", "_first_frames", "_indexed", "_instances", "_parts", "_sequence", "_spans", "_starts",
        "is_wrapped", "n_events", "streams",
    )  # fmt: skip

    def __init__(self, parts: Mapping[str, Part], sequence: Sequence[str], *, all_wrap: bool = True) -> None:
        _check_parts(parts, sequence)
        self._parts = dict(parts)
        self._sequence = tuple(sequence)
        self.streams = tuple(dict.fromkeys(stream for part in parts.values() for stream in part.columns))
        if all_wrap:
            if WRAP_PART in parts:
                raise UsageError(f"part {WRAP_PART!r} is there already: upload the map with all_wrap=false")
            self._parts[WRAP_PART] = self._wrap_part()
            self._sequence = (WRAP_PART, *sequence, WRAP_PART)
        self.is_wrapped = len(self._sequence) > 1 and self._sequence[0] == self._sequence[-1] == WRAP_PART
        numbers = {name: number for number, name in enumerate(self._parts)}
        indices = {stream: index for index, stream in enumerate(self.streams)}
        self._indexed = [IndexedPart(part, indices) for part in self._parts.values()]
        self._instances = np.fromiter((numbers[name] for name in self._sequence), np.int32, len(self._sequence))
        self._starts = self._cumulated([part.n_events for part in self._parts.values()])
        self.n_events = int(self._starts[-1])
        if not self.n_events:
            raise UsageError("trigger map has no events: every stream's list is empty")
        self._first_frames = [
            self._cumulated([part.n_frames(stream) for part in self._parts.values()]) for stream in self.streams
        ]
        self._block: tuple[int, list[MapEvent]] = (0, [])
        # Where the last frame asked for was: first and last+1 frame of the part instance, its first event, its column.
        self._spans: list[tuple[int, int, int, Column]] = [(0, 0, 0, RuleColumn(0, None))] * len(self.streams)

    @classmethod
    def from_json(
        cls, data: bytes | str | Mapping[str, Any], *, all_wrap: bool = True, max_bytes: int = MAX_MAP_BYTES
    ) -> TriggerMap:
        """Read a map as clients upload it.

        Three forms are known: ``{"parts": {part: {stream: [entry, ...]}}, "sequence": [part, ...]}``, what `json`
        makes, and ``{stream: [entry, ...]}`` for one part called "main". In place of a list there may be a *rule*,
        where ``i`` is an event's position in the part, from 0:

        ``{"each": n}``
            ``n`` entries, each for one worker: constraint ``i``.
        ``{"each": n, "group": 10}``
            Ten neighbors to the same worker: constraint ``i // 10``.
        ``{"each": n, "cycle": 3}``
            Three workers in turn: constraint ``i % 3``; with "group", ``i // group % cycle``.
        ``{"each": n, "tags": ["gpu"]}``
            For workers that offer these tags.
        ``{"repeat": entry, "n": n}``
            ``n`` times the same entry (null, [] or virtual workers).
        ``"every": 5, "offset": 4``
            With each of these: null unless ``i % every == offset``. ``i`` goes on counting at the nulls.

        Parameters
        ----------
        data : bytes, str or mapping
            JSON, or what it is made of.
        all_wrap : bool
            See `TriggerMap`.
        max_bytes : int
            Longest JSON accepted [bytes].

        Raises
        ------
        UsageError
            It is no map; the text says in which part, stream and entry.
        """
        parts, sequence = read_map(data, max_bytes=max_bytes)
        return cls(parts, sequence, all_wrap=all_wrap)

    @classmethod
    def uniform(
        cls, streams: Collection[str], n_events: int, *, part: str = "main", all_wrap: bool = True
    ) -> TriggerMap:
        """Make a map in which every event has a frame of all streams and goes to any one worker.

        Raises
        ------
        UsageError
            No stream, or a number of events that is none.
        """
        if isinstance(n_events, bool) or not isinstance(n_events, int) or not 0 <= n_events <= MAX_RULE_EVENTS:
            raise UsageError(f"number of events is {clipped(repr(n_events))}, expected 0 to {MAX_RULE_EVENTS}")
        return cls({part: uniform_part(list(streams), n_events)}, [part], all_wrap=all_wrap)

    @classmethod
    def from_sardana_hook(cls, announced: Any, known_streams: Collection[str]) -> TriggerMap:
        """Make the uniform map for a scan that Sardana announces: ``{"streams": [...], "scan": {"nb_points": n}}``.

        Parameters
        ----------
        announced : object
            The decoded JSON; keys that are not named here mean nothing.
        known_streams : collection of str
            Announced streams that are not among these are left out.

        Raises
        ------
        UsageError
            Something is missing, or none of the streams is known.
        """
        if not isinstance(announced, Mapping) or not isinstance(scan := announced.get("scan"), Mapping):
            raise UsageError("no scan info")
        if "nb_points" not in scan:
            raise UsageError("no nb_points in scan")
        streams = announced.get("streams")
        if not isinstance(streams, list) or not all(isinstance(stream, str) for stream in streams):
            raise UsageError("streams required: a list of names")
        wanted = set(streams)
        used = [name for name in known_streams if name in wanted]
        if not used:
            raise UsageError(f"none of the streams {_listed(streams)} is known; there are: {_listed(known_streams)}")
        return cls.uniform(used, scan["nb_points"], part="sardana")

    def event(self, number: int) -> MapEvent:
        """Return what the map says about event ``number``. Fast if asked in order.

        Raises
        ------
        IndexError
            There is no such event.
        """
        first, events = self._block
        if not 0 <= number - first < len(events):
            first, events = self._block = self._made_block(number)
        return events[number - first]

    def _made_block(self, number: int) -> tuple[int, list[MapEvent]]:
        if not 0 <= number < self.n_events:
            raise IndexError(f"event {number} is not in the map, which has {self.n_events}")
        instance = int(self._starts.searchsorted(number, side="right")) - 1
        start = int(self._starts[instance])
        part = self._indexed[self._instances[instance]]
        ahead = max(1, min(EVENTS_AHEAD, KEYS_AHEAD // max(1, part.width)))
        first = (number - start) // ahead * ahead
        stop = min(first + ahead, part.n_events)
        return start + first, part.events(first, stop, number=start + first, instance=instance)

    def n_frames(self, stream_index: int) -> int:
        """Return how many frames the stream has, discarded ones too, start and end packet too if the map has them."""
        return int(self._first_frames[stream_index][-1])

    def event_of_frame(self, stream_index: int, frame: int) -> int | None:
        """Return the event to which the ``frame``-th frame of a stream belongs, ``None`` if there is no such frame.

        Frames are counted from 0; a start or end packet that the map has an entry for is one of them.
        """
        first, stop, event, column = self._spans[stream_index]
        if not first <= frame < stop:
            table = self._first_frames[stream_index]
            if not 0 <= frame < table[-1]:
                return None
            instance = int(table.searchsorted(frame, side="right")) - 1
            first, event = int(table[instance]), int(self._starts[instance])
            column = self._parts[self._sequence[instance]].columns[self.streams[stream_index]]
            self._spans[stream_index] = first, int(table[instance + 1]), event, column
        return event + column.event_of_frame(frame - first)

    def frame_index(self, stream_index: int, event: int) -> int | None:
        """Return which frame of a stream belongs to an event, ``None`` if none does: inverse of `event_of_frame`.

        Raises
        ------
        IndexError
            There is no such event.
        """
        if not 0 <= event < self.n_events:
            raise IndexError(f"event {event} is not in the map, which has {self.n_events}")
        instance = int(self._starts.searchsorted(event, side="right")) - 1
        column = self._parts[self._sequence[instance]].columns.get(self.streams[stream_index])
        if column is None:
            return None
        local = event - int(self._starts[instance])
        before = column.frames_before(local)
        has_frame = column.frames_before(local + 1) > before
        return int(self._first_frames[stream_index][instance]) + before if has_frame else None

    @property
    def n_required_workers(self) -> int:
        """Largest number of different constraints in one event. Goes through all events."""
        return max(self._parts[name].n_required_workers() for name in set(self._sequence))

    def check(self, streams: Collection[str], slots: Sequence[frozenset[str]]) -> None:
        """Check that a scan with this map can end.

        Parameters
        ----------
        streams : collection of str
            The streams there are.
        slots : sequence of frozenset of str
            The tags of every worker there is.

        Raises
        ------
        UsageError
            A stream is not there, there are fewer workers than different constraints in one event, or no worker may
            take a constraint because none has its tags. (That nobody takes what is meant for *all* workers with some
            tag is no error: such is a tap that is not connected.)
        """
        if missing := set(self.streams) - set(streams):
            raise UsageError(f"streams {{{', '.join(map(repr, sorted(missing)))}}} not available")
        if len(slots) < (n_required := self.n_required_workers):
            raise UsageError(f"only {len(slots)} workers available, but {n_required} required")
        for name in dict.fromkeys(self._sequence):
            for shape in self._parts[name].used_shapes():
                for tags, has_constraint in shape or ():
                    if has_constraint and not any(tags <= offered for offered in slots):
                        raise UsageError(
                            f"part {clipped(name)!r}: no worker has the tags {_listed(tags)}; "
                            f"workers have: {_listed(frozenset().union(*slots))}"
                        )

    def json_pieces(self) -> Iterator[bytes]:
        """Yield, piece by piece, the JSON that ``GET /sequence`` answers: rules as lists, with the wrap."""
        return write_map(self._parts, self._sequence)

    def to_json_object(self) -> dict[str, Any]:
        """Return what ``GET /sequence`` answers, as Python objects: some 300 bytes an entry, see `json_pieces`."""
        content: dict[str, Any] = msgspec.json.decode(b"".join(self.json_pieces()))
        return content

    def __repr__(self) -> str:
        return f"TriggerMap(streams={self.streams}, n_events={self.n_events}, n_parts={len(self._parts)})"

    def _wrap_part(self) -> Part:
        shapes = (shape for part in self._parts.values() for shape in part.used_shapes())
        tags = sorted({tag for shape in shapes for worker_tags, _ in shape or () for tag in worker_tags})
        shape = tuple([(frozenset({tag}), False) for tag in tags])
        return Part(dict.fromkeys(self.streams, RuleColumn(1, shape, ())))

    def _cumulated(self, of_parts: list[int]) -> npt.NDArray[np.int64]:
        """Return what comes before every part instance, and at last the total."""
        total = np.zeros(len(self._instances) + 1, np.int64)
        np.cumsum(np.array(of_parts, np.int64)[self._instances], out=total[1:])
        return total


def _check_parts(parts: Mapping[str, Part], sequence: Sequence[str]) -> None:
    if not sequence:
        raise UsageError("sequence is empty: name the parts in the order in which they are recorded")
    if len(sequence) > MAX_INSTANCES:
        raise UsageError(f"sequence is longer than {MAX_INSTANCES}: make its parts longer")
    if unknown := next((name for name in sequence if name not in parts), None):
        raise UsageError(f"sequence has part {clipped(unknown)!r}, which is not in parts: {_listed(parts)}")
    if empty := next((name for name, part in parts.items() if not part.columns), None):
        raise UsageError(f"part {clipped(empty)!r} names no stream")
    if (n_cells := sum(part.n_cells() for part in parts.values())) > MAX_CELLS:
        raise UsageError(f"parts have {n_cells} entries, at most {MAX_CELLS} are accepted: repeat a shorter part")
    if len(sequence) * len({stream for part in parts.values() for stream in part.columns}) > MAX_FRAME_TABLE:
        raise UsageError(f"streams times length of the sequence is more than {MAX_FRAME_TABLE}: make the parts longer")


def _listed(names: Collection[str]) -> str:
    return clipped(", ".join(sorted(names)) or "none")
