"""``glimt serve``: the services that recipes connect."""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glimt.cli.stop_signals import stop_on_signals

if TYPE_CHECKING:
    from glimt.app.serve import Serving
    from glimt.app.serve_page import ServePage
    from glimt.app.site import Site

SiteOption = Annotated[
    Path | None,
    typer.Option("--site", metavar="SITE.TOML", help="The site file; else $GLIMT_SITE, ./site.toml or defaults."),
]
RootOption = Annotated[
    list[Path] | None,
    typer.Option("--root", metavar="FOLDER", help="A folder in which images may lie; repeat it. Else this folder."),
]


def serve(
    services: Annotated[
        list[str] | None, typer.Argument(metavar="[SERVICE]...", help="Names, or package.module:Class; else all.")
    ] = None,
    site: SiteOption = None,
    roots: RootOption = None,
    port: Annotated[
        int | None,
        typer.Option("--port", help="Show all of it in a browser, on this port; 0 is any free one.", min=0, max=65535),
    ] = None,
    host: Annotated[
        str, typer.Option("--host", help="Address of this machine for --port; other than this machine needs a token.")
    ] = "127.0.0.1",
    token: Annotated[
        str, typer.Option("--token", help="What a browser must bring to look.", envvar="GLIMT_TOKEN", metavar="TEXT")
    ] = "",
    show_list: Annotated[bool, typer.Option("--list", help="Say which services there are, and end.")] = False,
) -> None:
    """Run services: they wait for messages of recipes, which `glimt go` starts in another terminal.

    Each is a process of its own and is started again when it dies; no message is lost. Without a site file the
    messages go through a file of yours and results into another: nothing needs to be installed. Ctrl-C lets every
    service finish the message at hand and ends all; a second Ctrl-C ends them at once, and what they had in hand is
    delivered again next time.
    """
    from glimt.app.serve import Serving
    from glimt.app.serve_process import prepare_log
    from glimt.app.site_file import load_site

    found = load_site(site, roots=roots or ())
    if show_list:
        _list(found)
        return
    prepare_log("glimt")
    serving = Serving(found, services or (), tell=_tell)
    page = None if port is None else _page(serving, port, host, token)
    serving.prepare()
    with stop_on_signals() as stop, page or nullcontext():
        _introduce(serving, site)
        if page is not None:
            _tell(f"see it in a browser: {page.url}")
        is_well = serving.run(stop)
    _account(serving)
    if not is_well:
        raise typer.Exit(1)


def shown_url(url: str) -> str:
    """Return a URL without its password."""
    before, at, after = url.rpartition("@")
    if not at:
        return url
    scheme, _, user = before.partition("://")
    return f"{scheme}://{user.partition(':')[0]}:…@{after}"


def _page(serving: Serving, port: int, host: str, token: str) -> ServePage:
    """Return the page, its port taken: what it needs is imported only where it is wanted."""
    from glimt.app.serve_page import ServePage

    return ServePage(serving, port=port, host=host, token=token)


def _introduce(serving: Serving, site: Path | None) -> None:
    found = serving.site
    labels = [task.label for task in serving.tasks]
    option = f" --site {shlex.quote(str(site))}" if site is not None else ""
    _tell(f"{len(labels)} service{'s' * (len(labels) != 1)}: {', '.join(labels)}")
    _tell(f"messages go through {shown_url(found.broker_url)}")
    _tell(f"results go into {shown_url(found.results_url)}")
    _tell(f"images may lie in {', '.join(str(root) for root in found.roots)}")
    for root in found.roots:
        if not os.path.isdir(root):  # of the site file, and it may be mounted later
            _tell(f"WARNING there is no folder {root} now: nothing in it can be analyzed before it is there")
    _tell(f"start a recipe in another terminal: glimt go{option} RECIPE DCID (`glimt recipe show` lists recipes)")
    _tell("Ctrl-C ends it")


def _account(serving: Serving) -> None:
    from glimt.app.serve import count_text

    for label, counts in serving.totals().items():
        _tell(f"{label}: {count_text(counts)}")


def _list(site: Site) -> None:
    from glimt.app.serve import describe
    from glimt.app.service_registry import known_services

    for name in dict.fromkeys([*known_services(), *site.plans]):
        found = describe(name)
        queues = f" [{', '.join(found['queues'])}]" if found["queues"] else ""
        print(f"{name}{queues}: {found['says']}")


def _tell(text: str) -> None:
    print(f"glimt: {text}", file=sys.stderr, flush=True)
