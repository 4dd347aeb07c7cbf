"""The ``glimt`` command."""

from __future__ import annotations

import os
import sys

import typer

from glimt.cli.analyse import analyse
from glimt.cli.broker import broker
from glimt.cli.convert import convert
from glimt.cli.db import db
from glimt.cli.demo import demo
from glimt.cli.doctor import doctor
from glimt.cli.go import go
from glimt.cli.recipe import recipe
from glimt.cli.record import record
from glimt.cli.replay import replay
from glimt.cli.run import run
from glimt.cli.serve import serve
from glimt.cli.simulate import simulate
from glimt.cli.status import status
from glimt.model.errors import GlimtError, UserCodeError

_INTERRUPTED = 130

app = typer.Typer(
    name="glimt",
    help="Live processing of X-ray detector data.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(run)
app.command()(replay)
app.command()(analyse)
app.command()(demo)
app.command()(record)
app.command()(convert)
app.add_typer(simulate, name="simulate")
app.command()(serve)
app.command()(go)
app.add_typer(recipe, name="recipe")
app.add_typer(broker, name="broker")
app.add_typer(db, name="db")
app.command()(status)
app.command()(doctor)


@app.callback()
def glimt() -> None:
    """Live processing of X-ray detector data."""


def main(arguments: list[str] | None = None) -> None:
    """Run a command; an error that glimt knows is one line and exit code 1, Ctrl-C is exit code 130."""
    try:
        app(arguments)
    except GlimtError as error:
        if os.environ.get("LOG_LEVEL", "").upper() == "DEBUG":
            raise
        if isinstance(error, UserCodeError) and error.trace:
            print(error.trace, file=sys.stderr)
        print(f"glimt: {error}", file=sys.stderr)
        sys.exit(1)
    except (KeyboardInterrupt, SystemExit) as stop:
        # The command line library turns Ctrl-C into an exit with this code, without a word.
        if isinstance(stop, KeyboardInterrupt) or stop.code == _INTERRUPTED:
            print("glimt: stopped", file=sys.stderr)
            sys.exit(_INTERRUPTED)
        raise
