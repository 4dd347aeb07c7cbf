"""``dranspose.replay`` for scripts and tests that call it: same names, same arguments."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from glimt.app.replay import Replay, ReplayOptions
from glimt.model.errors import UsageError
from glimt.model.event import InternalWorkerMessage
from glimt.sources.capture import CaptureReader


def get_internals(filename: PathLike[Any] | str) -> Iterator[InternalWorkerMessage]:
    """Yield the items of a capture.

    Raises
    ------
    UsageError, CaptureError
        The file cannot be opened; it is truncated, damaged or no capture.
    """
    with CaptureReader(Path(filename), times=True) as reader:
        yield from reader.messages()


def replay(
    wclass: str,
    rclass: str,
    zmq_files: Sequence[PathLike[Any] | str] | None = None,
    source: str | None = None,
    parameter_file: PathLike[Any] | str | None = None,
    port: int | None = None,
    stop_event: threading.Event | None = None,
    nworkers: int = 2,
    broadcast_first: bool = True,
    done_event: threading.Event | None = None,
    start_event: threading.Event | None = None,
    latency: float | None = None,
) -> None:
    """Replay captures through a worker and a reducer, as dranspose's function of this name.

    Parameters
    ----------
    wclass, rclass, source : str
        As ``module.path:Class``.
    zmq_files, parameter_file, port, nworkers
        As the options of ``glimt replay``.
    start_event, done_event, stop_event : threading.Event
        Waited for before the first event, set after the last, and waited for before the live view ends.
    broadcast_first, latency
        Only their defaults: start packets go to every worker, and nothing waits between events.

    Raises
    ------
    GlimtError
        As `glimt.app.replay.Replay`; also if an event failed, which in dranspose ends the replay too.
    """
    if not broadcast_first or latency is not None:
        raise UsageError("glimt's replay sends start packets to every worker and knows no latency: leave these out")
    options = ReplayOptions(
        worker=wclass,
        reducer=rclass,
        files=[Path(name) for name in zmq_files or ()],
        source=source,
        parameter_file=None if parameter_file is None else Path(parameter_file),
        n_workers=nworkers,
        port=port,
    )
    run = Replay(options)
    with run.live_view():
        if start_event is not None:
            start_event.wait()
        report = run.run()
        if done_event is not None:
            done_event.set()
        if stop_event is not None:
            stop_event.wait()
    if not report.is_whole:
        problems = [*report.errors, *(str(failure) for failure in report.failures)]
        raise UsageError(f"the replay is not whole: {problems[0]}")
