"""``glimt doctor``: what is wrong with a live run, and what to do."""

from __future__ import annotations

import shutil
import sys
import textwrap
from pathlib import Path
from typing import Annotated

import typer

from glimt.app.doctor import Finding, diagnose, is_whole
from glimt.app.shown_page import diagnose_page
from glimt.app.status_client import DEFAULT_URL, OtherPageError, UnreachableError, fetch_health, load_health
from glimt.cli.status import TokenOption
from glimt.cli.status_tables import plain
from glimt.model.errors import GlimtError, UsageError

_SOMETHING_WRONG = 1
_UNREACHABLE = 2
_INDENT = 9
_MAX_WIDTH = 100
_MAX_REPORT_BYTES = 32 << 20


def doctor(
    target: Annotated[
        str,
        typer.Argument(
            help="Where a run is, its beamline file, or what glimt status --json wrote.", metavar="[TARGET]"
        ),
    ] = DEFAULT_URL,
    token: TokenOption = "",
) -> None:
    """Say in words what is wrong with a live run, why, and what to do.

    Given a beamline file it checks the file, asks the run that it describes, and without one tries what the file names:
    senders, ports, folders. Of a replay, or glimt serve, it says how far that is. Exit code 0 if nothing is wrong, 1 if
    something is, 2 if no run answers.
    """
    if target.endswith(".toml"):
        findings = _of_file(Path(target), token)
    elif target.endswith(".json"):
        findings = diagnose(load_health(_read(Path(target))))
    else:
        try:
            findings = _of_answer(target, token)
        except GlimtError as error:
            print(f"glimt: {plain(str(error))}", file=sys.stderr)
            raise typer.Exit(_UNREACHABLE) from None
    width = min(shutil.get_terminal_size((80, 24)).columns, _MAX_WIDTH)
    print("\n\n".join(_in_words(finding, width) for finding in findings) or "nothing is wrong")
    if not is_whole(findings):
        raise typer.Exit(_SOMETHING_WRONG)


def _of_answer(url: str, token: str) -> list[Finding]:
    try:
        return diagnose(fetch_health(url, token=token or None))
    except OtherPageError as error:
        return diagnose_page(error.page, token=token or None)


def _of_file(path: Path, token: str) -> list[Finding]:
    from glimt.app.beamline_doctor import diagnose_file  # with all protocols, which other uses need not wait for
    from glimt.app.beamline_file import load_beamline

    beamline = load_beamline(path)
    control = beamline.control
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(control.host, control.host)
    host = f"[{host}]" if ":" in host else host
    if control.port:
        try:
            return diagnose(fetch_health(f"http://{host}:{control.port}", token=token or str(control.token) or None))
        except UnreachableError:
            pass
    run = Finding(
        "note",
        f"{path} is in order, but no run answers at {host}:{control.port}",
        "It was not started, or it has ended.",
        f"glimt run {path}",
    )
    return [*diagnose_file(beamline), run]


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_REPORT_BYTES)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None


def _in_words(finding: Finding, width: int) -> str:
    lines = [(finding.severity.upper(), finding.what), ("why", finding.why), ("do", finding.do)]
    return "\n".join(
        textwrap.fill(
            plain(text, limit=2000),
            width,
            initial_indent=f"{label:<{_INDENT}}",
            subsequent_indent=" " * _INDENT,
            break_on_hyphens=False,
        )
        for label, text in lines
    )
