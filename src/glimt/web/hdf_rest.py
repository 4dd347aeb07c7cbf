"""The published tree in the routes of the HDF REST API, read-only: what h5pyd, silx and h5web ask for.

One tree is one domain; the ``domain`` that a client names is not looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from typing import Any, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
from fastapi import APIRouter, HTTPException, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from glimt.model.errors import UsageError
from glimt.model.publish_tree import Path
from glimt.model.publish_value import Extent, Pick
from glimt.pipeline.tree_reader import Sight, TreeReader
from glimt.web.answers import array_answer, is_set, json_answer, read_body
from glimt.web.hdf_types import shape_json, type_json, type_tag, value_json
from glimt.web.modified import ModificationTimes
from glimt.web.node_ids import Collection, NodeIds
from glimt.web.selection import parse_select, points_from_bytes, points_from_list
from glimt.web.told_shape import ToldShapes

Answer = TypeVar("Answer")

MAX_POINT_BYTES = 64 << 20

_LAYOUT = {
    "allocTime": "H5D_ALLOC_TIME_LATE",
    "fillTime": "H5D_FILL_TIME_IFSET",
    "layout": {"class": "H5D_CONTIGUOUS"},
}


class HdfRest:
    """Answers of the HDF REST API about one tree.

    Parameters
    ----------
    reader : TreeReader
        The tree.
    """

    def __init__(self, reader: TreeReader) -> None:
        self._reader = reader
        self._ids = NodeIds(reader.paths)
        self._times = ModificationTimes()
        self._told = ToldShapes()

    def router(self) -> APIRouter:
        """Return the routes, except ``/``."""
        router = APIRouter()
        routes: dict[str, Callable[..., Response]] = {
            "/about": self._about,
            "/info": self._about,
            "/domains": self._domains,
            "/groups/{node_id}": self._group,
            "/groups/{node_id}/links": self._links,
            "/groups/{node_id}/links/{name:path}": self._link,
            "/datasets/{node_id}": self._dataset,
            "/datasets/{node_id}/shape": self._shape,
            "/datasets/{node_id}/type": self._type,
            "/datasets/{node_id}/value": self._value,
        }
        for collection in ("groups", "datasets"):
            routes[f"/{collection}/{{node_id}}/attributes"] = self._attributes
            routes[f"/{collection}/{{node_id}}/attributes/{{name:path}}"] = self._attribute
        for path, endpoint in routes.items():
            router.add_api_route(path, endpoint, methods=["GET"], response_model=None)
        router.add_api_route("/datasets/{node_id}/value", self._points, methods=["POST"], response_model=None)
        return router

    def domain(self) -> dict[str, Any]:
        """Return what ``GET /`` says: where the root is, and what of the tree cannot be shown."""
        problems = self._reader.survey()[1]
        return {
            **self._stamps((), None),
            "root": self._ids.issue((), "groups"),
            "owner": "admin",
            "class": "domain",
            "problems": [asdict(problem) for problem in problems],
        }

    def _about(self) -> Response:
        started = int(self._times.started_s)
        about = {"name": "glimt live view", "about": "a reducer's publish tree, read-only", "state": "READY"}
        # hsds_version is what clients ask for; the interface is that of hsds, the number is ours.
        return json_answer({**about, "greeting": "glimt", "hsds_version": version("glimt"), "start_time": started})

    def _domains(self) -> Response:
        domain = {"name": "/", "class": "domain", "owner": "admin", **self._stamps((), None)}
        return json_answer({"domains": [domain], "hrefs": []})

    def _stamps(self, path: Path, fingerprint: int | None) -> dict[str, float]:
        return {"created": self._times.started_s, "lastModified": self._times.stamp(path, fingerprint)}

    def _look(self, node_id: str, collection: Collection) -> Sight:
        sight = _found(lambda: self._reader.look(self._ids.path_of(node_id, collection)))
        if sight.is_group is not (collection == "groups"):
            raise HTTPException(404, f"{node_id!r} is no id in {collection} now")
        return sight

    def _group(self, request: Request, node_id: str) -> Response:
        sight = self._look(node_id, "groups")
        stamps = self._stamps(sight.path, sight.fingerprint())
        answer = {
            "root": self._ids.issue((), "groups"),
            "id": node_id,
            "class": "group",
            "linkCount": len(sight.links),
            "attributeCount": len(sight.attributes),
            **stamps,
        }
        if is_set(request, "include_links"):
            answer["links"] = {link["title"]: link for link in self._link_list(sight, stamps)}
        return json_answer(answer | self._inline_attributes(request, sight, stamps))

    def _dataset(self, request: Request, node_id: str) -> Response:
        sight = self._look(node_id, "datasets")
        stamps = self._stamps(sight.path, sight.fingerprint())
        answer = {
            "root": self._ids.issue((), "groups"),
            "id": node_id,
            "class": "dataset",
            "attributeCount": len(sight.attributes),
            **_extent_json(_extent(sight)),
            "creationProperties": _LAYOUT,
            **stamps,
        }
        response = json_answer(answer | self._inline_attributes(request, sight, stamps))
        self._told.tell(request, response, node_id, _extent(sight))
        return response

    def _shape(self, request: Request, node_id: str) -> Response:
        sight = self._look(node_id, "datasets")
        extent = _extent(sight)
        response = json_answer({"shape": shape_json(extent.shape), **self._stamps(sight.path, sight.fingerprint())})
        self._told.tell(request, response, node_id, extent)
        return response

    def _type(self, node_id: str) -> Response:
        sight = self._look(node_id, "datasets")
        return json_answer({"type": type_json(_extent(sight).dtype)})

    def _link_list(self, sight: Sight, stamps: dict[str, float]) -> list[dict[str, Any]]:
        links = []
        for name, is_group in sight.links.items():
            collection: Collection = "groups" if is_group else "datasets"
            target = self._ids.issue((*sight.path, name), collection)
            link = {"class": "H5L_TYPE_HARD", "collection": collection, "id": target, "title": name}
            links.append(link | stamps)
        return links

    def _links(self, request: Request, node_id: str) -> Response:
        sight = self._look(node_id, "groups")
        links = self._link_list(sight, self._stamps(sight.path, sight.fingerprint()))
        return json_answer({"links": _page(request, links, "title")})

    def _link(self, node_id: str, name: str) -> Response:
        sight = self._look(node_id, "groups")
        links = self._link_list(sight, self._stamps(sight.path, sight.fingerprint()))
        found = [link for link in links if link["title"] == name]
        if not found:
            raise HTTPException(404, f"Link not found: the group has no {name!r}")
        return json_answer({"link": found[0]})

    def _inline_attributes(self, request: Request, sight: Sight, stamps: dict[str, float]) -> dict[str, Any]:
        if not is_set(request, "include_attrs"):
            return {}
        return {"attributes": {entry["name"]: entry for entry in _attribute_list(sight, stamps, values=True)}}

    def _attributes(self, request: Request, node_id: str) -> Response:
        sight = self._look(node_id, _collection(node_id))
        stamps = self._stamps(sight.path, sight.fingerprint())
        values = is_set(request, "IncludeData") or is_set(request, "include_data")
        entries = _attribute_list(sight, stamps, values=values)
        return json_answer({"attributes": _page(request, entries, "name")}, ignore_nan=is_set(request, "ignore_nan"))

    def _attribute(self, request: Request, node_id: str, name: str) -> Response:
        sight = self._look(node_id, _collection(node_id))
        stamps = self._stamps(sight.path, sight.fingerprint())
        found = [entry for entry in _attribute_list(sight, stamps, values=True) if entry["name"] == name]
        if not found:
            raise HTTPException(404, f"Attribute not found: there is no {name!r}")
        return json_answer(found[0], ignore_nan=is_set(request, "ignore_nan"))

    def _value(self, request: Request, node_id: str) -> Response:
        select = request.query_params.get("select")
        pick = _found(lambda: parse_select(select)) if select else self._told.crop(request)
        return self._read(request, node_id, pick)

    def _read(self, request: Request, node_id: str, pick: Pick | None) -> Response:
        if request.query_params.get("query"):
            raise HTTPException(501, "queries are not answered here: read the dataset and compare")
        extent, array = _found(lambda: self._reader.value(self._ids.path_of(node_id, "datasets"), pick))
        if extent.shape is None:
            return json_answer({"value": None})
        told = self._told.type_told(request)
        if told is not None and told != type_tag(array.dtype):
            raise HTTPException(409, "the type of the dataset changed since you read it: refresh the dataset")
        return array_answer(request, _with_fields(request, array))

    async def _points(self, request: Request, node_id: str) -> Response:
        body = await read_body(request, MAX_POINT_BYTES)
        return await run_in_threadpool(self._read_points, request, node_id, body)

    def _read_points(self, request: Request, node_id: str, body: bytes) -> Response:
        if request.headers.get("content-type", "").startswith("application/octet-stream"):
            axes = len(_extent(self._look(node_id, "datasets")).shape or ())
            return self._read(request, node_id, _found(lambda: points_from_bytes(body, axes)))
        try:
            asked = msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError) as error:
            raise HTTPException(400, f"the body is no JSON: {error}") from None
        if not isinstance(asked, dict):
            raise HTTPException(400, 'the body must be {"points": […]} or {"select": "[…]"}')
        if isinstance(asked.get("points"), list):
            return self._read(request, node_id, _found(lambda: points_from_list(asked["points"])))
        if isinstance(asked.get("select"), str):
            return self._read(request, node_id, _found(lambda: parse_select(asked["select"])))
        raise HTTPException(400, 'the body has neither "points" nor "select"')


def _found(ask: Callable[[], Answer]) -> Answer:
    """Turn the errors of the tree and of selections into answers."""
    try:
        return ask()
    except KeyError as error:
        raise HTTPException(404, str(error.args[0])) from None
    except UsageError as error:
        raise HTTPException(400, str(error)) from None


def _extent(sight: Sight) -> Extent:
    assert sight.extent is not None
    return sight.extent


def _extent_json(extent: Extent) -> dict[str, Any]:
    return {"shape": shape_json(extent.shape), "type": type_json(extent.dtype)}


def _collection(node_id: str) -> Collection:
    return "groups" if node_id.startswith("g-") else "datasets"


def _attribute_list(sight: Sight, stamps: dict[str, float], *, values: bool) -> list[dict[str, Any]]:
    entries = []
    for name, (extent, array) in sight.attributes.items():
        entry: dict[str, Any] = {"name": name, **_extent_json(extent), **stamps}
        if values:
            entry["value"] = None if extent.shape is None else value_json(array)
        entries.append(entry)
    return entries


def _page(request: Request, entries: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    """Return the entries after ``Marker``, at most ``Limit`` of them."""
    marker, limit = request.query_params.get("Marker"), request.query_params.get("Limit", "")
    names = [entry[key] for entry in entries]
    if marker is not None:
        entries = entries[names.index(marker) + 1 :] if marker in names else []
    return entries[: int(limit)] if limit.isdecimal() and len(limit) < 10 else entries


def _with_fields(request: Request, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the ``fields`` of a structured array that are asked for, all by default."""
    fields = request.query_params.get("fields")
    if not fields:
        return array
    names = fields.split(":")
    if array.dtype.names is None or not set(names) <= set(array.dtype.names):
        raise HTTPException(400, f"the dataset has no fields {fields[:100]!r}")
    if len(names) == 1:
        return np.ascontiguousarray(array[names[0]])
    return array[names].astype([(name, array.dtype[name]) for name in names])
