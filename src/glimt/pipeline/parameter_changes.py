"""Parameter values that arrive while a run goes on, and take effect at a stated event."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from glimt.pipeline.parameter_set import ParameterSet


class ParameterChanges:
    """Takes uploads from any thread; the run asks for them between two events.

    Parameters
    ----------
    current : ParameterSet
        Checks uploads and knows the hash that each leads to. Kept up to date here; a copy, not the set that the run
        reads, which changes only at an event.

    Attributes
    ----------
    are_waiting : bool
        `take` has something to give; asked between any two events, so it is a plain attribute.
    """

    def __init__(self, current: ParameterSet) -> None:
        self._current = current
        self._lock = threading.Lock()
        self._waiting: dict[str, bytes] = {}
        self.are_waiting = False

    def get(self, name: str) -> bytes:
        """Return the newest value in wire form; `KeyError` if there is no such parameter."""
        with self._lock:
            return self._current.values[name].data

    def set(self, name: str, data: bytes) -> str:
        """Take a new value and return the content hash that results will carry from the next event on.

        Raises
        ------
        ParameterError
            The value does not fit the parameter's description; nothing changes.
        """
        with self._lock:
            self._current.update({name: data})
            self._waiting[name] = data
            self.are_waiting = True
            return self._current.content_hash

    def describe(self) -> list[dict[str, Any]]:
        """Return the descriptions, sorted by name."""
        return self._current.describe()

    def take(self) -> dict[str, bytes]:
        """Return the values that arrived since the last call."""
        with self._lock:
            taken, self._waiting = self._waiting, {}
            self.are_waiting = False
        return taken
