"""Parameter values that arrive while a run goes on, and take effect at a stated event."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from glimt.pipeline.parameter_set import ParameterSet

WAIT_S = 2.0
"""How long `ParameterChanges.set_from_event` waits for the run to take a value [s]."""
_KEPT_TAKES = 100


class TakenValue(NamedTuple):
    """What is known of a parameter's new value.

    Attributes
    ----------
    content_hash : str
        Of all parameters, with it.
    event_number : int or None
        First event with it, ``None`` if that is not known.
    scan_number : int or None
        Scan of that event, counted from 1 in the run; ``None`` where there is but one, such as in a replay.
    """

    content_hash: str
    event_number: int | None
    scan_number: int | None = None


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
        self._has_moved = threading.Condition(self._lock)
        self._waiting: dict[str, bytes] = {}
        self._n_set = 0
        self._takes: deque[tuple[int, int]] = deque(maxlen=_KEPT_TAKES)
        self._is_over = False
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
        return self._set(name, data)[0]

    def _set(self, name: str, data: bytes) -> tuple[str, int]:
        with self._lock:
            self._current.update({name: data})
            self._waiting[name] = data
            self._n_set += 1
            self.are_waiting = True
            return self._current.content_hash, self._n_set

    def set_from_event(self, name: str, data: bytes) -> TakenValue:
        """Take a new value; return the content hash and the first event with it.

        ``None`` for the event if the run is over, or does not come to its next event within `WAIT_S`.

        Raises
        ------
        ParameterError
            The value does not fit the parameter's description; nothing changes.
        """
        content_hash, number = self._set(name, data)
        with self._has_moved:
            self._has_moved.wait_for(lambda: self._is_over or self._event_of(number) is not None, WAIT_S)
            return TakenValue(content_hash, self._event_of(number))

    def _event_of(self, number: int) -> int | None:
        return next((event for taken, event in self._takes if taken >= number), None)

    def describe(self) -> list[dict[str, Any]]:
        """Return the descriptions, sorted by name."""
        return self._current.describe()

    def take(self, event_number: int) -> dict[str, bytes]:
        """Return the values that arrived since the last call; this event is the first with them."""
        with self._has_moved:
            taken, self._waiting = self._waiting, {}
            self.are_waiting = False
            self._takes.append((self._n_set, event_number))
            self._has_moved.notify_all()
        return taken

    def end(self) -> None:
        """There will be no further event: nobody has to wait for one."""
        with self._has_moved:
            self._is_over = True
            self._has_moved.notify_all()
