"""Scalars of streams, such as I0, beside what a reducer publishes: on the page as if it had published them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from glimt.pipeline.kept_scalars import KeptScalars
from glimt.web.page_feed import LocalFeed, PageNode, Reading, fingerprint

STREAMS, MEANS = "/streams", "/stream_means"

_NAN = float("nan")
_TRIES = 3


class StreamFeed(LocalFeed):
    """Reads a reducer in this process; its attribute ``scalars``, where there is one, tells those of the streams."""

    def read(self, wanted: Mapping[str, int | None], *, sign: int = 0, wait_s: float = 0.0) -> Reading:
        """Return what is published; see `glimt.web.page_feed.Feed.read`."""
        reading, is_sure, is_calm = self._look(wanted, sign=sign, wait_s=wait_s)
        kept: KeptScalars | None = getattr(self._published, "scalars", None)
        if kept is None:
            return reading
        for _ in range(_TRIES):
            # If an event was reduced meanwhile, it is not known which one an image is of that does not say it.
            if is_calm or not reading.values:
                break
            reading, is_sure, is_calm = self._look(wanted, sign=sign, wait_s=0.0)
        return _with_scalars(reading, wanted, kept, is_sure=is_sure)


def _with_scalars(reading: Reading, wanted: Mapping[str, int | None], kept: KeptScalars, *, is_sure: bool) -> Reading:
    found = kept.newest_and_means()
    newest, means = _under(STREAMS, found[0]), _under(MEANS, found[1])
    event_of = {f"{STREAMS}/{name}": event for name, event in found[2].items()}
    known = {node.path: node.kind for node in reading.nodes}
    shown = {path: value for path, value in (newest | means).items() if _is_free(path, known)}
    if not shown:
        return reading
    arrays = {path: np.asarray(shown[path]) for path in wanted if path in shown}
    prints = {path: fingerprint(array) for path, array in arrays.items()}
    events = {path: event_of[path] for path in arrays if path in event_of}
    missing = {path: _NAN for path in newest if path in shown}
    at: dict[int, dict[str, float]] = {}
    told = _told_events(reading, wanted)
    newest_event = set() if reading.event_number is None else {reading.event_number}
    for event in told.union(events.values(), newest_event):
        scalars = _under(STREAMS, kept.at(event)) if is_sure or event in told else {}
        at[event] = missing | {path: value for path, value in scalars.items() if _is_free(path, known)}
    return replace(
        reading,
        nodes=[*reading.nodes, *_nodes(shown, known)],
        numbers=reading.numbers | shown,
        values=reading.values | {path: arrays[path] for path in arrays if wanted[path] != prints[path]},
        prints=reading.prints | prints,
        scalars=at,
        events=events,
    )


def _under(group: str, scalars: Mapping[str, float]) -> dict[str, float]:
    return {f"{group}/{name}": value for name, value in scalars.items()}


def _is_free(path: str, known: Mapping[str, str]) -> bool:
    """Tell whether the reducer publishes nothing there: what it publishes comes first."""
    return path not in known and all(known.get(group, "group") == "group" for group in _groups(path))


def _groups(path: str) -> list[str]:
    parts = path.split("/")[1:-1]
    return ["/" + "/".join(parts[: i + 1]) for i in range(len(parts))]


def _nodes(shown: Iterable[str], known: Mapping[str, str]) -> list[PageNode]:
    groups = dict.fromkeys(group for path in shown for group in _groups(path) if group not in known)
    made = [PageNode(path, "group", {}) for path in groups]
    return made + [PageNode(path, "dataset", {}, "number", "float64", ()) for path in shown if path not in groups]


def _told_events(reading: Reading, wanted: Mapping[str, int | None]) -> set[int]:
    """Return the events that arrays of the page say they are of."""
    told = [node.attributes.get("event_number") for node in reading.nodes if node.path in wanted or node.path == "/"]
    return {event for event in told if isinstance(event, int) and not isinstance(event, bool)}
