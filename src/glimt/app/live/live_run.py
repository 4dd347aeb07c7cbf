"""A live run in several processes: makes the roles of a beamline file, starts and steers them."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from glimt.app.beamline import Beamline
from glimt.app.live.open_intake import OpenIntake
from glimt.app.live.scan_output import WriteOutput
from glimt.app.live.spill import OpenSpill
from glimt.app.live.steered_run import SteeredRun
from glimt.app.result_log import OpenLog
from glimt.codecs.registry import protocol_named
from glimt.engines.ingester import run_ingester
from glimt.engines.ingester_role import IngesterRole
from glimt.engines.live_messages import BeginScan, SetValues, StopScan
from glimt.engines.live_reducer import ReducerRole, run_reducer
from glimt.engines.live_worker import WorkerRole, run_worker
from glimt.engines.placement import Placement
from glimt.engines.supervisor import INGESTER, REDUCER, RoleState, Supervisor

_SCANS_A_PROCESS = 1_000_000


class LiveRun(SteeredRun):
    """One run of a beamline file; a context manager that starts and ends its processes.

    Parameters
    ----------
    beamline : Beamline
        What to run.
    placement : Placement
        Where.
    serve_view : callable, optional
        In the reducer's process, given an object with a method ``tree``: returns a context manager that shows it.

    Attributes
    ----------
    parameters, slots, began_at, report, failures, n_failures, remarks, bad_messages
        See `glimt.app.live.live_engine.LiveEngine`.

    Raises
    ------
    UsageError, UserCodeError, ParameterError
        A class, a parameter or the trigger map cannot be used.
    """

    def __init__(
        self,
        beamline: Beamline,
        placement: Placement,
        *,
        serve_view: Callable[[Any], AbstractContextManager[Any]] | None = None,
    ) -> None:
        super().__init__(beamline)
        self.placement = placement
        self._serve_view = serve_view
        self._token = secrets.token_bytes(32)
        self._ingesters = itertools.count()
        self._addresses = {name: placement.address(name) for name in (INGESTER, REDUCER)}
        self._supervisor = Supervisor(
            placement,
            {
                INGESTER: (self._ingester_role, run_ingester),
                REDUCER: (self._reducer_role, run_reducer),
                **{slot: (partial(self._worker_role, slot), run_worker) for slot in self.slots},
            },
            token=self._token,
            on_failure=self._log.take,
            on_remark=self._log.remark,
            on_report=self._take_report,
            max_restarts=beamline.engine.max_restarts,
            restart_window_s=beamline.engine.restart_window_s,
        )

    @property
    def problem(self) -> str:
        """Why the run cannot go on; empty while it can."""
        return self._supervisor.problem

    @property
    def roles(self) -> dict[str, RoleState]:
        """What is known about each process."""
        return self._supervisor.roles

    def _ingester_role(self) -> IngesterRole:
        streams = [(name, protocol_named(each.protocol).typ) for name, each in self.beamline.streams.items()]
        with self._lock:  # an upload must not come between the values and their version
            data, version = self.parameters.data(), self._version
        return IngesterRole(
            token=self._token,
            address=self._addresses[INGESTER],
            control_address=self._supervisor.address,
            prepare=self._prepare,
            open_intake=OpenIntake(self.beamline),
            open_spill=OpenSpill(self.beamline.output.spill_folder, streams),
            slots={slot: tags for slot, tags in self.slots.items() if not self.roles[slot].is_retired},
            queue_bytes=self.beamline.queue_bytes,
            share_memory=self.placement.shares_memory,
            data=data,
            version=version,
            first_scan=next(self._ingesters) * _SCANS_A_PROCESS,
            keys=self.placement.keys,
            frame_keys=self.placement.frame_keys,
        )

    def _reducer_role(self) -> ReducerRole:
        output = self.beamline.output
        return ReducerRole(
            token=self._token,
            address=self._addresses[REDUCER],
            control_address=self._supervisor.address,
            prepare=self._prepare,
            reducer_class=self.beamline.pipeline.reducer,
            describe=self._describe,
            open_log=OpenLog(output.journal_folder if output.journal else None),
            serve=self._serve_view,
            write_output=WriteOutput(output, self.beamline.name) if output.file is not None else None,
            keys=self.placement.keys,
        )

    def _worker_role(self, slot: str) -> WorkerRole:
        return WorkerRole(
            slot=slot,
            tags=tuple(sorted(self.slots[slot])),
            token=self._token,
            ingester_address=self._supervisor.ingester_address,
            control_address=self._supervisor.address,
            prepare=self._prepare,
            worker_class=self.beamline.pipeline.worker,
            describe=self._describe,
            share_memory=self.placement.shares_memory,
            keys=self.placement.keys.for_clients(),
            frame_keys=self.placement.frame_keys.for_clients(),
            lease_s=self.placement.lease_s,
        )

    def _command(self, message: BeginScan | StopScan | SetValues) -> None:
        self._supervisor.command(message)

    def wait_for_report(self, condition: Callable[[dict[str, Any]], bool], limit_s: float) -> bool:
        """Wait until a report of the ingester fulfils a condition; tell whether one did in time [s]."""
        with self._reported:
            return self._reported.wait_for(lambda: condition(self.report), limit_s)

    def start(self) -> None:
        """Start all processes and wait until they are there.

        Raises
        ------
        WorkerDiedError
            One cannot be started.
        """
        self._supervisor.start()
        self._supervisor.wait_until_ready(self.placement.start_limit_s)

    def close(self) -> None:
        """End all processes."""
        self._supervisor.close()
        self.placement.close()
