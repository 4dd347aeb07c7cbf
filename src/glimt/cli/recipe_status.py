"""``glimt recipe status``, and the end of ``glimt go --wait``: where a run is, and how it ended."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from glimt.cli.serve import SiteOption
from glimt.cli.status_tables import plain
from glimt.cli.stop_signals import stop_on_signals
from glimt.model.errors import GlimtError, UsageError

if TYPE_CHECKING:
    from glimt.app.recipe_progress import RunProgress
    from glimt.app.results_written import RowMark
    from glimt.app.site import Site


def status(
    run: Annotated[str, typer.Argument(metavar="ID", help="The identity of the run, as `glimt go` printed it.")],
    site: SiteOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Say where the messages of a run of a recipe are, queue by queue, and which are dead letters, and why.

    Exit code 1 if there are dead letters.
    """
    from glimt.app.recipe_progress import look_at_run
    from glimt.app.site_file import load_site
    from glimt.services.recipe_log import RECIPE_ID

    if not RECIPE_ID.fullmatch(run):
        raise UsageError(f"{run!r:.120} is not the identity of a run; `glimt go` prints it, and so does the log")
    progress = look_at_run(load_site(site), run)
    if as_json:
        said = {"is_over": progress.is_over if progress.is_exact else None, **msgspec.to_builtins(progress)}
        print(msgspec.json.format(msgspec.json.encode(said), indent=2).decode())
    else:
        _print_where(progress)
    if progress.dead_letters:
        raise typer.Exit(1)


def wait_for_run(site: Site, request: dict[str, Any], dcid: Any, mark: RowMark, timeout_s: float | None) -> None:
    """Wait until a run is over, and say how it ended; exits with 1 if something of it died, or it is not over.

    Parameters
    ----------
    site : Site
    request : dict
        What was sent; see `glimt.app.go.make_request`.
    dcid : object
        The data collection whose rows are counted; as it was asked for, which may be none there can be.
    mark : RowMark
        How far the results database was before the run was sent.
    timeout_s : float or None
        [s]
    """
    from glimt.app.recipe_follow import dead_letter_lines, follow_run, where_lines

    run = str(request["parameters"]["guid"])
    with stop_on_signals() as stop:
        progress = follow_run(site, run, stop=stop, tell=_say, timeout_s=timeout_s)
    if progress.is_over:
        _say("the run is over")
    else:
        _say(f"{'the time is over' if not stop.is_set() else 'stopped'}, and the run goes on:")
        for line in where_lines(progress):
            _say(f"  {line}")
        _say(f"`glimt recipe status {run}` says where it is later")
    _say(f"dead letters: {len(progress.dead_letters) or 'none'}")
    for line in dead_letter_lines(progress):
        _say(f"  {line}")
    _say_rows(site, dcid, mark)
    if progress.dead_letters or not progress.is_over:
        raise typer.Exit(1)


def _print_where(progress: RunProgress) -> None:
    from glimt.app.recipe_follow import dead_letter_lines, where_lines

    lines = where_lines(progress)
    if not progress.is_exact:
        print("RabbitMQ does not tell which run a message belongs to; the messages of all runs are:")
    elif progress.is_over:
        print("no message of this run waits or is held: it is over, or there was none of this identity")
    for line in lines or ([] if progress.is_exact else ["none that wait"]):
        print(plain(line))
    if not progress.is_exact:
        print("what receivers hold is told by the management plug-in only")
    print(f"dead letters of this run: {len(progress.dead_letters) or 'none'}")
    for line in dead_letter_lines(progress, limit=1000):
        print(f"  {plain(line)}")


def _say_rows(site: Site, dcid: Any, mark: RowMark) -> None:
    """Say how many rows the data collection has now, and how many of them are new, if it is one."""
    try:
        dcid = int(dcid)
    except (TypeError, ValueError):
        return
    if not 0 < dcid < 1 << 53:
        return
    from glimt.app.results_written import count_rows, told_rows

    try:
        counts = count_rows(str(site.results_url), dcid, mark)
    except GlimtError as error:
        _say(f"rows in the database are not known: {error}")
        return
    _say(told_rows(counts, dcid))


def _say(text: str) -> None:
    print(f"glimt: {plain(text)}", file=sys.stderr, flush=True)
