"""Scalars of streams at the events that were reduced last, and their means since the scan began."""

from __future__ import annotations

import math
import random
import threading
import time
from collections import OrderedDict

from glimt.pipeline.stream_scalars import MAX_NAMES, joined, scalars_of, unpacked

MAX_BYTES = 16 << 20
"""What is kept of events that are over, oldest forgotten first [bytes]."""
MAX_STREAMS = 64

_EVENT_BYTES = 250
_MEAN_S = 0.002
_MAX_UNREAD = 50_000
_FIRST_COST_S = 1e-4

Scalars = dict[str, float]
"""Numbers by ``stream/name``."""


class KeptScalars:
    """Keeps the small frames of events as they are reduced; decodes them when it is asked, in the thread that asks.

    Parameters
    ----------
    max_bytes : int
        Most that is kept, with about what Python needs for it.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._n_bytes = 0
        self._unread: dict[int, int] = {}  # event number: its first stream that was not read
        self._reading = threading.Lock()
        self._newest: dict[str, tuple[int, Scalars]] = {}
        self._sums: dict[str, tuple[float, int]] = {}
        self._cost_s = _FIRST_COST_S

    def keep(self, event_number: int, packed: bytes) -> None:
        """Take what one worker passed on of an event; each stream of an event counts once.

        Parameters
        ----------
        event_number : int
            The event.
        packed : bytes
            As `glimt.pipeline.stream_scalars.small_frames` returns it.
        """
        with self._lock:
            known = self._kept.get(event_number)
            if known is None:
                self._unread[event_number] = 0
                self._n_bytes += _EVENT_BYTES
                if len(self._unread) > _MAX_UNREAD:  # many at once: one each time would take as long as all the rest
                    self._unread = dict(list(self._unread.items())[_MAX_UNREAD // 2 :])
            else:
                self._n_bytes -= len(known)
                packed, n_known, n_streams = joined(known, packed)
                if n_streams > n_known:  # where those before were read already, only what comes now is new
                    self._unread.setdefault(event_number, n_known)
            self._kept[event_number] = packed
            self._n_bytes += len(packed)
            while self._n_bytes > self._max_bytes and len(self._kept) > 1:
                _, oldest = self._kept.popitem(last=False)
                self._n_bytes -= _EVENT_BYTES + len(oldest)

    def at(self, event_number: int) -> Scalars:
        """Return the scalars of one event; nothing if no stream had any, or if it is forgotten."""
        with self._lock:
            packed = self._kept.get(event_number)
        found: Scalars = {}
        for scalars in _decoded(packed).values():
            found |= scalars
        return found

    def newest_and_means(self) -> tuple[Scalars, Scalars, dict[str, int]]:
        """Return the newest scalars of each stream, their means since this object was made, and the newest's events.

        Events are decoded here, for about 2 ms a call: of more events than that allows, a sample is, with the last.
        What is not finite has no part in the mean.
        """
        with self._reading:
            taken, step = self._take()
            began = time.perf_counter()
            for number, packed, first in taken:
                for stream, scalars in _decoded(packed, first).items():
                    self._add(number, stream, scalars, weight=step)
            if taken:
                self._cost_s = (time.perf_counter() - began) / len(taken)
            means = {name: total / count for name, (total, count) in self._sums.items()}
            newest = {name: value for _, scalars in self._newest.values() for name, value in scalars.items()}
            return newest, means, {name: event for event, scalars in self._newest.values() for name in scalars}

    def _take(self) -> tuple[list[tuple[int, bytes | None, int]], int]:
        """Return events that were not decoded yet, oldest first, each with the first stream that is new.

        Also, for how many events each of them stands.
        """
        with self._lock:
            unread, self._unread = self._unread, {}
            numbers = list(unread)
            step = max(1, round(len(numbers) * self._cost_s / _MEAN_S))
            # Not always the same of every few events: what alternates, as a laser does, must not hide in the step.
            chosen = numbers[random.randrange(step) :: step]
            if numbers and (not chosen or chosen[-1] != numbers[-1]):
                chosen.append(numbers[-1])
            return [(number, self._kept.get(number), unread[number]) for number in chosen], step

    def _add(self, event_number: int, stream: str, scalars: Scalars, *, weight: int) -> None:
        if scalars and (stream in self._newest or len(self._newest) < MAX_STREAMS):
            self._newest[stream] = event_number, scalars
        for name, value in scalars.items():
            if math.isfinite(value) and (name in self._sums or len(self._sums) < MAX_STREAMS * MAX_NAMES):
                total, count = self._sums.get(name, (0.0, 0))
                self._sums[name] = total + value * weight, count + weight


def _decoded(packed: bytes | None, first: int = 0) -> dict[str, Scalars]:
    """Return the scalars of an event by stream, from the ``first`` stream on."""
    found: dict[str, Scalars] = {}
    for stream, typ, frames in unpacked(packed)[first:] if packed is not None else ():
        shown = stream.replace("/", "_")
        found[shown] = {f"{shown}/{name}": value for name, value in scalars_of(typ, frames).items()}
    return found
