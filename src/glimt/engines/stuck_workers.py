"""Workers that do not come back from user code: they are told of, and ended when the operator insists on an end."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from glimt.engines.scan_dispatch import ScanDispatch

REMARK_S = 30.0
"""From so long [s] with one message on, a worker is named."""
PATIENCE_S = 5.0
"""So long [s] may a worker be busy with one message when the operator has said twice that the scan is to end."""
_LOOK_S = 0.25
_NAMED_EVENTS = 5


class StuckWorkers:
    """Finds them, in one scan after the other.

    Parameters
    ----------
    remark : callable
        Told what the operator should read.
    end : callable
        Ends the process of a slot, given the slot and why; its death is noted when it is over.
    now : callable
        The time, monotonic [s].
    """

    def __init__(
        self,
        *,
        remark: Callable[[str], None],
        end: Callable[[str, str], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._remark = remark
        self._end = end
        self._now = now
        self._looked_at = 0.0
        self._named: set[tuple[str, int]] = set()
        self._ended: set[str] = set()
        self._insisted_at = 0.0
        self._finishing_at = 0.0
        self._has_named_end = False

    @property
    def is_insisted(self) -> bool:
        """Whether the operator insists on the end of this scan."""
        return self._insisted_at > 0

    def insist(self) -> None:
        """Do not wait for anyone any more than `PATIENCE_S`."""
        self._insisted_at = self._insisted_at or self._now()

    def begin_scan(self) -> None:
        """Forget the scan before."""
        self._named.clear()
        self._insisted_at = self._finishing_at = 0.0
        self._has_named_end = False

    def has_ended(self, slot: str) -> bool:
        """Tell, once, whether the process of a slot that is gone was ended by this."""
        if slot not in self._ended:
            return False
        self._ended.discard(slot)
        return True

    def look(self, dispatch: ScanDispatch, finishing: Collection[str] | None) -> None:
        """Find those that take too long.

        Parameters
        ----------
        dispatch : ScanDispatch
            The scan.
        finishing : collection of str or None
            Slots whose ``finish`` runs; ``None`` as long as events are processed.
        """
        now = self._now()
        if now - self._looked_at < _LOOK_S:
            return
        self._looked_at = now
        if finishing is not None:
            self._finishing_at = self._finishing_at or now
            self._name_end(finishing, now)
        for slot, message in dispatch.clock.overdue(REMARK_S).items():
            if (slot, message) not in self._named:
                self._named.add((slot, message))
                events = _name(dispatch.event_numbers(message))
                self._remark(f"{slot} is busy with {events} for more than {REMARK_S:.0f} s; a second stop ends it")
        if self.is_insisted:
            self._end_overdue(dispatch, finishing or (), now)

    def _name_end(self, finishing: Collection[str], now: float) -> None:
        if self._has_named_end or now - self._finishing_at < REMARK_S:
            return
        self._has_named_end = True
        whom = f"finish of {', '.join(sorted(finishing))}; a second stop ends it" if finishing else "the reducer"
        self._remark(f"the end of the scan waits for {whom}, for more than {REMARK_S:.0f} s now")

    def _end_overdue(self, dispatch: ScanDispatch, finishing: Collection[str], now: float) -> None:
        for slot, message in dispatch.clock.overdue(PATIENCE_S).items():
            if slot not in self._ended:
                self._ended.add(slot)
                events = _name(dispatch.event_numbers(message))
                self._end(slot, f"{slot} did not come back from {events} within {PATIENCE_S:.0f} s")
        if finishing and now - max(self._finishing_at, self._insisted_at) > PATIENCE_S:
            for slot in set(finishing) - self._ended:
                self._ended.add(slot)
                self._end(slot, f"{slot} did not come back from finish within {PATIENCE_S:.0f} s")
        if not self._ended and now - max(self._insisted_at, dispatch.clock.moved_at) > PATIENCE_S:
            dispatch.stop()  # what waits for a process that does not come, or cannot make its class


def _name(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:_NAMED_EVENTS])) + (", …" if len(numbers) > _NAMED_EVENTS else "")
    return f"event {shown}" if len(numbers) == 1 else f"events {shown}"
