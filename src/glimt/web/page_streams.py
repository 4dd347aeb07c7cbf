"""Scalars of streams, such as I0, beside what a reducer publishes: on the page as if it had published them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from glimt.pipeline.kept_scalars import KeptScalars
from glimt.web.page_feed import LocalFeed, PageNode, Reading, fingerprint

STREAMS, MEANS = "/streams", "/stream_means"

_NAN = float("nan")
_MAX_EVENTS = 64


class StreamFeed(LocalFeed):
    """Reads a reducer in this process; its attribute ``scalars``, where there is one, tells those of the streams."""

    def read(self, wanted: Mapping[str, int | None], *, sign: int = 0, wait_s: float = 0.0) -> Reading:
        """Return what is published; see `glimt.web.page_feed.Feed.read`."""
        reading = super().read(wanted, sign=sign, wait_s=wait_s)
        kept: KeptScalars | None = getattr(self._published, "scalars", None)
        if kept is None:
            return reading
        if reading.values and getattr(self._published, "newest_event", None) != reading.event_number:
            # An event was reduced meanwhile: which one the images are of is sure where none is.
            reading = super().read(wanted, sign=sign)
        return _with_scalars(reading, wanted, kept)


def _with_scalars(reading: Reading, wanted: Mapping[str, int | None], kept: KeptScalars) -> Reading:
    found = kept.newest_and_means()
    newest, means = _under(STREAMS, found[0]), _under(MEANS, found[1])
    known = {node.path: node.kind for node in reading.nodes}
    shown = {path: value for path, value in (newest | means).items() if _is_free(path, known)}
    if not shown:
        return reading
    arrays = {path: np.asarray(shown[path]) for path in wanted if path in shown}
    prints = {path: fingerprint(array) for path, array in arrays.items()}
    missing = {path: _NAN for path in newest if path in shown}
    at = {}
    for event in _events(reading, wanted):
        scalars = _under(STREAMS, kept.at(event))
        at[event] = missing | {path: value for path, value in scalars.items() if _is_free(path, known)}
    return replace(
        reading,
        nodes=[*reading.nodes, *_nodes(shown, known)],
        numbers=shown | reading.numbers,
        values=reading.values | {path: arrays[path] for path in arrays if wanted[path] != prints[path]},
        prints=reading.prints | prints,
        scalars=at,
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


def _events(reading: Reading, wanted: Mapping[str, int | None]) -> set[int]:
    """Return the events that arrays of the page may be of."""
    told = [node.attributes.get("event_number") for node in reading.nodes if node.path in wanted or node.path == "/"]
    found = [event for event in told if isinstance(event, int) and not isinstance(event, bool)]
    return {event for event in (reading.event_number, *found[:_MAX_EVENTS]) if event is not None}
