"""``glimt recipe``: check, show and draw recipes."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any

import typer

from glimt.app.recipe_check import KNOWN_QUEUES, open_recipe, problems_of_file, read_parameters, site_queues
from glimt.app.recipe_pictures import draw_mermaid, draw_tree
from glimt.app.site_file import load_site
from glimt.cli.recipe_run import run
from glimt.cli.recipe_status import status
from glimt.cli.serve import SiteOption
from glimt.services.recipe_files import list_recipes

recipe = typer.Typer(
    help="Check, show, draw and run recipes.", no_args_is_help=True, rich_markup_mode=None, add_completion=False
)

SetOption = Annotated[
    list[str] | None, typer.Option("-s", "--set", metavar="NAME=VALUE", help="A parameter of the run; repeat it.")
]
ParametersOption = Annotated[
    Path | None, typer.Option("--parameters", metavar="FILE", help="Parameters of the run, a JSON object.")
]
FolderOption = Annotated[
    list[Path] | None, typer.Option("--folder", metavar="FOLDER", help="Where to look for recipes by name; repeat it.")
]


@recipe.command("check")
def check(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Files, or names of recipes.")],
    site: SiteOption = None,
    values: SetOption = None,
    parameters: ParametersOption = None,
    folders: FolderOption = None,
    queues: Annotated[
        list[str] | None,
        typer.Option("--queue", metavar="NAME", help="A queue that is there besides those of glimt and of Zocalo."),
    ] = None,
    any_queue: Annotated[bool, typer.Option("--any-queue", help="Do not look whether queues are known.")] = False,
) -> None:
    """Say all that is wrong with recipes: file, step, and what to do.

    With parameters, also which of the recipe's names are not among them. Exit code 0 if nothing is wrong, 1 if
    something is; a warning alone is nothing wrong.
    """
    given = read_parameters(values or [], parameters)
    loaded = load_site(site)
    folders = [*(folders or ()), *loaded.recipe_folders]
    known: Collection[str] | None = None if any_queue else {*KNOWN_QUEUES, *site_queues(loaded), *(queues or [])}
    is_wrong = False
    for file in files:
        problems = problems_of_file(file, folders=folders, parameters=given, known_queues=known)
        for problem in problems:
            is_wrong = is_wrong or problem.is_error
            mark = "" if problem.is_error else "warning: "
            _print(f"{file}: {mark}{problem}")
        if not problems:
            _print(f"{file}: nothing is wrong")
    if is_wrong:
        raise typer.Exit(1)


@recipe.command("show")
def show(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="A recipe or a file; without it, all names.")] = "",
    site: SiteOption = None,
    values: SetOption = None,
    parameters: ParametersOption = None,
    folders: FolderOption = None,
) -> None:
    """Print a recipe as JSON, with parameters put in if there are any."""
    places = [*(folders or ()), *load_site(site).recipe_folders]
    if not name:
        _print("\n".join(list_recipes(places)))
        return
    found = open_recipe(name, places)
    given = read_parameters(values or [], parameters)
    if given is not None:
        found = found.substituted(given)
    _print(_shown(found.to_dict()))


@recipe.command("graph")
def graph(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A recipe or a file.")],
    site: SiteOption = None,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="For Mermaid, as documentation and web pages draw it.")] = (
        False
    ),
    is_ascii: Annotated[bool, typer.Option("--ascii", help="Without line-drawing characters.")] = False,
    folders: FolderOption = None,
) -> None:
    """Draw which step sends to which."""
    found = open_recipe(name, [*(folders or ()), *load_site(site).recipe_folders])
    lines = draw_mermaid(found) if mermaid else draw_tree(found, is_ascii=is_ascii or not _speaks_unicode())
    _print("\n".join(lines))


recipe.command("run")(run)
recipe.command("status")(status)


def _shown(recipe_object: dict[str, Any]) -> str:
    return json.dumps(recipe_object, indent=2, ensure_ascii=not _speaks_unicode())


def _speaks_unicode() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") in {"utf8", "utf16", "utf32"}


def _print(text: str) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding))
