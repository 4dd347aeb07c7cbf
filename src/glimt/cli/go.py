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
from glimt.model.errors import GlimtError, RecipeError

if TYPE_CHECKING:
    from glimt.app.results_written import RowMark
    from glimt.app.site import Site

MakeRequest = Callable[[int | None], dict[str, Any]]
Entry = Callable[["Site"], AbstractContextManager[int]]
Check = Callable[["Site", dict[str, Any]], None]


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
    grid: Annotated[
        str, typer.Option("--grid", metavar="COLUMNSxROWS", help="With --images: a grid scan; snaked, its lines rows.")
    ] = "",
    not_snaked: Annotated[
        bool, typer.Option("--not-snaked", help="With --grid: every line was scanned in the same direction.")
    ] = False,
    vertical: Annotated[bool, typer.Option("--vertical", help="With --grid: lines are columns.")] = False,
    visit: Annotated[str, typer.Option("--visit", metavar="VISIT", help="With --images: as mx12345-6.")] = "xx0-1",
    site: SiteOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, send nothing.")] = False,
    no_check: Annotated[bool, typer.Option("--no-check", help="Send without looking whether it can run.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the run is over, and say how it ended.")] = False,
    timeout_s: Annotated[
        float | None,
        typer.Option("--timeout", metavar="S", help="With --wait: give up after that time.", min=0),
    ] = None,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Show the message.")] = False,
) -> None:
    """Start recipes for a data collection. `glimt serve` does the work, now or when it is started.

    Before it sends, it says what --dry-run would: mistakes of the recipe are refused, the rest may come later.

    Exit code 1 if there is a mistake, and with --wait if a message of the run died or the time is over.
    """
    from glimt.app.go import make_request, split_recipes
    from glimt.app.recipe_follow import check_can_follow
    from glimt.app.site_file import load_site

    words, number = split_words(words or [])
    names, file = split_recipes([*(recipes or []), *words], file)
    found = load_site(site)
    _check_number(number, no_number=no_number, images=images)
    _check_grid(images=images, grid=grid, is_told=not_snaked or vertical)
    if dry_run and no_check:
        raise typer.BadParameter("--dry-run and --no-check exclude each other")
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

    entry = None
    if images:
        entry = partial(
            entering,
            template=images,
            first=first,
            last=last,
            grid=grid,
            is_snaked=not not_snaked,
            is_vertical=vertical,
            visit=visit,
        )
    if dry_run:
        _dry_run(found, make, number, entry)
        return
    mark = _mark(found) if wait else None
    request = _send(found, make, number, entry, check=None if no_check else _check)
    print(request["parameters"]["guid"], flush=True)
    what = ", ".join(request["recipes"]) or "a recipe of your own"
    _say(f"sent {what} through {shown_url(found.broker_url)}")
    if mark is not None:
        dcid = None if is_reprocessing else request["parameters"].get("ispyb_dcid")
        wait_for_run(found, request, dcid, mark, timeout_s)
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


def _check_grid(*, images: str, grid: str, is_told: bool) -> None:
    if grid and not images:
        raise typer.BadParameter("--grid is for --images; the grid of a data collection is in the database")
    if is_told and not grid:
        raise typer.BadParameter("--not-snaked and --vertical are for --grid")


def split_words(words: list[str]) -> tuple[list[str], int | None]:
    """Return the names of recipes and the number of the data collection, if the last word is one."""
    if words and words[-1].isascii() and words[-1].isdigit():
        return words[:-1], int(words[-1])
    return words, None


def entering(site: Site, **options: Any) -> AbstractContextManager[int]:
    """Enter images as a data collection, if the block does not raise."""
    from glimt.app.go_images import entering_images

    return entering_images(site, **options)


def _mark(site: Site) -> RowMark:
    from glimt.app.results_written import mark_rows

    return mark_rows(str(site.results_url))


def _check(site: Site, request: dict[str, Any]) -> None:
    """Say what may keep a run from going well; mistakes of the recipe are refused."""
    from glimt.app.go_check import check_request

    n_final = 0
    for line in check_request(site, request, str(site.results_url)):
        n_final += line.is_final
        if line.kind != "good":
            kind = "error: " if line.is_final else "" if line.kind == "note" else "warning: "
            _say(f"{kind}{line.text}")
    if n_final:
        raise RecipeError("nothing was sent, as the dispatcher would reject it; --no-check sends it all the same")


def _send(
    site: Site, make: MakeRequest, number: int | None, entry: Entry | None, *, check: Check | None
) -> dict[str, Any]:
    """Check a request and send it; if that cannot be, no images were entered."""
    from glimt.app.go import open_for_requests, send_request

    if entry is None:
        request = make(number)
        if check is not None:
            check(site, request)
        with open_for_requests(site) as broker:
            send_request(broker, request)
        return request
    with open_for_requests(site) as broker:
        with entry(site) as number:
            request = make(number)
        try:
            if check is not None:
                check(site, request)
            send_request(broker, request)
        except BaseException:
            from glimt.app.go_images import remove_images

            try:
                remove_images(site, number)
            except GlimtError as error:
                _say(f"the images stay entered, as data collection {number}, and nothing was started: {error}")
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
            _say("the images can be entered as a new data collection")
            lines = list(check_request(site, request, str(trial.results_url), is_trial=True))
    for line in lines:
        _say(line.text if line.kind in {"good", "note"} else f"{line.kind}: {line.text}")
    _say("nothing was sent or entered (--dry-run)")
    if any(line.kind == "error" for line in lines):
        raise typer.Exit(1)


def _say(text: str) -> None:
    print(f"glimt: {plain(text)}", file=sys.stderr, flush=True)
