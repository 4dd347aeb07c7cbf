"""Runs a pipeline in several processes of this machine: N workers, the reducer in this one.

Blocks of events go to the workers in turn, block *n* to worker *n* modulo N, each worker having at most two; results
are reduced in the order of the events. So every run of the same events gives the same calls in the same order, with any
number of workers. A worker that dies is replaced, and gets again what it had not answered.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections import deque
from typing import TYPE_CHECKING

from glimt.engines.messages import Done
from glimt.engines.worker_process import WorkerProcess, wait_for_any
from glimt.model.errors import ResultError, WorkerDiedError
from glimt.model.event import ResultData
from glimt.pipeline.failure import Failure
from glimt.pipeline.result_codec import decode_result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from glimt.engines.local_worker import WorkerSpec
    from glimt.pipeline.block import Block
    from glimt.pipeline.parameter_changes import ParameterChanges
    from glimt.pipeline.parameter_set import ParameterSet
    from glimt.pipeline.reducer_runner import ReducerRunner
    from glimt.pipeline.report import RunReport

log = logging.getLogger("glimt")

_BLOCKS_PER_WORKER = 2


class _Pending:
    """A block on its way: who still owes an answer, and the answers so far by worker."""

    def __init__(self, block: Block, workers: list[WorkerProcess], changes: dict[str, bytes]) -> None:
        self.block = block
        self.waiting = {worker.index for worker in workers}
        self.answers: dict[int, Done] = {}
        self.changes = changes


class LocalRun:
    """One run.

    Parameters
    ----------
    spec : WorkerSpec
        What the worker processes are to do.
    n_workers : int
        How many there are.
    parameters : ParameterSet
        The reducer's; follows the changes in step with the results.
    reducer : ReducerRunner
        Lives in this process.
    report : RunReport
        Filled while the run goes on.
    changes : ParameterChanges
        New parameter values, taken before each block.
    progress : callable, optional
        Called with the number of events reduced, now and then.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        n_workers: int,
        *,
        parameters: ParameterSet,
        reducer: ReducerRunner,
        report: RunReport,
        changes: ParameterChanges,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self._spec = spec
        self._n_workers = n_workers
        self._parameters = parameters
        self._reducer = reducer
        self._report = report
        self._changes = changes
        self._progress = progress
        self._pending: deque[_Pending] = deque()
        self._workers: list[WorkerProcess] = []

    def run(self, blocks: Iterable[Block]) -> None:
        """Process all blocks, then run ``finish`` and ``close`` everywhere.

        Raises
        ------
        UsageError, UserCodeError
            The workers cannot start.
        WorkerDiedError
            Workers die as soon as they start.
        """
        with tempfile.TemporaryDirectory(prefix="glimt-") as folder:  # mode 0700: only this user can connect
            self._workers = [WorkerProcess(self._spec, index, folder) for index in range(self._n_workers)]
            try:
                for worker in self._workers:
                    worker.start(self._parameters.data())
                for worker in self._workers:
                    worker.wait_until_ready()
                self._run(iter(blocks))
            finally:
                for worker in self._workers:
                    worker.end()

    def _run(self, blocks: Iterator[Block]) -> None:
        began = time.monotonic()
        self._reducer.start_timer()
        completed = False
        try:
            self._fill(blocks)
            while self._pending:
                self._collect()
                while self._pending and not self._pending[0].waiting:
                    self._reduce(self._pending.popleft())
                    self._fill(blocks)
            completed = True
        finally:
            self._reducer.stop_timer()
            if completed:  # otherwise, as after Ctrl-C, they are busy with events that nobody waits for
                self._finish_workers()
            for failure in (self._reducer.finish(), self._reducer.close()):
                if failure is not None:
                    self._report.add_failure(failure)
            self._report.n_results = self._reducer.n_results
            self._report.elapsed_s = time.monotonic() - began

    def _fill(self, blocks: Iterator[Block]) -> None:
        """Send blocks as long as few enough are on their way."""
        while len(self._pending) < _BLOCKS_PER_WORKER * self._n_workers:
            block = next(blocks, None)
            if block is None:
                return
            changes = self._changes.take(block.first_event) if self._changes.are_waiting else {}
            if changes:
                names = ", ".join(sorted(changes))
                log.info("parameters %s changed from event %d on", names, block.first_event)
            workers = self._workers if block.is_start else [self._workers[block.number % self._n_workers]]
            self._pending.append(_Pending(block, workers, changes))
            for worker in self._workers:
                worker.change(changes)
            for worker in workers:
                worker.work(block)

    def _collect(self) -> None:
        """Wait until workers answer or die."""
        for worker in wait_for_any(self._workers):
            done = worker.receive()
            if done is None:
                self._replace(worker)
                continue
            for pending in self._pending:
                if pending.block.number == done.number:
                    pending.waiting.discard(worker.index)
                    pending.answers[worker.index] = done

    def _replace(self, worker: WorkerProcess) -> None:
        how, had = worker.describe_death(), worker.unanswered()
        blamed = worker.restart()
        events = f"events {had[0].first_event} to {had[-1].last_event}" if had else "no events"
        if blamed is None:
            log.warning("%s while it had %s; started again, and given them once more", how, events)
            return
        error = f"{how} twice on events {blamed.first_event} to {blamed.last_event}: they are given up"
        self._report.add_error(error)
        self._report.n_failures += blamed.n_events
        for pending in self._pending:
            if pending.block.number == blamed.number:
                pending.waiting.discard(worker.index)
                pending.answers[worker.index] = Done(blamed.number)

    def _reduce(self, pending: _Pending) -> None:
        if pending.changes:
            self._parameters.update(pending.changes)
        for index in sorted(pending.answers):
            self._reduce_answer(self._workers[index].name, pending.answers[index])
        self._report.n_events += pending.block.n_events
        if self._progress is not None:
            self._progress(self._report.n_events)

    def _reduce_answer(self, worker: str, done: Done) -> None:
        for failure in done.failures:
            self._report.add_failure(failure)
        if done.error:
            self._report.add_error(done.error)
        if self._reducer.scalars is not None:
            for number, small in done.small_frames:
                self._reducer.scalars.keep(number, small)
        try:
            payloads = decode_result(done.payloads) if done.event_numbers else []
        except ResultError as error:
            self._report.n_failures += len(done.event_numbers) - 1
            self._report.add_failure(
                Failure.from_exception(error, event_number=done.event_numbers[0], hook="process_event")
            )
            return
        for number, payload in zip(done.event_numbers, payloads, strict=True):
            problem = self._reducer.process(ResultData(number, worker, done.parameters_hash, payload))
            if problem is not None:
                self._report.add_failure(problem)

    def _finish_workers(self) -> None:
        for worker in self._workers:
            worker.finish()
        for worker in self._workers:
            try:
                failures = worker.wait_until_finished()
            except WorkerDiedError as error:
                self._report.add_error(f"{error} in its finish")
                continue
            for failure in failures:
                self._report.add_failure(failure)
