"""Looks whether what `glimt go` would start can run: what the dispatcher will ask for, before anything is sent."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from glimt.app.open_broker import open_broker
from glimt.app.recipe_check import KNOWN_QUEUES, site_queues
from glimt.app.recipe_progress import is_missing
from glimt.app.site import Site
from glimt.brokers.broker import QueueStatus
from glimt.kernels.centering_grid import ScanGrid
from glimt.model.errors import (
    BrokerError,
    GlimtError,
    RecipeError,
    RejectedMessageError,
    ResultsDatabaseError,
    UsageError,
)
from glimt.model.recipe import Recipe
from glimt.services.confined_path import confine_to
from glimt.services.dispatcher_extensions import FILTERS
from glimt.services.file_watcher_items import Items, read_items
from glimt.services.file_watcher_request import read_request
from glimt.services.recipe_files import find_recipe, load_recipe
from glimt.services.recipe_lint import RecipeProblem, find_recipe_problems

if TYPE_CHECKING:
    from glimt.services.dispatcher import DispatcherConfiguration

_MOST_LOOKED_FOR = 10_000
_WATCHER_QUEUE = "filewatcher"


@dataclass(frozen=True, slots=True)
class CheckLine:
    """What was found.

    Attributes
    ----------
    kind : str
        ``"error"``: the run would fail; ``"warning"``: it may, or will wait; ``"note"``: what is assumed; ``"good"``.
    text : str
    is_final : bool
        An error of the recipe: the dispatcher would reject it, whatever comes meanwhile.
    """

    kind: Literal["good", "note", "warning", "error"]
    text: str
    is_final: bool = False


@dataclass(frozen=True, slots=True)
class _Queues:
    """The broker's queues by name, those of a site that was never served, too."""

    states: Mapping[str, QueueStatus]
    known: frozenset[str]

    @property
    def has_dispatcher(self) -> bool:
        """Whether somebody takes requests now."""
        found = self.states.get("processing_recipe")
        return found is not None and bool(found.n_receivers)


def check_request(
    site: Site, request: Mapping[str, Any], results_url: str, *, is_trial: bool = False
) -> Iterator[CheckLine]:
    """Yield all that is to be said of a request: data collection, parameters, queues, services and images.

    Parameters
    ----------
    site : Site
    request : mapping
        See `glimt.app.go.make_request`.
    results_url : str
        Where the data collection is looked up.
    is_trial : bool
        The data collection was entered to try that, and will have another number.
    """
    recipes = [*_own(request), *_named(site, request)]
    queues, about_broker = _queues(site, [recipe for _, recipe in recipes])
    yield about_broker
    parameters: dict[str, Any] | None = dict(request["parameters"])
    for line, more in _collection(site, parameters or {}, results_url):
        if not (is_trial and line.kind == "good"):
            yield line
        parameters = None if more is None or parameters is None else parameters | more
    for name, recipe in recipes:
        for line in _recipe_lines(site, recipe, parameters, queues):
            yield CheckLine(line.kind, f"{name}: {line.text}", line.is_final)


def _own(request: Mapping[str, Any]) -> Iterator[tuple[str, Recipe]]:
    if request.get("custom_recipe"):
        yield "your recipe", Recipe.from_dict(request["custom_recipe"])


def _named(site: Site, request: Mapping[str, Any]) -> Iterator[tuple[str, Recipe]]:
    for name in request["recipes"]:
        try:
            yield name, load_recipe(find_recipe(name, site.recipe_folders))
        except RecipeError:  # with RabbitMQ the dispatcher may have it, on another machine; make_request says so else
            continue


def _queues(site: Site, recipes: list[Recipe]) -> tuple[_Queues, CheckLine]:
    own = frozenset({*KNOWN_QUEUES, *site_queues(site)})
    path = Path(site.broker_url.partition(":")[2].partition("?")[0])
    if site.broker_url.startswith("sqlite:") and is_missing(path):
        return _Queues({}, own), CheckLine(
            "warning", f"there is no broker yet ({path}): the request waits until `glimt serve` runs"
        )
    named = {str(node["queue"]) for recipe in recipes for node in recipe.nodes.values() if node.get("queue")}
    try:
        broker = open_broker(str(site.broker_url))
        try:
            states = {status.name: status for status in broker.status()}
            known = own | {name for name in named if broker.has_queue(name)}
        finally:
            broker.close()
    except BrokerError as error:
        return _Queues({}, own), CheckLine("error", f"the broker: {error}")
    queues = _Queues(states, known)
    if not queues.has_dispatcher:
        return queues, CheckLine("warning", "no dispatcher runs: the request waits until `glimt serve` does")
    return queues, CheckLine("good", "the broker answers")


def _collection(
    site: Site, parameters: dict[str, Any], results_url: str
) -> Iterator[tuple[CheckLine, dict[str, Any] | None]]:
    """Yield what is known of the data collection or job, with the parameters that come from it; ``None``: unknown."""
    asked = [f"{name} {parameters[name]}" for name in ("ispyb_dcid", "ispyb_process") if parameters.get(name)]
    if not asked and "collection_file" not in parameters:
        return
    from glimt.services.collection_context import CollectionContext, FileContext, IspybContext
    from glimt.stores.results_db import ResultsDatabase

    folders = _dispatcher_configuration(site).folders
    contexts: list[CollectionContext] = [FileContext(site.roots, folders)]
    database = None
    try:
        if asked:
            _see_file(results_url)
            database = ResultsDatabase(results_url)
            contexts.insert(0, IspybContext(database, folders))
        for context in contexts:
            if not context.is_ready(parameters):
                yield CheckLine("warning", "the data collection is not ready yet: the dispatcher would wait"), None
                return
            found = context.find_names(parameters, guid=str(parameters["guid"]))
            if found.parameters:
                where = " ".join(asked) or str(parameters["collection_file"])
                yield CheckLine("good", f"{where} is known"), found.parameters
                yield from ((line, {}) for line in _grid(found.parameters))
    except GlimtError as error:
        yield CheckLine("error", str(error)), None
    finally:
        if database is not None:
            database.close()


def _dispatcher_configuration(site: Site) -> DispatcherConfiguration:
    from glimt.services.dispatcher import DispatcherConfiguration

    try:
        return msgspec.convert(site.plan_of("dispatcher").configuration, DispatcherConfiguration)
    except msgspec.ValidationError:
        return DispatcherConfiguration()  # `glimt serve` says what is wrong with it


def _grid(parameters: Mapping[str, Any]) -> Iterator[CheckLine]:
    """Say in which order the boxes of a grid scan are taken to have been scanned: nothing else shows a wrong one."""
    gridinfo = (parameters.get("ispyb_dc_info") or {}).get("gridinfo")
    if gridinfo is None:
        return
    try:
        grid = ScanGrid.from_gridinfo(gridinfo)
    except UsageError as error:
        yield CheckLine("warning", f"the grid: {error}")
        return
    columns, rows = grid.steps
    per_line, n_lines = (columns, rows) if grid.orientation == "horizontal" else (rows, columns)
    text = f"grid {columns} x {rows}, {'snaked' if grid.snaked else 'not snaked'}, {grid.orientation}"
    if n_lines > 1 and per_line > 1:
        first = int(parameters.get("ispyb_image_first") or 1)
        text += f": image {first + per_line} is beside image {first + per_line - 1 if grid.snaked else first}"
    yield CheckLine("note", text)


def _see_file(results_url: str) -> None:
    """Refuse a file that is not there yet: to look into it would make it."""
    from glimt.stores.results_address import results_address, shown

    target = results_address(results_url)
    if target.get_backend_name() == "sqlite" and not os.path.exists(target.database or ""):
        raise ResultsDatabaseError(
            f"there is no results database yet ({shown(target)}), so no data collection is known; --images enters one"
        )


def _recipe_lines(
    site: Site, recipe: Recipe, parameters: dict[str, Any] | None, queues: _Queues
) -> Iterator[CheckLine]:
    problems = find_recipe_problems(recipe, parameters=parameters, known_queues=queues.known)
    final = _final_problems(site, recipe, parameters, queues)
    for problem in problems:
        yield CheckLine("error" if problem.is_error else "warning", str(problem), problem in final)
    if parameters is None:
        yield CheckLine("warning", "without the data collection, parameters and images were not looked at")
        return
    if any(problem.is_error for problem in problems):
        return
    filled = recipe.substituted(parameters)
    yield CheckLine("good", f"{len(filled.nodes)} steps, all parameters are there")
    yield from _unserved(filled, queues)
    for number, node in filled.nodes.items():
        if node.get("queue") == _WATCHER_QUEUE:
            yield _images(site, number, node.get("parameters") or {})


def _final_problems(
    site: Site, recipe: Recipe, parameters: dict[str, Any] | None, queues: _Queues
) -> set[RecipeProblem]:
    """Return what the dispatcher rejects for certain; of RabbitMQ nothing, as it may be Zocalo's, with other queues.

    A queue that is not there may be a service's that is not started yet, as long as the dispatcher is not; and filters
    of other packages may fill in names.
    """
    if not site.broker_url.startswith("sqlite:") or _dispatcher_configuration(site).lint != "reject":
        return set()
    if entry_points(group=FILTERS):
        parameters = None
    known = queues.known if queues.has_dispatcher else None
    problems = find_recipe_problems(recipe, parameters=parameters, known_queues=known)
    return {problem for problem in problems if problem.is_error}


def _unserved(recipe: Recipe, queues: _Queues) -> Iterator[CheckLine]:
    """Yield a warning if nobody takes the messages of some queues; of results for other programs that is so."""
    inner = {str(node["queue"]) for node in recipe.nodes.values() if node.get("queue") and not node.get("exchange")}
    empty = sorted(name for name in inner if name in queues.states and queues.states[name].n_receivers == 0)
    if empty:
        yield CheckLine("warning", f"nobody takes messages of {', '.join(empty)} now; they would wait there")


def _images(site: Site, number: int, parameters: Mapping[str, Any]) -> CheckLine:
    """Say how many of the files that a step watches for are there."""
    try:
        items = read_items(parameters, confine_to(site.roots))
        request = read_request(parameters)
    except RejectedMessageError as error:
        return CheckLine("error", f"step {number}: {error}")
    n_looked_for = 1 if items.hdf5 is not None else min(items.n_items or 0, _MOST_LOOKED_FOR)
    missing = _missing(items, n_looked_for)
    what = "the file" if n_looked_for == 1 else f"all {n_looked_for:,} files"
    if n_looked_for < (items.n_items or 0):
        what = f"the first {n_looked_for:,} of {items.n_items:,} files"
    if not missing:
        return CheckLine("good", f"step {number}: {what} of {items.name} {'is' if n_looked_for == 1 else 'are'} there")
    first = items.path(missing[0])
    folder = os.path.dirname(str(first))
    where = "" if os.path.isdir(folder) else f"; there is no folder {folder} yet"
    n_there = n_looked_for - len(missing)
    return CheckLine(
        "warning",
        f"step {number}: {n_there:,} of {n_looked_for:,} files are there, {first} is not{where}; the file watcher would"
        f" wait {request.timeout_first_s:g} s for the first, and {request.timeout_s:g} s for each next one",
    )


def _missing(items: Items, n_looked_for: int) -> list[int]:
    return [number for number in range(n_looked_for) if not (path := items.path(number)) or not os.path.exists(path)]
