"""The scan of a live run, as the loop that has its sources knows it: its name, its parameters, what control is told."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from glimt.engines.intake_state import IntakeState
from glimt.engines.live_messages import BeginScan, ScanStart, SetValues
from glimt.model.errors import UsageError
from glimt.model.trigger_map import TriggerMap
from glimt.pipeline.value_history import Changes, ValueHistory

if TYPE_CHECKING:
    from glimt.engines.admission import Admission
    from glimt.engines.intake import Intake
    from glimt.engines.scan_dispatch import ScanDispatch


class CurrentScan:
    """The scan that runs; after its end, and before the next one begins, the last.

    Parameters
    ----------
    intake : Intake
        Where its events are built.
    admission : Admission
        Where they come in.
    data : dict of str to bytes
        Parameter values in wire form.
    version : int
        Of these values.
    """

    def __init__(self, intake: Intake, admission: Admission, data: dict[str, bytes], version: int = 0) -> None:
        self._version = version
        self._intake = intake
        self._admission = admission
        self._describe = IntakeState(intake)
        self._data = dict(data)
        self._values = ValueHistory(data)
        self._bound = (version, 0)
        self._n_scans = 0
        self._scan_id = self._problem = self._refused = ""
        self._last_figures: dict[str, Any] = {}

    @property
    def changes(self) -> Changes:
        """Which parameter values held from which event of the scan on."""
        return self._values.changes

    def begin(self, scan: int, scan_id: str) -> ScanStart:
        """Note that a scan begins; return what its workers and its reducer must be told."""
        self._n_scans += 1
        self._scan_id = scan_id
        self._values = ValueHistory(self._data)
        self._bound = (self._version, 0)
        return ScanStart(scan, scan_id, self._version, dict(self._data))

    def open_map(self, message: BeginScan, slots: Iterable[frozenset[str]], *, is_running: bool) -> bool:
        """Open the intake for a scan with a trigger map; tell whether it can begin, if not control is told why."""
        self._problem = ""
        try:
            if self._intake.is_closed:  # a client's scan must not begin in a run that is ending
                raise UsageError("the run is ending: no scan begins any more")
            trigger_map = TriggerMap.from_json(message.trigger_map, all_wrap=message.all_wrap)
            if is_running:
                raise UsageError("a scan is running; stop it first (POST /api/v1/stop)")
            self._intake.begin(trigger_map, list(slots), time.time_ns())
        except UsageError as error:  # control has checked it: only a race leads here
            self._problem, self._refused = str(error), message.scan_id
            return False
        return True

    def set_values(self, message: SetValues, dispatch: ScanDispatch | None) -> int | None:
        """Note new parameter values; return the first event they are for, ``None`` if no scan runs."""
        self._version, self._data = message.version, message.data
        if dispatch is None:
            self._bound = (message.version, 0)
            return None
        first = dispatch.last_offered + 1
        self._bound = (message.version, first)
        self._values.change(first, message.data)
        return first

    def end(self, dispatch: ScanDispatch | None, now_ns: int) -> None:
        """Keep how far the scan came, to be told until the next one begins."""
        if dispatch is not None:
            self._last_figures = self._describe.figures(dispatch) | {"ended_ns": now_ns}

    def state(
        self,
        dispatch: ScanDispatch | None,
        polled: Collection[int],
        *,
        is_finishing: bool,
        output_problem: str,
        address: str = "",
    ) -> dict[str, Any]:
        """Return everything that the control process shows of the ingester, as plain values.

        Parameters
        ----------
        dispatch : ScanDispatch or None
            Of the scan, while it runs.
        polled : collection of int
            Indices of the streams that are read now.
        is_finishing : bool
            The users' ``finish`` has begun.
        output_problem : str
            Why the scan's output cannot be written; empty while nothing is wrong.
        address : str
            Where workers connect to.
        """
        intake = self._intake
        state: dict[str, Any] = {
            "address": address,
            "n_scans": self._n_scans,
            "scan_id": self._scan_id,
            "is_running": dispatch is not None,
            "is_finishing": is_finishing,
            "is_stopping": intake.is_stopped,
            "is_closed": intake.is_closed,
            "output_problem": output_problem,
            "problem": self._problem,
            "refused_scan_id": self._refused,
            "bound": list(self._bound),
            "streams": self._describe.streams(polled),
            "cpu_s": time.process_time(),
        }
        figures = self._last_figures if dispatch is None else self._describe.figures(dispatch)
        return state | self._admission.state() | figures
