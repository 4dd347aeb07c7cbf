"""Runs a pipeline in this process: one worker, the reducer right behind it. For replay, debugging and tests."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from glimt.model.errors import ResultError
from glimt.model.event import ResultData
from glimt.pipeline.failure import Failure
from glimt.pipeline.result_codec import transfer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from glimt.pipeline.block import BuiltEvent
    from glimt.pipeline.parameter_changes import ParameterChanges
    from glimt.pipeline.reducer_runner import ReducerRunner
    from glimt.pipeline.report import RunReport
    from glimt.pipeline.worker_runner import WorkerRunner

log = logging.getLogger("glimt")

_PROGRESS_STEP = 256


def run_inline(
    events: Iterable[BuiltEvent],
    worker: WorkerRunner,
    reducer: ReducerRunner,
    *,
    report: RunReport,
    changes: ParameterChanges,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Give every event to the worker and every result to the reducer, then run their ``finish`` and ``close``.

    Parameters
    ----------
    events : iterable of BuiltEvent
        In order.
    worker, reducer : WorkerRunner, ReducerRunner
        Both read the same `ParameterSet`.
    report : RunReport
        Filled while the run goes on.
    changes : ParameterChanges
        New parameter values, taken before each event.
    progress : callable, optional
        Called with the number of events now and then.
    """
    began = time.monotonic()
    reducer.start_timer()
    previous_ns = -1
    index = 0
    try:
        for event, _, when_ns in events:
            if taken := changes.take():
                worker.parameters.update(taken)
                log.info("parameters %s changed from event %d on", ", ".join(sorted(taken)), event.event_number)
            outcome = worker.process(event, index, when_ns, previous_ns)
            index += 1
            report.n_events = index
            previous_ns = when_ns
            if outcome is not None:
                failure = _reduce(outcome, reducer) if isinstance(outcome, ResultData) else outcome
                if failure is not None:
                    report.add_failure(failure)
            if progress is not None and index % _PROGRESS_STEP == 0:
                progress(index)
    finally:
        reducer.stop_timer()
        for failure in (worker.finish(), reducer.finish(), worker.close(), reducer.close()):
            if failure is not None:
                report.add_failure(failure)
        report.n_results = reducer.n_results
        report.elapsed_s = time.monotonic() - began


def _reduce(result: ResultData, reducer: ReducerRunner) -> Failure | None:
    try:
        # Not the worker's own object: it may go on using that.
        result.payload = transfer(result.payload)
    except ResultError as error:
        return Failure.from_exception(error, event_number=result.event_number, hook="process_event")
    return reducer.process(result)
