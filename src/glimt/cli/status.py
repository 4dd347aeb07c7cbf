"""``glimt status``: how a live run is."""

from __future__ import annotations

import sys
import time
from typing import Annotated

import msgspec
import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from glimt.app.doctor import diagnose, is_whole
from glimt.app.status_client import DEFAULT_URL, fetch_health
from glimt.cli.status_tables import plain, status_view
from glimt.model.errors import GlimtError

_EVERY_S = 1.0
_SOMETHING_WRONG = 1
_UNREACHABLE = 2

UrlArgument = Annotated[str, typer.Argument(help="Where the run's control interface is.", metavar="[URL]")]
TokenOption = Annotated[str, typer.Option(help="The run's token, if it asks for one.", envvar="GLIMT_TOKEN")]


def status(
    url: UrlArgument = DEFAULT_URL,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Show it anew every second, until Ctrl-C.")] = False,
    token: TokenOption = "",
) -> None:
    """Show state, progress, ledger and workers of a live run.

    Exit code 0 if all is well, 1 if something is wrong (glimt doctor says what to do), 2 if no run answers.
    """
    if watch and not as_json:
        raise typer.Exit(_watch(url, token))
    try:
        health = fetch_health(url, token=token or None)
    except GlimtError as error:
        print(f"glimt: {plain(str(error))}", file=sys.stderr)
        raise typer.Exit(_UNREACHABLE) from None
    findings = diagnose(health)
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(health), indent=2).decode())
    else:
        Console(highlight=False).print(status_view(health, findings))
    if not is_whole(findings):
        raise typer.Exit(_SOMETHING_WRONG)


def _watch(url: str, token: str) -> int:
    """Show the run until Ctrl-C; return the exit code for what was seen last."""
    code = _UNREACHABLE
    view: RenderableType = Text("")
    with Live(view, console=Console(highlight=False), auto_refresh=False) as live:
        try:
            while True:
                try:
                    health = fetch_health(url, token=token or None)
                    findings = diagnose(health)
                    view = status_view(health, findings)
                    code = 0 if is_whole(findings) else _SOMETHING_WRONG
                    live.update(view, refresh=True)
                except GlimtError as error:
                    code = _UNREACHABLE
                    live.update(Group(view, Text(f"glimt: {plain(str(error))}", style="red")), refresh=True)
                time.sleep(_EVERY_S)
        except KeyboardInterrupt:
            return code
