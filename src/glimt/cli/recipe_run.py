"""``glimt recipe run``: a recipe in one process, every message told."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from glimt.cli.go import split_words
from glimt.cli.serve import RootOption, SiteOption
from glimt.cli.stop_signals import stop_on_signals


def run(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[RECIPE]... [DCID]", help="Names of recipes, and a data collection.")
    ] = None,
    file: Annotated[Path | None, typer.Option("-f", "--file", metavar="FILE", help="A recipe of your own.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "-s", "--set", metavar="NAME=TEXT", help="A parameter; NAME:=JSON for other than text. Repeat it."
        ),
    ] = None,
    services: Annotated[
        list[str] | None,
        typer.Option(
            "--service", metavar="MODULE:CLASS", help="A service of your own, or a plug-in of Zocalo; repeat it."
        ),
    ] = None,
    queues: Annotated[
        list[str] | None,
        typer.Option(
            "--queue",
            metavar="NAME",
            help="A queue of another program; what comes there is printed at the end. Repeat it.",
        ),
    ] = None,
    site: SiteOption = None,
    roots: RootOption = None,
    limit_s: Annotated[float | None, typer.Option("--limit", metavar="S", help="End after so many seconds.")] = None,
) -> None:
    """Run a recipe here, with all services in one process and no broker, and print what is sent where.

    Exit code 0 if nothing failed. Results go into the results database of the site, as in `glimt serve`.
    """
    from glimt.app.go import make_request, split_recipes
    from glimt.app.recipe_run import run_recipe
    from glimt.app.recipe_telling import name_services
    from glimt.app.serve_process import prepare_log
    from glimt.app.site_file import load_site

    prepare_log("glimt")
    for handler in logging.getLogger().handlers:
        name_services(handler)
    words, number = split_words(words or [])
    names, file = split_recipes(words, file)
    found = load_site(site, roots=roots or ())
    request = make_request(found, names, recipe_file=file, number=number, settings=settings or [])
    with stop_on_signals() as stop:
        is_well = run_recipe(
            found, request, services=services or (), queues=queues or (), tell=_tell, stop=stop, limit_s=limit_s
        )
    if not is_well:
        raise typer.Exit(1)


def _tell(text: str) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding), flush=True)
