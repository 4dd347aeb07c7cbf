"""From complete events to the scan that runs, as far as there is room; the rest waits, is dropped or spilled."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from glimt.codecs.protocol import PacketKind
from glimt.pipeline.scan_account import ScanAccount

if TYPE_CHECKING:
    from glimt.engines.event_queue import EventQueue
    from glimt.engines.intake import Intake
    from glimt.engines.scan_dispatch import ScanDispatch
    from glimt.pipeline.built_event import BuiltEvent
    from glimt.pipeline.ledger import DropReason

_MAX_OUTSTANDING = 200_000


class Admission:
    """Lets events in.

    Parameters
    ----------
    intake : Intake
        Where they are complete.
    queue : EventQueue
        Where they wait for a worker.
    open_spill : callable
        Returns where events that find no room are written: an object with ``write(event)`` and ``close()``.

    Attributes
    ----------
    ledgers : list of StreamLedger
        By stream index.
    full_since : float
        Since when an event has been waiting for room (monotonic) [s]; 0 while none is.
    """

    def __init__(self, intake: Intake, queue: EventQueue, open_spill: Callable[[], Any]) -> None:
        self.ledgers = [stream.live.ledger for stream in intake.streams]
        self.full_since = 0.0
        self._intake = intake
        self._queue = queue
        self._open_spill = open_spill
        self._spill: Any = None
        self._account = ScanAccount(self.ledgers)

    def has_room(self, dispatch: ScanDispatch | None) -> bool:
        """Tell whether another event may be let in."""
        return not self._queue.is_full and (dispatch is None or dispatch.n_outstanding < _MAX_OUTSTANDING)

    def take_events(self, dispatch: ScanDispatch) -> None:
        """Give complete events to a scan, until there is no other or no room."""
        intake = self._intake
        while (event := intake.peek()) is not None:
            queued = self._queue.take(event) if self.has_room(dispatch) else None
            if queued is None and not self._make_room(dispatch, event):
                self.full_since = self.full_since or time.monotonic()
                return
            self.full_since = 0.0
            if queued is not None:
                intake.pop()
                is_start, is_end = event.kind is PacketKind.START, event.kind is PacketKind.END
                dispatch.offer(queued, recipients=event.map_event, is_start=is_start, is_end=is_end)

    def _make_room(self, dispatch: ScanDispatch, event: BuiltEvent) -> bool:
        """Do what the streams of an event want done when it does not fit; False if that is to wait."""
        policies = {self._intake.streams[index].when_full for index, _ in event.parts}
        if "block" in policies or event.kind is not PacketKind.DATA:
            return False
        if "spill" in policies:
            if self._spill is None:
                self._spill = self._open_spill()
            if not self._spill.write(event):
                return False
            self._leave_out(event, "spilled")
        elif not dispatch.drop_oldest(event.n_bytes):
            self._leave_out(event, "full")  # all room is taken by events that workers have: this is the oldest other
        return True

    def _leave_out(self, event: BuiltEvent, reason: DropReason) -> None:
        self._intake.pop()
        for index, _ in event.parts:
            self.ledgers[index].drop(reason)

    def account(self) -> dict[str, dict[str, Any]]:
        """Return what has become of the packets of the scan that runs, by stream."""
        return self._account.of_scan()

    def end_scan(self, now_ns: int) -> None:
        """Forget the scan that has ended."""
        self.close()
        self._account.end_scan()
        self._intake.end_scan(now_ns)

    def state(self) -> dict[str, Any]:
        """Return how full it is, as plain values."""
        return {
            "queue": {"used_bytes": self._queue.used_bytes, "limit_bytes": self._queue.n_bytes},
            "full_s": time.monotonic() - self.full_since if self.full_since else 0.0,
            "n_ready": self._intake.n_ready,
        }

    def close(self) -> None:
        """Close what events were written to."""
        if self._spill is not None:
            self._spill.close()
            self._spill = None
