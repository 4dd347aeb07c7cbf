"""``glimt go``: starts recipes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from glimt.cli.serve import SiteOption, shown_url


def go(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[RECIPE]... [DCID]", help="Names of recipes, and a data collection.")
    ] = None,
    recipes: Annotated[
        list[str] | None, typer.Option("-r", "--recipe", metavar="RECIPE", help="A recipe, as zocalo.go has it.")
    ] = None,
    file: Annotated[Path | None, typer.Option("-f", "--file", metavar="FILE", help="A recipe of your own.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "-s", "--set", metavar="NAME=TEXT", help="A parameter; NAME:=JSON for other than text. Repeat it."
        ),
    ] = None,
    is_reprocessing: Annotated[
        bool, typer.Option("-p", "--reprocessing", help="The number is a processing job, not a data collection.")
    ] = False,
    scaling_id: Annotated[
        int | None, typer.Option("-a", "--autoprocscalingid", metavar="APSID", help="The scaling to continue with.")
    ] = None,
    no_number: Annotated[bool, typer.Option("-n", "--no-dcid", help="Without a data collection.")] = False,
    images: Annotated[
        str, typer.Option("--images", metavar="'FILE_####.cbf'", help="Enter these images as a data collection first.")
    ] = "",
    first: Annotated[int, typer.Option("--first", metavar="N", help="With --images: the first.", min=0)] = 1,
    last: Annotated[int | None, typer.Option("--last", metavar="N", help="With --images: the last.", min=0)] = None,
    grid: Annotated[str, typer.Option("--grid", metavar="COLUMNSxROWS", help="With --images: a grid scan.")] = "",
    visit: Annotated[str, typer.Option("--visit", metavar="VISIT", help="With --images: as mx12345-6.")] = "xx0-1",
    site: SiteOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, send nothing.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Show the message.")] = False,
) -> None:
    """Start recipes for a data collection. `glimt serve` does the work, now or when it is started."""
    from glimt.app.go import make_request, recipe_id_of, send_request
    from glimt.app.site_file import load_site

    names, number = split_words(words or [])
    found = load_site(site)
    _check_number(number, no_number=no_number, images=images)
    if images and not dry_run:
        from glimt.app.go_images import register_images

        number = register_images(found, images, first=first, last=last, grid=grid, visit=visit)
        print(f"glimt: the images are data collection {number}", file=sys.stderr)
    request = make_request(
        found,
        [*(recipes or []), *names],
        recipe_file=file,
        number=number,
        is_reprocessing=is_reprocessing,
        scaling_id=scaling_id,
        settings=settings or [],
    )
    if verbose:
        print(json.dumps(request, indent=2))
    if dry_run:
        print("glimt: nothing is sent (--dry-run)", file=sys.stderr)
        return
    send_request(found, request)
    print(recipe_id_of(request))
    _explain(request, shown_url(found.broker_url))


def _check_number(number: int | None, *, no_number: bool, images: str) -> None:
    given = [
        what
        for what, is_given in ((str(number), number is not None), ("-n", no_number), ("--images", images))
        if is_given
    ]
    if not given:
        raise typer.BadParameter("give the number of a data collection, --images to enter one, or -n to run without")
    if len(given) > 1:
        raise typer.BadParameter(f"{' and '.join(given)} exclude each other")


def split_words(words: list[str]) -> tuple[list[str], int | None]:
    """Return the names of recipes and the number of the data collection, if the last word is one."""
    if words and words[-1].isascii() and words[-1].isdigit():
        return words[:-1], int(words[-1])
    return words, None


def _explain(request: dict[str, Any], url: str) -> None:
    what = ", ".join(request["recipes"]) or "a recipe of your own"
    print(f"glimt: sent {what} through {url}", file=sys.stderr)
    print(
        "glimt: the log of `glimt serve` shows it with that identity; `glimt broker status` what still waits,"
        " `glimt broker dead-letters` what failed",
        file=sys.stderr,
    )
