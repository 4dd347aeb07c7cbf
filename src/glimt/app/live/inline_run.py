"""A live run in this process, for a debugger: no processes, no sockets but those of the sources."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any

from glimt.app.beamline import Beamline
from glimt.app.live.open_intake import OpenIntake
from glimt.app.live.scan_output import WriteOutput
from glimt.app.live.spill import OpenSpill
from glimt.app.live.steered_run import SteeredRun
from glimt.app.result_log import OpenLog
from glimt.codecs.registry import protocol_named
from glimt.engines.live_inline import InlineEngine, InlineRole
from glimt.engines.live_messages import BeginScan, SetValues, StopScan
from glimt.engines.supervisor import INGESTER, REDUCER, RoleState
from glimt.pipeline.failure import Failure

_WAIT_S = 0.1


class InlineRun(SteeredRun):
    """One run of a beamline file in this process; a context manager. A `glimt.app.live.live_engine.LiveEngine`.

    All code of the user runs in the thread that is in `run_until` (or, if none is, in `wait_for_report`): in the main
    thread ``breakpoint()`` works as in any script, and nothing but the HTTP servers goes on behind it. Leaving the
    debugger with ``quit`` raises `KeyboardInterrupt`, as Ctrl-C does.

    Parameters
    ----------
    beamline : Beamline
        What to run; its engine is not looked at but for the slots and their tags.
    serve_view : callable, optional
        Given an object with a method ``tree``: returns a context manager that shows it.

    Attributes
    ----------
    parameters, slots, began_at, report, failures, n_failures, remarks, bad_messages, roles
        See `glimt.app.live.live_engine.LiveEngine`.
    problem : str
        Empty: nothing can die without the run.

    Raises
    ------
    UsageError, UserCodeError, ParameterError
        A class or a parameter cannot be used.
    """

    problem = ""

    def __init__(
        self, beamline: Beamline, *, serve_view: Callable[[Any], AbstractContextManager[Any]] | None = None
    ) -> None:
        super().__init__(beamline)
        names = (INGESTER, REDUCER, *self.slots)
        self.roles = {name: RoleState(process_id=os.getpid(), host=socket.gethostname()) for name in names}
        self._serve_view = serve_view
        self._view_url = ""
        self._turning = threading.Lock()
        self._open = ExitStack()
        self._engine: InlineEngine | None = None

    def _role(self) -> InlineRole:
        output, pipeline = self.beamline.output, self.beamline.pipeline
        streams = [(name, protocol_named(each.protocol).typ) for name, each in self.beamline.streams.items()]
        return InlineRole(
            open_intake=OpenIntake(self.beamline),
            open_spill=OpenSpill(output.spill_folder, streams),
            slots=self.slots,
            queue_bytes=self.beamline.queue_bytes,
            worker_class=pipeline.worker,
            reducer_class=pipeline.reducer,
            describe=self._describe,
            data=self.parameters.data(),
            open_log=OpenLog(None),
            write_output=WriteOutput(output, self.beamline.name) if output.file is not None else None,
        )

    # What the engine says ---------------------------------------------------------------------------------------

    def _take_report(self, report: dict[str, Any]) -> None:
        states = {INGESTER: report} | (self._engine.role_states() if self._engine is not None else {})
        if REDUCER in states:
            states[REDUCER]["view_url"] = self._view_url
        now = time.monotonic()
        for name, state in states.items():
            role = self.roles[name]
            role.state, role.heard_at, role.is_new = state, now, False
            role.history.append((now, state))
        super()._take_report(report)

    def _take_failure(self, role: str, failure: Failure) -> None:
        self._log.take(role, [failure], 1)

    # What the operator wants ------------------------------------------------------------------------------------

    def _command(self, message: BeginScan | StopScan | SetValues) -> None:
        if self._engine is not None:
            self._engine.command(message)

    # The loop ---------------------------------------------------------------------------------------------------

    def run_until(self, stop: threading.Event) -> None:
        """Be the loop of the run until ``stop`` is set, which is noticed within half a second.

        Raises
        ------
        KeyboardInterrupt
            The user has left the debugger.
        """
        with self._turning:
            while not stop.is_set() and self._engine is not None:
                self._engine.turn(0.5)

    def wait_for_report(self, condition: Callable[[dict[str, Any]], bool], limit_s: float) -> bool:
        """Wait until a report fulfils a condition; tell whether one did in time [s].

        While no thread is in `run_until`, this is the loop.
        """
        deadline = time.monotonic() + limit_s
        while not condition(self.report):
            left = deadline - time.monotonic()
            if left <= 0 or self._engine is None:
                return False
            if self._turning.acquire(blocking=False):
                try:
                    self._engine.turn(min(left, _WAIT_S))
                finally:
                    self._turning.release()
            else:
                with self._reported:
                    self._reported.wait_for(lambda: condition(self.report), min(left, _WAIT_S))
        return True

    def start(self) -> None:
        """Open the sources, and the view.

        Raises
        ------
        UsageError, UserCodeError
            A source cannot be opened, or a class cannot be imported.
        """
        engine = InlineEngine(self._role(), fail=self._take_failure, remark=self._log.remark, report=self._take_report)
        self._engine = engine
        self._open.callback(engine.close)
        if self._serve_view is not None:
            server = self._open.enter_context(self._serve_view(engine))
            self._view_url = str(getattr(server, "url", ""))
        self._take_report(engine.state())

    def close(self) -> None:
        """End it; what is not reduced by now is not."""
        with self._turning:
            self._open.close()
            self._engine = None
