"""A live run in this process, for a debugger: no processes, no sockets but those of the sources."""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from types import TracebackType
from typing import Any, Self

from glimt.app.beamline import Beamline
from glimt.app.live.failure_log import FailureLog
from glimt.app.live.given_parameters import given_parameters
from glimt.app.live.open_intake import OpenIntake
from glimt.app.live.role_setup import describe_parameters, prepare_role
from glimt.app.live.scan_output import WriteOutput
from glimt.app.live.spill import OpenSpill
from glimt.app.result_log import OpenLog
from glimt.codecs.registry import protocol_named
from glimt.engines.live_inline import InlineEngine, InlineRole
from glimt.engines.live_messages import BeginScan, SetValues, StopScan
from glimt.engines.supervisor import INGESTER, REDUCER, RoleState
from glimt.pipeline.failure import Failure

_WAIT_S = 0.1


class InlineRun:
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
        self.beamline = beamline
        prepare_role(str(beamline.pipeline.path), beamline.log.level)
        self._describe = partial(describe_parameters, beamline.pipeline.worker, beamline.pipeline.reducer)
        self.parameters = given_parameters(beamline, self._describe())
        self.slots = beamline.engine.worker_tags
        self.began_at = time.monotonic()
        self.report: dict[str, Any] = {}
        self._log = FailureLog()
        self.failures, self.n_failures, self.remarks = self._log.failures, self._log.n_failures, self._log.remarks
        self.bad_messages: dict[str, list[list[bytes]]] = {}
        names = (INGESTER, REDUCER, *self.slots)
        self.roles = {name: RoleState(process_id=os.getpid(), host=socket.gethostname()) for name in names}
        self._serve_view = serve_view
        self._view_url = ""
        self._version = 0
        self._lock = threading.Lock()
        self._turning = threading.Lock()
        self._reported = threading.Condition()
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
        for stream in report["streams"]:
            if stream["bad_messages"]:
                self.bad_messages[stream["name"]] = stream["bad_messages"]
        states = {INGESTER: report} | (self._engine.role_states() if self._engine is not None else {})
        if REDUCER in states:
            states[REDUCER]["view_url"] = self._view_url
        now = time.monotonic()
        for name, state in states.items():
            role = self.roles[name]
            role.state, role.heard_at, role.is_new = state, now, False
            role.history.append((now, state))
        with self._reported:
            self.report = report
            self._reported.notify_all()

    def _take_failure(self, role: str, failure: Failure) -> None:
        self._log.take(role, [failure], 1)

    # What the operator wants ------------------------------------------------------------------------------------

    def _command(self, message: BeginScan | StopScan | SetValues) -> None:
        if self._engine is not None:
            self._engine.command(message)

    def begin_scan(self, trigger_map: bytes, *, all_wrap: bool) -> str:
        """Begin a scan with a trigger map that has been checked; return its identity."""
        scan_id = str(uuid.uuid4())
        self._command(BeginScan(scan_id, trigger_map, all_wrap))
        return scan_id

    def stop_scan(self, *, last: bool = False, insist: bool = False) -> None:
        """End the scan with what has come; see `LiveEngine`."""
        self._command(StopScan(last, insist))

    def set_parameter(self, name: str, data: bytes) -> tuple[str, int]:
        """Change a parameter from the next event on; return the new content hash and the version.

        Raises
        ------
        ParameterError
            The value does not fit the parameter's description; nothing changes.
        """
        with self._lock:
            self.parameters.update({name: data})
            self._version += 1
            self._command(SetValues(self._version, self.parameters.data()))
            return self.parameters.content_hash, self._version

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

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
