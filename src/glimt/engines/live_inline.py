"""A live run in one loop of one process: sources in, events to the user's worker, results to the user's reducer.

For a debugger: whoever calls `InlineEngine.turn` runs all code of the user, and nothing goes on while that waits.
Everything between the sources and the user is what the processes of a run use, so that the results are the same.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import zmq

from glimt.engines.admission import Admission
from glimt.engines.current_scan import CurrentScan
from glimt.engines.event_queue import EventQueue
from glimt.engines.inline_reducer import InlineReducer
from glimt.engines.inline_worker import InlineWorker
from glimt.engines.live_messages import BeginScan, SetValues, StopScan
from glimt.engines.scan_dispatch import ScanDispatch
from glimt.engines.source_poll import SourcePoll
from glimt.pipeline.parameter_set import ParameterSet
from glimt.pipeline.user_class import import_class

if TYPE_CHECKING:
    from glimt.engines.intake import Intake
    from glimt.engines.scan_reduction import ResultLog
    from glimt.pipeline.failure import Failure
    from glimt.pipeline.kept_scalars import KeptScalars
    from glimt.pipeline.value_history import Changes

REPORT_S = 0.1
REDUCER = "reducer"
_TICK_MS = 100
_IDLE_TICK_MS = 500
_BLOCK_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class InlineRole:
    """All that the loop needs to know.

    Attributes
    ----------
    open_intake : callable
        Opens the sources.
    open_spill : callable
        Returns where events that find no room are written: an object with ``write(event)`` and ``close()``.
    slots : dict of str to frozenset of str
        Names and tags of the worker slots.
    queue_bytes : int
        Most that complete events may take in memory.
    worker_class, reducer_class : str
        As ``module.path:Class``.
    describe : callable
        Returns the descriptions of all parameters.
    data : dict of str to bytes
        Parameter values in wire form.
    open_log, write_output
        See `InlineReducer`.
    """

    open_intake: Callable[[], Intake]
    open_spill: Callable[[], Any]
    slots: Mapping[str, frozenset[str]]
    queue_bytes: int
    worker_class: str
    reducer_class: str
    describe: Callable[[], list[Any]]
    data: dict[str, bytes]
    open_log: Callable[[str], ResultLog]
    write_output: Callable[[Mapping[str, Any], Any, str, dict[str, Any], Changes], str] | None = None


class InlineEngine:
    """The loop; call `turn` until the run is over, then `close`.

    Parameters
    ----------
    role : InlineRole
        What it is to do.
    fail : callable
        Told of every call of user code that raised: the role and the `Failure`. A reducer's ``timer`` calls it from
        its own thread.
    remark : callable
        Told what the operator should read.
    report : callable
        Told the state ten times a second, where nothing takes longer, and at every change.

    Raises
    ------
    UsageError, UserCodeError
        A source cannot be opened, or a class cannot be imported.
    """

    def __init__(
        self,
        role: InlineRole,
        *,
        fail: Callable[[str, Failure], None],
        remark: Callable[[str], None],
        report: Callable[[dict[str, Any]], None],
    ) -> None:
        self._role = role
        self._tell = report
        self._tell_failure = fail
        worker, reducer = import_class(role.worker_class), import_class(role.reducer_class)
        self._reducer = InlineReducer(
            reducer,
            parameters=ParameterSet(role.describe(), role.data),
            open_log=role.open_log,
            write_output=role.write_output,
            fail=partial(self._take_failure, REDUCER),
            remark=remark,
        )
        self._intake = role.open_intake()
        self._is_closed = False
        streams = [(stream.live.name, stream.live.typ) for stream in self._intake.streams]
        self._workers = {
            slot: InlineWorker(
                slot,
                sorted(tags),
                worker,
                parameters=ParameterSet(role.describe(), role.data),
                streams=streams,
                fail=partial(self._take_failure, slot),
            )
            for slot, tags in role.slots.items()
        }
        self._queue = EventQueue(role.queue_bytes, None)
        self._admission = Admission(self._intake, self._queue, role.open_spill)
        self._scan = CurrentScan(self._intake, self._admission, role.data)
        self._blocks: deque[tuple[str, list[Any]]] = deque()
        self._dispatch: ScanDispatch | None = None
        self._n_scans = 0
        self._has_finished = self._gives_up = False
        self._reported_at = 0.0
        self._orders: deque[Any] = deque()
        self._lock = threading.Lock()
        self._read_wake, self._write_wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poller = zmq.Poller()
        self._poller.register(self._read_wake, zmq.POLLIN)
        self._sources = SourcePoll(self._intake, self._poller)

    def _take_failure(self, role: str, failure: Failure) -> None:
        """Pass a failure on, unless it is the debugger's: then the run is over, and not one event."""
        has_left = failure.error.partition(":")[0] == "BdbQuit"
        if has_left and not self._is_closed and not failure.hook.endswith(".timer"):  # that has a thread of its own
            raise KeyboardInterrupt("the debugger was left")
        self._tell_failure(role, failure)

    def command(self, message: BeginScan | StopScan | SetValues) -> None:
        """Do this at the next turn; may be called from any thread, also after `close`, when it does nothing."""
        self._orders.append(message)
        self.wake()

    def wake(self) -> None:
        """Let a turn that waits go on; may be called from any thread."""
        with self._lock, suppress(BlockingIOError):  # full: it wakes up anyway
            if not self._is_closed:
                os.write(self._write_wake, b"w")

    def tree(self) -> tuple[Mapping[str, Any], AbstractContextManager[Any]]:
        """Return what the reducer of the newest scan publishes, and the lock to hold while reading it."""
        return self._reducer.tree()

    @property
    def newest_event(self) -> int | None:
        """Highest event number that the reducer of the newest scan took."""
        return self._reducer.newest_event

    @property
    def scalars(self) -> KeptScalars | None:
        """Scalars of the streams in the newest scan; ``None`` before the first."""
        return self._reducer.scalars

    def turn(self, longest_s: float = 1.0) -> None:
        """Take what has come, process at most one block of events a slot, tell the state.

        Parameters
        ----------
        longest_s : float
            How long to wait if there is nothing to do; user code may take longer.
        """
        self._sources.update()
        found = dict(self._poller.poll(min(self._patience_ms(), max(0, int(longest_s * 1000)))))
        now_ns = time.time_ns()
        if self._read_wake in found:
            os.read(self._read_wake, 4096)
        while self._orders:
            self._obey(self._orders.popleft())
        self._sources.read(found, now_ns)
        self._take_events()
        if self._dispatch is not None:
            self._dispatch.dispatch()
            self._work(self._dispatch)
        self._look_for_end()
        self._report()

    def _patience_ms(self) -> int:
        dispatch = self._dispatch
        if dispatch is None:
            return 0 if self._intake.n_ready else _IDLE_TICK_MS
        is_busy = self._blocks or dispatch.n_waiting or (self._intake.n_ready and self._admission.has_room(dispatch))
        return 0 if is_busy else _TICK_MS

    # Events -------------------------------------------------------------------------------------------------

    def _take_events(self) -> None:
        if self._has_finished or self._intake.peek() is None:
            return  # of the next scan: it begins when this one is over
        if self._dispatch is None:
            self._begin_scan(str(uuid.uuid4()))
        if self._dispatch is not None:
            self._admission.take_events(self._dispatch)

    def _work(self, dispatch: ScanDispatch) -> None:
        """Process what was sent to the slots by now, one block each."""
        for _ in range(len(self._blocks)):
            slot, parts = self._blocks.popleft()
            worker = self._workers[slot]
            results = worker.process(parts)
            dispatch.credit(slot, worker.block_events, _BLOCK_BYTES, results.block)
            self._reducer.take(results)
            dispatch.settle()

    # Scans --------------------------------------------------------------------------------------------------

    def _begin_scan(self, scan_id: str) -> None:
        self._n_scans += 1
        self._queue.begin_scan()
        start = self._scan.begin(self._n_scans, scan_id)
        self._dispatch = dispatch = ScanDispatch(
            start.scan,
            scan_id,
            slots=self._role.slots,
            ledgers=self._admission.ledgers,
            queue=self._queue,
            send=lambda slot, parts: self._blocks.append((slot, parts)),
            use_version=lambda slot, version: None,  # a block says its version, and the slot has them all
            void=self._reducer.void,
        )
        dispatch.use(start.version)
        self._reducer.start_scan(start, self._acknowledge)
        for slot, worker in self._workers.items():
            worker.start_scan(start)
            dispatch.connect(slot)
            dispatch.credit(slot, worker.block_events, _BLOCK_BYTES, -1)
        self._reported_at = 0.0

    def _acknowledge(self, block: int, failed: list[int]) -> None:
        if self._dispatch is not None:
            self._dispatch.acknowledge(block, failed, keeps_frames=False)

    def _look_for_end(self) -> None:
        dispatch = self._dispatch
        if not self._intake.is_ended or (dispatch is not None and not dispatch.is_idle):
            return
        if dispatch is None:  # every event of it was dropped before the first could be offered
            self._end_scan()
            return
        if not self._has_finished:
            self._has_finished = True
            for worker in self._workers.values():
                worker.finish()
        problem = self._reducer.output_problem
        if self._reducer.end(self._admission.account(), self._scan.changes, give_up=self._gives_up):
            self._end_scan()
        elif self._reducer.output_problem != problem:
            self._reported_at = 0.0

    def _end_scan(self) -> None:
        now_ns = time.time_ns()
        self._scan.end(self._dispatch, now_ns)
        if self._dispatch is not None:
            self._dispatch.close()
        self._dispatch, self._has_finished, self._gives_up = None, False, False
        self._admission.end_scan(now_ns)
        self._reported_at = 0.0

    # What the operator wants --------------------------------------------------------------------------------

    def _obey(self, message: BeginScan | StopScan | SetValues) -> None:
        match message:
            case BeginScan():
                if self._scan.open_map(message, self._role.slots.values(), is_running=self._dispatch is not None):
                    self._begin_scan(message.scan_id)
            case StopScan():
                self._gives_up = bool(self._reducer.output_problem)
                self._intake.stop(time.time_ns(), last=message.last)
            case SetValues():
                self._set_values(message)
        self._reported_at = 0.0

    def _set_values(self, message: SetValues) -> None:
        """Use new parameter values from the next event on."""
        dispatch = self._dispatch
        self._scan.set_values(message, dispatch)
        if dispatch is None:
            return
        self._reducer.add_version(message.version, message.data)
        for worker in self._workers.values():
            worker.add_version(message.version, message.data)
        dispatch.use(message.version)

    # Reports ------------------------------------------------------------------------------------------------

    def _report(self) -> None:
        now = time.monotonic()
        if now - self._reported_at >= REPORT_S:
            self._reported_at = now
            self._tell(self.state())

    def state(self) -> dict[str, Any]:
        """Return what the control process shows of the ingester, as plain values."""
        return self._scan.state(
            self._dispatch,
            self._sources.polled,
            is_finishing=self._has_finished,
            output_problem=self._reducer.output_problem,
        )

    def role_states(self) -> dict[str, dict[str, Any]]:
        """Return what workers and reducer would tell if they were processes."""
        return {REDUCER: self._reducer.state()} | {slot: worker.state() for slot, worker in self._workers.items()}

    def close(self) -> None:
        """End the run as it is: without the output of a scan that is not over; run the users' ``close``."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
        for worker in self._workers.values():
            worker.close()
        self._reducer.close()
        self._tell(self.state())
        self._intake.close()
        self._admission.close()
        os.close(self._read_wake)
        os.close(self._write_wake)
