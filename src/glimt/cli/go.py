"""``glimt go``: starts recipes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec.structs import replace

from glimt.app.written import Secret
from glimt.cli.recipe_status import wait_for_run
from glimt.cli.serve import SiteOption, shown_url
from glimt.cli.status_tables import plain

if TYPE_CHECKING:
    from glimt.app.site import Site

MakeRequest = Callable[[int | None], dict[str, Any]]
Entry = Callable[["Site"], AbstractContextManager[int]]


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
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the run is over, and say how it ended.")] = False,
    timeout_s: Annotated[
        float | None,
        typer.Option("--timeout", metavar="S", help="With --wait: give up after that time.", min=0),
    ] = None,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Show the message.")] = False,
) -> None:
    """Start recipes for a data collection. `glimt serve` does the work, now or when it is started.

    Exit code 1 if --dry-run finds a mistake, and with --wait if a message of the run died or the time is over.
    """
    from glimt.app.go import make_request, split_recipes
    from glimt.app.recipe_follow import check_can_follow
    from glimt.app.site_file import load_site

    words, number = split_words(words or [])
    names, file = split_recipes([*(recipes or []), *words], file)
    found = load_site(site)
    _check_number(number, no_number=no_number, images=images)
    if timeout_s is not None and not wait:
        raise typer.BadParameter("--timeout is for --wait")
    if wait:
        check_can_follow(found)

    def make(number: int | None) -> dict[str, Any]:
        request = make_request(
            found,
            names,
            recipe_file=file,
            number=number,
            is_reprocessing=is_reprocessing,
            scaling_id=scaling_id,
            settings=settings or [],
        )
        if verbose:
            print(json.dumps(request, indent=2))
        return request

    entry = partial(entering, template=images, first=first, last=last, grid=grid, visit=visit) if images else None
    if dry_run:
        _dry_run(found, make, number, entry)
        return
    request = _send(found, make, number, entry)
    print(request["parameters"]["guid"], flush=True)
    what = ", ".join(request["recipes"]) or "a recipe of your own"
    _say(f"sent {what} through {shown_url(found.broker_url)}")
    if wait:
        wait_for_run(found, request, None if is_reprocessing else request["parameters"].get("ispyb_dcid"), timeout_s)
    else:
        _say(
            "the log of `glimt serve` shows it with that identity;"
            f" `glimt recipe status {request['parameters']['guid']}` says where it is"
        )


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


def entering(site: Site, **options: Any) -> AbstractContextManager[int]:
    """Enter images as a data collection, if the block does not raise."""
    from glimt.app.go_images import entering_images

    return entering_images(site, **options)


def _send(site: Site, make: MakeRequest, number: int | None, entry: Entry | None) -> dict[str, Any]:
    """Send a request; if that cannot be, no images were entered."""
    from glimt.app.go import open_for_requests, send_request

    if entry is None:
        request = make(number)
        with open_for_requests(site) as broker:
            send_request(broker, request)
        return request
    with open_for_requests(site) as broker:
        with entry(site) as number:
            request = make(number)
        try:
            send_request(broker, request)
        except BaseException:
            from glimt.app.go_images import remove_images

            remove_images(site, number)
            raise
    _say(f"the images are data collection {number}")
    return request


def _dry_run(site: Site, make: MakeRequest, number: int | None, entry: Entry | None) -> None:
    """Check a request; images are entered into a database that is thrown away."""
    from glimt.app.go_check import check_request

    if entry is None:
        lines = list(check_request(site, make(number), str(site.results_url)))
    else:
        with TemporaryDirectory(prefix="glimt-") as folder:
            trial = replace(site, results_url=Secret(f"sqlite:///{folder}/results.sqlite"))
            with entry(trial) as number:
                request = make(number)
            _say(f"the images can be entered, here for a trial as ispyb_dcid {number}")
            lines = list(check_request(site, request, str(trial.results_url)))
    for line in lines:
        _say(line.text if line.kind == "good" else f"{line.kind}: {line.text}")
    _say("nothing was sent or entered (--dry-run)")
    if any(line.kind == "error" for line in lines):
        raise typer.Exit(1)


def _say(text: str) -> None:
    print(f"glimt: {plain(text)}", file=sys.stderr, flush=True)
