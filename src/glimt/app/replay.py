"""Replays captures through a user's worker and reducer."""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glimt.app.events import BlockReader, CaptureEvents, ReplayEvents, SourceEvents
from glimt.app.process import prepare_process
from glimt.app.stream_names import StreamNames, advice_on_missing_stream, recorded_names
from glimt.engines.inline import run_inline
from glimt.engines.local import LocalRun
from glimt.engines.local_worker import WorkerSpec
from glimt.model.errors import UsageError, WorkerDiedError
from glimt.pipeline.kept_scalars import KeptScalars
from glimt.pipeline.parameter_changes import ParameterChanges
from glimt.pipeline.parameter_file import read_parameters
from glimt.pipeline.parameter_set import ParameterSet, described_parameters
from glimt.pipeline.reducer_runner import ReducerRunner
from glimt.pipeline.report import RunReport
from glimt.pipeline.user_class import import_class
from glimt.pipeline.worker_runner import WorkerRunner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from glimt.pipeline.block import Block

log = logging.getLogger("glimt")


@dataclass(slots=True)
class ReplayOptions:
    """What to replay, and how.

    Attributes
    ----------
    worker, reducer : str
        As ``module.path:Class``.
    files : list of Path
        Captures; joined by event number.
    source : str or None
        Instead of files, a class that yields events.
    parameter_file : Path or None
        Values of parameters; described ones that it does not give have their defaults.
    n_workers : int
        1 runs everything in this process, more use that many processes beside it.
    port : int or None
        Serve the live view there; 0 picks a free port.
    rename_streams : list of str
        As ``OLD=NEW``: other names for streams than they were recorded with.
    """

    worker: str
    reducer: str
    files: list[Path] = field(default_factory=list)
    source: str | None = None
    parameter_file: Path | None = None
    n_workers: int = 1
    port: int | None = None
    rename_streams: list[str] = field(default_factory=list)


class Replay:
    """One replay; make it, then `run` it.

    Parameters
    ----------
    options : ReplayOptions
        What to replay.
    progress : callable, optional
        Called now and then with the number of events and the fraction done (``None`` if unknown).

    Attributes
    ----------
    report : RunReport
        The account of the run.

    Raises
    ------
    UsageError, UserCodeError, ParameterError
        Something in the options cannot be used.
    """

    def __init__(self, options: ReplayOptions, *, progress: Callable[[int, float | None], None] | None = None) -> None:
        if bool(options.files) == (options.source is not None):
            raise UsageError("replay needs capture files (-f FILE...) or a source class (-s module:Class)")
        if options.n_workers < 1:
            raise UsageError(f"--nworkers is {options.n_workers}; at least one worker is needed")
        self._names = StreamNames.from_options(options.rename_streams)
        prepare_process()
        self._options = options
        self._paths = [path.absolute() for path in options.files]  # user code may change the folder
        self._progress = progress
        self._ends: deque[tuple[int, float | None]] = deque()
        self._reduced: float | None = 0.0
        self._finished = False
        self.report = RunReport()
        self._worker_class = import_class(options.worker)
        reducer_class = import_class(options.reducer)
        self._descriptions = described_parameters(self._worker_class, reducer_class)
        given = read_parameters(options.parameter_file) if options.parameter_file is not None else {}
        self._parameters = ParameterSet(self._descriptions, given)
        self.changes = ParameterChanges(ParameterSet(self._descriptions, given))
        for name in sorted(given.keys() - {description.name for description in self._descriptions}):
            log.warning("parameter %s is described by neither class: it has bytes but no value", name)
        self._events = self._open_events()
        self.reducer = ReducerRunner(reducer_class, parameters=self._parameters, on_failure=self.report.add_failure)
        if options.port is not None:
            self.reducer.scalars = KeptScalars()

    def _open_events(self) -> ReplayEvents:
        if self._options.source is not None:
            return SourceEvents(import_class(self._options.source), name=self._options.source)
        events = CaptureEvents(self._options.files, times=self._needs_times)
        if self._names.new:
            self._names.check(recorded_names(self._paths))
        return events

    @property
    def _needs_times(self) -> bool:
        return hasattr(self._worker_class, "get_tick_interval")

    def run(self) -> RunReport:
        """Run it to the end and return its account.

        Raises
        ------
        UsageError, UserCodeError
            The worker class cannot be made, or the source class raises.
        """
        try:
            if self._options.n_workers == 1:
                self._run_inline()
            else:
                self._run_processes()
        finally:
            self.changes.end()
            self._events.close()
            self._finished = True
        self._report_sources()
        return self.report

    def _run_inline(self) -> None:
        worker = WorkerRunner(self._worker_class, name="worker-0", parameters=self._parameters)
        run_inline(
            self._names.renamed(self._events.events()),
            worker,
            self.reducer,
            report=self.report,
            changes=self.changes,
            progress=self._show_progress,
        )

    def _run_processes(self) -> None:
        options = self._options
        spec = WorkerSpec(
            prepare=prepare_process,
            worker_class=options.worker,
            describe=partial(_describe, options.worker, options.reducer),
            data=self._parameters.data(),
            read=BlockReader(options.files, times=self._needs_times, names=self._names),
            has_page=options.port is not None,
        )
        run = LocalRun(
            spec,
            options.n_workers,
            parameters=self._parameters,
            reducer=self.reducer,
            report=self.report,
            changes=self.changes,
            progress=self._show_progress,
        )
        try:
            run.run(self._noted(self._events.blocks(options.n_workers)))
        except WorkerDiedError as error:
            self.report.add_error(str(error))

    def _noted(self, blocks: Iterator[Block]) -> Iterator[Block]:
        """Pass blocks on, noting how far in the files each ends: it is reduced only later."""
        for block in blocks:
            self._ends.append((block.first_index + block.n_events, self._events.fraction(block)))
            yield block

    def _show_progress(self, n_events: int) -> None:
        while self._ends and self._ends[0][0] <= n_events:
            self._reduced = self._ends.popleft()[1]
        if self._progress is not None:
            self._progress(n_events, self._fraction())

    def _fraction(self) -> float | None:
        return self._events.progress() if self._options.n_workers == 1 else self._reduced

    def _report_sources(self) -> None:
        damaged = any(account.error for account in self._events.accounts)
        if not self.report.n_events and not self.report.errors and not damaged:
            names = ", ".join(account.name for account in self._events.accounts)
            self.report.add_error(f"there are no events in {names}")
        for account in self._events.accounts:
            if account.error is not None:
                self.report.add_error(str(account.error))
            if account.n_missing:
                log.warning(
                    "%s has %d events and nothing for %d others: %s",
                    account.name,
                    account.n_events,
                    account.n_missing,
                    account.describe_gaps(),
                )
        failures = self.report.failures
        if failures and (advice := advice_on_missing_stream(failures, recorded_names(self._paths), self._names)):
            self.report.add_error(advice)

    def live_view(self) -> AbstractContextManager[Any]:
        """Return a context manager that serves the reducer's results while it is open.

        Raises
        ------
        UsageError
            The port is taken, or the packages for it are not installed.
        """
        if self._options.port is None:
            return contextlib.nullcontext()
        try:
            from glimt.web.live_view import create_app  # FastAPI is an extra, and costs half a second
            from glimt.web.page_hub import PageHub, PageSource
            from glimt.web.page_store import FILE_NAME
            from glimt.web.page_streams import StreamFeed
            from glimt.web.server import ViewServer
        except ModuleNotFoundError as error:
            raise UsageError(f"--port needs the package {error.name}: pip install glimt[view]") from None
        hub = PageHub(
            PageSource(
                self._options.reducer,
                "replay",
                StreamFeed(self.reducer),
                self.describe_progress,
                account_key="progress",
                parameters=self.changes,
                set_parameter=self.changes.set_from_event,
                file=Path(FILE_NAME),
            )
        )
        app = create_app(self.reducer, parameters=self.changes, progress=self.describe_progress, hub=hub)
        return _serve(hub, ViewServer(app, port=self._options.port))

    def describe_progress(self) -> dict[str, Any]:
        """Return the account so far as plain values."""
        return {
            "n_events": self.report.n_events,
            "n_results": self.reducer.n_results,
            "n_failures": self.report.n_failures,
            "errors": list(self.report.errors),
            "fraction": self._fraction(),
            "finished": self._finished,
        }


@contextlib.contextmanager
def _serve(hub: AbstractContextManager[Any], server: AbstractContextManager[Any]) -> Iterator[Any]:
    """Serve a page while its hub reads; give the server."""
    with hub, server as serving:
        yield serving


def _describe(worker: str, reducer: str) -> list[Any]:
    return described_parameters(import_class(worker), import_class(reducer))


def replay(options: ReplayOptions) -> RunReport:
    """Replay without a display; see `Replay`."""
    return Replay(options).run()
