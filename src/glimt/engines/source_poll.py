"""Polls the sources of an intake, but only those of which something can be taken now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import zmq

if TYPE_CHECKING:
    from glimt.engines.intake import Intake


class SourcePoll:
    """Registers sources with a poller, and reads those that have something.

    A source of which nothing can be taken would wake up the loop again and again: it is not registered.

    Parameters
    ----------
    intake : Intake
        Has the sources.
    poller : zmq.Poller
        Of the loop.

    Attributes
    ----------
    polled : set of int
        Indices of the streams that are registered now.
    """

    def __init__(self, intake: Intake, poller: zmq.Poller) -> None:
        self.polled: set[int] = set()
        self._intake = intake
        self._poller = poller

    def update(self) -> None:
        """Register those of which something can be taken now, and no others."""
        for index, stream in enumerate(self._intake.streams):
            if self._intake.may_read(index) == (index in self.polled):
                continue
            if index in self.polled:
                self.polled.discard(index)
                self._poller.unregister(stream.source.socket)
            else:
                self.polled.add(index)
                self._poller.register(stream.source.socket, zmq.POLLIN)

    def read(self, found: Mapping[Any, int], now_ns: int) -> None:
        """Take what has come from the sources that are in ``found``, and let time pass for the others."""
        for index in tuple(self.polled):
            if self._intake.streams[index].source.socket in found:
                self._intake.read(index, now_ns)
        self._intake.tick(now_ns)
