"""The published tree as plain JSON, for people and scripts."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Request
from starlette.responses import Response

from glimt.model.errors import UsageError
from glimt.model.publish_tree import ATTRIBUTES_SUFFIX, Path, Problem, path_text, split_path
from glimt.model.publish_value import Pick
from glimt.pipeline.tree_reader import Sight, TreeReader
from glimt.web.answers import json_answer, summary
from glimt.web.hdf_types import value_json
from glimt.web.selection import parse_select

SHOWN_ELEMENTS = 100
"""Up to this many elements are written in full inside the tree."""

SHOWN_ALONE = 10_000
"""Up to this many when one dataset is asked for; more with a selection."""

MAX_SELECTED = 1_000_000


def json_router(reader: TreeReader) -> APIRouter:
    """Return the routes ``/json`` and ``/json/{path}``."""
    router = APIRouter()

    def everything() -> Response:
        return json_answer(json_tree(reader, ()), ignore_nan=True)

    def part(request: Request, path: str) -> Response:
        names = split_path(path)
        select = request.query_params.get("select")
        try:
            sight = reader.look(names)
            if sight.is_group and select is None:
                return json_answer(json_tree(reader, names), ignore_nan=True)
            pick = None if select is None else parse_select(select)
            return json_answer(_dataset(reader, names, pick), ignore_nan=True)
        except KeyError as error:
            raise HTTPException(404, str(error.args[0])) from None
        except UsageError as error:
            raise HTTPException(400, str(error)) from None

    router.add_api_route("/json", everything, methods=["GET"], response_model=None)
    router.add_api_route("/json/{path:path}", part, methods=["GET"], response_model=None)
    return router


def json_link(path: Path) -> str:
    """Return the address of a node."""
    return "/json" + quote(path_text(path))


def json_tree(reader: TreeReader, start: Path) -> dict[str, Any]:
    """Return a group as a dict; large arrays as shape, type, extremes, mean and link, attributes under ``X_attrs``.

    What cannot be shown is listed under ``_problems`` of the group that was asked for.
    """
    sights, problems = reader.survey(start, small=SHOWN_ELEMENTS)
    top: dict[str, Any] = {}
    groups: dict[Path, dict[str, Any]] = {}
    for sight in sights:
        if sight.path == start:
            groups[sight.path] = top
            if sight.attributes:
                top[ATTRIBUTES_SUFFIX] = _attributes(sight)
            continue
        parent, name = groups[sight.path[:-1]], sight.path[-1]
        if sight.is_group:
            groups[sight.path] = parent[name] = {}
        else:
            parent[name] = _shown(reader, sight, problems)
        if sight.attributes:
            parent[name + ATTRIBUTES_SUFFIX] = _attributes(sight)
    if problems:
        top["_problems"] = [{"path": problem.path, "reason": problem.reason} for problem in problems]
    return top


def _attributes(sight: Sight) -> dict[str, Any]:
    return {
        name: None if extent.shape is None else value_json(array) for name, (extent, array) in sight.attributes.items()
    }


def _shown(reader: TreeReader, sight: Sight, problems: list[Problem]) -> Any:
    if sight.extent is not None and sight.extent.shape is None:
        return None
    if sight.array is not None and sight.array.size <= SHOWN_ELEMENTS:
        return value_json(sight.array)
    try:
        _, array = reader.value(sight.path)
    except KeyError as error:  # gone since the survey
        problems.append(Problem(path_text(sight.path), str(error.args[0])))
        return None
    return {**summary(array), "link": json_link(sight.path)}


def _dataset(reader: TreeReader, path: Path, pick: Pick | None) -> Any:
    extent, array = reader.value(path, pick)
    if extent.shape is None:
        return None
    if array.size <= (SHOWN_ALONE if pick is None else MAX_SELECTED):
        return value_json(array)
    ranges = ",".join(f"0:{min(length, 10)}" for length in array.shape)
    return {**summary(array), "link": f"{json_link(path)}?select=[{ranges}]"}
