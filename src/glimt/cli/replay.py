"""``glimt replay``: captures through a user's worker and reducer."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from glimt.app.replay import Replay, ReplayOptions
from glimt.cli.amounts import count_text
from glimt.cli.progress import ProgressDisplay
from glimt.model.errors import UsageError
from glimt.pipeline.report import RunReport


def replay(
    worker: Annotated[str, typer.Option("-w", "--workerclass", help="Worker, as module.path:Class.", metavar="CLASS")],
    reducer: Annotated[
        str, typer.Option("-r", "--reducerclass", help="Reducer, as module.path:Class.", metavar="CLASS")
    ],
    files: Annotated[
        list[Path] | None,
        typer.Option(
            "-f", "--files", help="Captures (.cbors, also gzip). Several are joined by event number.", metavar="FILE..."
        ),
    ] = None,
    more_files: Annotated[list[Path] | None, typer.Argument(metavar="[FILE]...", help="Further captures.")] = None,
    source: Annotated[
        str | None,
        typer.Option("-s", "--source", help="Instead of files, a class that yields events.", metavar="CLASS"),
    ] = None,
    parameters: Annotated[
        Path | None, typer.Option("-p", "--parameters", help="Parameter values, JSON or CBOR.", metavar="FILE")
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", help="Serve the live view on this port of this machine.", min=0, max=65535)
    ] = None,
    keep_alive: Annotated[bool, typer.Option("--keep-alive", help="Keep the live view after the end.")] = False,
    nworkers: Annotated[int, typer.Option("--nworkers", help="Worker processes; 1 runs in this process.")] = 1,
    rename_stream: Annotated[
        list[str] | None,
        typer.Option("--rename-stream", help="Another name for a stream than it was recorded with.", metavar="OLD=NEW"),
    ] = None,
) -> None:
    """Replay captures through a worker and a reducer.

    The environment variable LOG_LEVEL (DEBUG, INFO, WARNING, ERROR) says how much is printed.
    Exit code 0 if every event was processed, 1 if anything failed.
    """
    if keep_alive and port is None:
        raise UsageError("--keep-alive keeps the live view: say where with --port")
    options = ReplayOptions(
        worker=worker,
        reducer=reducer,
        files=[*(files or []), *(more_files or [])],
        source=source,
        parameter_file=parameters,
        n_workers=nworkers,
        port=port,
        rename_streams=rename_stream or [],
    )
    display = ProgressDisplay("replay")
    run = Replay(options, progress=display)
    with run.live_view() as server:
        if server is not None:
            print(f"live view on {server.url}", file=sys.stderr)
        try:
            with display:
                report = run.run()
        except KeyboardInterrupt:
            print(_summary(run.report), file=sys.stderr)
            raise
        print(_summary(report), file=sys.stderr)
        if keep_alive:
            print("the live view stays; Ctrl-C ends it", file=sys.stderr)
            _wait_for_interrupt()
    if not report.is_whole:
        raise typer.Exit(1)


def _summary(report: RunReport) -> str:
    rate = report.n_events / report.elapsed_s if report.elapsed_s > 0 else 0.0
    failed = f"{report.n_failures} failed" if report.n_failures else "none failed"
    events, results = count_text(report.n_events, "events"), count_text(report.n_results, "results")
    return f"replay: {events}, {results} reduced, {failed}; {report.elapsed_s:.2f} s, {rate:,.0f} events/s"


def _wait_for_interrupt() -> None:
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        print(file=sys.stderr)
