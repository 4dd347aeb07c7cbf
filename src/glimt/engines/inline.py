"""Runs a pipeline in this process: one worker, the reducer right behind it. For replay, debugging and tests."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from glimt.model.event import ResultData, time_ns
from glimt.pipeline.result_codec import transfer
from glimt.pipeline.stream_scalars import small_frames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from glimt.model.event import EventData
    from glimt.pipeline.parameter_changes import ParameterChanges
    from glimt.pipeline.reducer_runner import ReducerRunner
    from glimt.pipeline.report import RunReport
    from glimt.pipeline.worker_runner import WorkerRunner

log = logging.getLogger("glimt")

_PROGRESS_EVERY_S = 0.1


def run_inline(
    events: Iterable[EventData],
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
    events : iterable of EventData
        In order; with a ``created_at`` where they were recorded with times and the worker asks for ticks.
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
    try:
        _run(events, worker, reducer, report, changes, progress)
    finally:
        reducer.stop_timer()
        for failure in (worker.finish(), reducer.finish(), worker.close(), reducer.close()):
            if failure is not None:
                report.add_failure(failure)
        report.n_results = reducer.n_results
        report.elapsed_s = time.monotonic() - began


def _run(
    events: Iterable[EventData],
    worker: WorkerRunner,
    reducer: ReducerRunner,
    report: RunReport,
    changes: ParameterChanges,
    progress: Callable[[int], None] | None,
) -> None:
    # Looked up once: this loop runs half a million times a second.
    parameters, values, content_hash = worker.parameters, worker.parameters.values, worker.parameters.content_hash
    process, reduce, name, clocked = worker.hook, reducer.process, worker.name, worker.needs_times
    previous_ns, tick, shown, scalars = -1, False, 0.0, reducer.scalars
    for index, event in enumerate(events):
        if scalars is not None and (small := small_frames(event)) is not None:
            scalars.keep(event.event_number, small)
        if changes.are_waiting:
            taken = changes.take(event.event_number)
            parameters.update(taken)
            content_hash = parameters.content_hash
            log.info("parameters %s changed from event %d on", ", ".join(sorted(taken)), event.event_number)
        if progress is not None and time.monotonic() > shown:
            progress(index)
            shown = time.monotonic() + _PROGRESS_EVERY_S
        report.n_events = index + 1
        try:
            if clocked:
                when_ns = time_ns(getattr(event, "created_at", None))
                tick = worker.tick(index, when_ns, previous_ns)
                previous_ns = when_ns
            payload = process(event, values, tick)
            if payload is None:
                continue
            # Not the worker's own object: it may go on using that.
            result = ResultData(event.event_number, name, content_hash, transfer(payload))
        except (
            Exception,
            SystemExit,
        ) as error:  # user code, or a result that cannot be sent: its event failed, the run goes on
            report.add_failure(worker.failure(error, event.event_number))
            continue
        failure = reduce(result)
        if failure is not None:
            report.add_failure(failure)
