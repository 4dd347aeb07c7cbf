"""``glimt db``: the results database."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from glimt.cli.status_tables import plain
from glimt.model.errors import UsageError

if TYPE_CHECKING:
    from glimt.app.results_view import ResultView
    from glimt.stores.results_db import ResultsDatabase

db = typer.Typer(
    help="Make the results database, and show what is in it.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)

SiteOption = Annotated[
    Path | None,
    typer.Option("--site", metavar="SITE.TOML", help="The site file; else $GLIMT_SITE, ./site.toml or defaults."),
]
UrlOption = Annotated[
    str,
    typer.Option("--url", metavar="URL", help="sqlite:///PATH, mysql+pymysql://… or ispyb:FILE; instead of a site's."),
]
_MOST_ROWS = 1_000_000
_LEAST_TEXT = 10
"""Width of texts that are folded: a date above its time."""
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?", re.ASCII)


@db.command("init")
def init(site: SiteOption = None, url: UrlOption = "") -> None:
    """Make the tables that are missing: ISPyB's, and glimt's own of which messages were done."""
    from glimt.stores.results_address import results_address, shown
    from glimt.stores.results_db import prepare_results

    address = _address(site, url)
    n_made = prepare_results(address)
    what = f"{n_made} tables were made" if n_made else "all tables are there"
    print(f"{shown(results_address(address))}: {what}")


@db.command("show")
def show(
    what: Annotated[
        str, typer.Argument(metavar="[DCID|TABLE]", help="Number of a data collection, or a table of ISPyB.")
    ] = "",
    program: Annotated[int | None, typer.Option("--program", metavar="N", help="A processing program.")] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=_MOST_ROWS, help="Most rows a table.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the first table as CSV.")] = False,
    site: SiteOption = None,
    url: UrlOption = "",
) -> None:
    """Show the newest data collections; or of one: its images, where its crystals are, and what processed it.

    Exit code 0, or 1 if there is no such thing or no database.
    """
    if as_json and as_csv:
        raise UsageError("--json or --csv, not both")
    if what and program is not None:
        raise UsageError("a data collection, a table or --program: one of them")
    from glimt.stores.results_db import ResultsDatabase

    database = ResultsDatabase(_address(site, url))
    try:
        views = _views(database, what, program, limit)
    finally:
        database.close()
    if as_json:
        print(json.dumps({view.name: _objects(view) for view in views}, indent=2, allow_nan=False))
    elif as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(views[0].columns)
        writer.writerows(views[0].rows)
    else:
        _print(views, limit)


def _address(site: Path | None, url: str) -> str:
    if url:
        return url
    from glimt.app.site_file import load_site

    return str(load_site(site).results_url)


def _views(database: ResultsDatabase, what: str, program: int | None, limit: int) -> list[ResultView]:
    from glimt.app import results_view

    if program is not None:
        return results_view.program_view(database, program, limit)
    if what.isascii() and what.isdigit():
        return results_view.collection_view(database, int(what), limit)
    if what:
        return results_view.table_view(database, what, limit)
    return results_view.collections_view(database, limit)


def _objects(view: ResultView) -> list[dict[str, Any]]:
    return [dict(zip(view.columns, row, strict=True)) for row in view.rows]


def _print(views: list[ResultView], limit: int) -> None:
    console = Console(highlight=False)
    for view in views:
        if not view.rows:
            console.print(f"{plain(view.title)}: none")
        elif _least_width(view) <= console.width:
            console.print(_table(view))
        else:
            _print_pairs(console, view)
        if len(view.rows) == limit:
            console.print(f"only {limit} rows are shown; --limit shows more", style="dim")
        console.print()


def _table(view: ResultView) -> Table:
    table = Table(title=plain(view.title), title_justify="left", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for column, width, is_text in _columns(view):
        table.add_column(column, justify="left" if is_text else "right", overflow="fold", min_width=width)
    for row in view.rows:
        table.add_row(*(_cell(value) for value in row))
    return table


def _print_pairs(console: Console, view: ResultView) -> None:
    """Print a row as lines of a column and its value, as a table would be too narrow for its own columns."""
    console.print(plain(view.title))
    width = max(map(len, view.columns))
    for number, row in enumerate(view.rows):
        if number:
            console.print()
        pairs = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
        pairs.add_column(min_width=width, no_wrap=True)
        pairs.add_column(overflow="fold")
        for column, value in zip(view.columns, row, strict=True):
            pairs.add_row(column, _cell(value))
        console.print(pairs)


def _columns(view: ResultView) -> Iterator[tuple[str, int, bool]]:
    """Yield the name, the least width and whether it is text, of each column: only texts and times are folded."""
    for number, column in enumerate(view.columns):
        values = [row[number] for row in view.rows]
        is_text = any(isinstance(value, str) for value in values)
        longest = max((len(_cell(value)) for value in values), default=0)
        yield column, max(len(column), min(longest, _LEAST_TEXT) if is_text else longest), is_text


def _least_width(view: ResultView) -> int:
    widths = [width for _, width, _ in _columns(view)]
    return sum(widths) + len(widths) - 1


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    text = plain(str(value)).replace("[", "\\[")
    return text.replace("T", " ") if _TIME.fullmatch(text) else text
