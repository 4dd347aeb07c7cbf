"""``glimt run``: a beamline file, live."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from glimt.cli.stop_signals import stop_on_signals

if TYPE_CHECKING:
    from glimt.app.live.session import LiveSession

_LINE_S = 5.0


def run(
    file: Annotated[Path | None, typer.Argument(metavar="[BEAMLINE.TOML]", help="The beamline file.")] = None,
    example: Annotated[
        bool, typer.Option("--example", help="Write an example of a beamline file, with its classes, here.")
    ] = False,
    scans: Annotated[int | None, typer.Option("--scans", help="End after so many scans.", min=1)] = None,
) -> None:
    """Run a beamline live: streams in, events to your worker and reducer, results out.

    Without a file it says what one looks like. It ends with Ctrl-C, after what has come is finished; or by itself, when
    all sources are recordings that were played to their end. Exit code 0 if nothing failed or is missing.
    """
    from glimt.app.beamline_example import explain_text, write_example  # these take half a second

    if example:
        print(explain_text(write_example()))
        return
    if file is None:
        print(explain_text())
        return
    from glimt.app.beamline_file import load_beamline
    from glimt.app.live.session import LiveSession

    session = LiveSession(load_beamline(file))
    with stop_on_signals() as stop, session:
        print(f"glimt: {session.beamline.name} runs; control on {session.url}", file=sys.stderr)
        print("glimt: Ctrl-C ends it", file=sys.stderr, flush=True)
        lines = StatusLines(session)
        for _ in session.watch(stop.is_set, n_scans=scans):
            lines.show()
        is_whole = print_account(session)
    if not is_whole:
        raise typer.Exit(1)


class StatusLines:
    """A line now and then: on a terminal one that is written over, elsewhere every few seconds."""

    def __init__(self, session: LiveSession) -> None:
        self._session = session
        self._shown_at = 0.0
        self._shown = ""
        self._n_scans = 0
        self._view_url = ""

    def show(self) -> None:
        """Write the line if it is time."""
        report = self._session.run.report
        if not report:
            return
        if self._session.view_url != self._view_url:
            self._view_url = self._session.view_url
            print(f"glimt: live view on {self._view_url}", file=sys.stderr, flush=True)
        is_terminal = sys.stderr.isatty()
        now = time.monotonic()
        if now - self._shown_at < (0.5 if is_terminal else _LINE_S) and report.get("n_scans") == self._n_scans:
            return
        self._shown_at, self._n_scans = now, report.get("n_scans", 0)
        line = _status_line(self._session)
        if line == self._shown:
            return
        self._shown = line
        print(f"\r{line:<78.78}" if is_terminal else line, end="" if is_terminal else "\n", file=sys.stderr, flush=True)


def _status_line(session: LiveSession) -> str:
    progress = session.control.progress()
    health = session.control.health()
    report = session.run.report
    if not report.get("n_scans"):
        waits = {name: stream["connection"] for name, stream in health["streams"].items()}
        return "waiting: " + ", ".join(f"{name} {state}" for name, state in waits.items())
    scan = health["scan"]
    total = f" of {scan['total_events']:,}" if scan.get("total_events") else ""
    line = f"scan {scan['scan_number']}: {progress['completed_events']:,}{total} events, {scan['event_rate']:,.0f}/s"
    if scan["n_failures"]:
        line += f", {scan['n_failures']:,} failed"
    missing = sum(stream["ledger"]["n_missing"] for stream in health["streams"].values())
    if missing:
        line += f", {missing:,} missing"
    return line + f" [{health['state']}]"


def print_account(session: LiveSession) -> bool:
    """Print what became of every packet; tell whether nothing is wrong."""
    if sys.stderr.isatty():
        print(file=sys.stderr)
    is_whole = not session.run.problem and not session.run.n_failures
    if session.run.problem:
        print(f"glimt: {session.run.problem}", file=sys.stderr)
    for stream in session.run.report.get("streams", []):
        ledger: dict[str, Any] = stream["ledger"]
        dropped = "".join(f", {n:,} {reason}" for reason, n in sorted(ledger["dropped"].items()))
        print(
            f"{stream['name']}: {ledger['received']:,} received = {ledger['reduced']:,} reduced"
            f" + {ledger['failed']:,} failed + {sum(ledger['dropped'].values()):,} dropped{dropped}"
            f" + {ledger['pending']:,} pending; {ledger['n_missing']:,} missing",
            file=sys.stderr,
        )
        bad = ledger["failed"] or ledger["pending"] or ledger["n_missing"] or _LOSSES & ledger["dropped"].keys()
        is_whole = is_whole and not bad
    return is_whole


_LOSSES = frozenset({"bad", "late", "incomplete", "full", "spilled", "no_worker", "aborted"})
"""Reasons of dropping that mean that something is wrong; the others are how beamlines are."""
