"""What a live run has wherever its roles are: parameters, what the operator orders, what the engine reports."""

from __future__ import annotations

import threading
import time
import uuid
from abc import ABC, abstractmethod
from functools import partial
from types import TracebackType
from typing import Any, Self

from glimt.app.beamline import Beamline
from glimt.app.live.failure_log import FailureLog
from glimt.app.live.given_parameters import given_parameters
from glimt.app.live.role_setup import describe_parameters, prepare_role
from glimt.engines.live_messages import BeginScan, SetValues, StopScan


class SteeredRun(ABC):
    """One run of a beamline file; a context manager that starts and ends it.

    Parameters
    ----------
    beamline : Beamline
        What to run.

    Attributes
    ----------
    parameters, slots, began_at, report, failures, n_failures, remarks, bad_messages
        See `glimt.app.live.live_engine.LiveEngine`.

    Raises
    ------
    UsageError, UserCodeError, ParameterError
        A class or a parameter cannot be used.
    """

    def __init__(self, beamline: Beamline) -> None:
        self.beamline = beamline
        self._prepare = partial(prepare_role, str(beamline.pipeline.path), beamline.log.level)
        self._prepare()
        self._describe = partial(describe_parameters, beamline.pipeline.worker, beamline.pipeline.reducer)
        self.parameters = given_parameters(beamline, self._describe())
        self.slots = beamline.engine.worker_tags
        self.began_at = time.monotonic()
        self.report: dict[str, Any] = {}
        self._log = FailureLog()
        self.failures, self.n_failures, self.remarks = self._log.failures, self._log.n_failures, self._log.remarks
        self.bad_messages: dict[str, list[list[bytes]]] = {}
        self._version = 0
        self._lock = threading.Lock()
        self._reported = threading.Condition()

    @abstractmethod
    def _command(self, message: BeginScan | StopScan | SetValues) -> None:
        """Give the engine an order."""

    def _take_report(self, report: dict[str, Any]) -> None:
        """Keep what the ingester reports, and wake up who waits for it."""
        for stream in report["streams"]:
            if stream["bad_messages"]:
                self.bad_messages[stream["name"]] = stream["bad_messages"]
        with self._reported:
            self.report = report
            self._reported.notify_all()

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

    @abstractmethod
    def start(self) -> None:
        """Start it, and wait until every role is there."""

    @abstractmethod
    def close(self) -> None:
        """End it."""

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
