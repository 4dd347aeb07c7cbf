"""The page's REST routes: regions, layouts, parameters, downloads; see ``docs/reference/page-protocol.md``."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from fastapi import APIRouter, FastAPI, HTTPException, Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from glimt import __version__
from glimt.pipeline.region_curves import COLUMNS
from glimt.stores.array_file import array_file, table_csv, table_file
from glimt.web.answers import json_answer
from glimt.web.control_answers import RunCalls, json_object
from glimt.web.page_export import download
from glimt.web.page_hub import PageHub
from glimt.web.page_parameters import PageParameters
from glimt.web.page_region_changes import RegionChanges
from glimt.web.page_socket import serve_page_socket
from glimt.web.page_static import static_router
from glimt.web.page_store import MAX_LAYOUT_BYTES
from glimt.web.parameter_access import MAX_PARAMETER_BYTES

PREFIX = "/api/v1/page"
MAX_REGIONS_BYTES = 8 << 20
_MAX_WHO = 60


def add_page(app: FastAPI, hub: PageHub, *, view_token: str) -> None:
    """Add the page's WebSocket, its REST routes and its files to an application that is guarded.

    Parameters
    ----------
    app : FastAPI
        Of the run or replay.
    hub : PageHub
        What is shown.
    view_token : str
        Of `glimt.web.guard.make_view_token`; what ``view-link`` gives away.
    """

    async def page_socket(websocket: WebSocket) -> None:
        await serve_page_socket(websocket, hub)

    app.add_api_websocket_route(PREFIX, page_socket)
    calls = RunCalls()
    for router in (_region_router, _layout_router, _data_router):
        app.include_router(router(hub, calls))
    if hub.parameters is not None:
        app.include_router(_parameter_router(hub.parameters, calls))
    app.include_router(_access_router(hub, view_token))
    app.include_router(static_router())


def who_of(request: Request) -> str:
    """Return who changes something: the name that the page gives, else the address."""
    given = unquote(request.headers.get("x-glimt-who", ""), errors="replace")[:_MAX_WHO].strip()
    return given if given.isprintable() and given else request.client.host if request.client else ""


def _router() -> APIRouter:
    return APIRouter(prefix=PREFIX, tags=["page"])


def _region_router(hub: PageHub, calls: RunCalls) -> APIRouter:
    router = _router()
    changes = RegionChanges(hub)

    async def get_all() -> Response:
        """Return all regions."""
        return await calls.answer(changes.told)

    async def put_all(request: Request) -> Response:
        """Replace all regions."""
        async with calls.body(request, MAX_REGIONS_BYTES) as body:
            return await calls.answer(changes.replace, json_object(body).get("regions"), who_of(request))

    async def post(request: Request) -> Response:
        """Make a region."""
        async with calls.body(request, MAX_REGIONS_BYTES) as body:
            answer = await calls.answer(changes.put, json_object(body), "", who_of(request))
        answer.status_code = 201
        return answer

    async def put(request: Request, region_id: str) -> Response:
        """Change a region."""
        async with calls.body(request, MAX_REGIONS_BYTES) as body:
            return await calls.answer(changes.put, json_object(body), region_id, who_of(request))

    async def delete(request: Request, region_id: str) -> Response:
        """Forget a region."""
        return await calls.answer(changes.remove, region_id, who_of(request))

    async def points(region_id: str, kind: str) -> Response:
        """Return the points of a region as csv or h5."""

        def make() -> Response:
            name, rows = changes.points(region_id)
            return download(table_file(COLUMNS, rows, kind), name, kind)

        return await calls.run(make)

    async def curves(kind: str, ids: str = "") -> Response:
        """Return the values of several regions, all if no ids are given, as csv or h5."""

        def make() -> Response:
            return download(table_file(*changes.curves(ids.split(",") if ids else []), kind), "regions", kind)

        return await calls.run(make)

    add = router.add_api_route
    add("/regions", get_all, methods=["GET"], response_model=None)
    add("/regions", put_all, methods=["PUT"], response_model=None)
    add("/regions", post, methods=["POST"], response_model=None)
    add("/regions.{kind}", curves, methods=["GET"], response_model=None)
    add("/regions/{region_id}.{kind}", points, methods=["GET"], response_model=None)
    add("/regions/{region_id}", put, methods=["PUT"], response_model=None)
    add("/regions/{region_id}", delete, methods=["DELETE"], response_model=None)
    return router


def _layout_router(hub: PageHub, calls: RunCalls) -> APIRouter:
    router = _router()

    def saved(layout: dict[str, Any] | None, name: str | None) -> dict[str, int]:
        return {"layout_version": hub.store.save_layout(layout, name)}

    async def get() -> Response:
        """Return the layout of the run."""
        return await calls.answer(hub.store.layout)

    async def put(request: Request) -> Response:
        """Keep the layout of the run."""
        async with calls.body(request, MAX_LAYOUT_BYTES) as body:
            return await calls.answer(saved, json_object(body), None)

    async def names() -> Response:
        """Return the names of kept layouts."""
        return json_answer({"names": hub.store.layout_names()})

    async def get_named(name: str) -> Response:
        """Return a layout by name."""
        return await calls.answer(hub.store.layout, name)

    async def put_named(request: Request, name: str) -> Response:
        """Keep a layout by name."""
        async with calls.body(request, MAX_LAYOUT_BYTES) as body:
            return await calls.answer(saved, json_object(body), name)

    async def delete_named(name: str) -> Response:
        """Forget a layout."""
        return await calls.answer(saved, None, name)

    add = router.add_api_route
    add("/layout", get, methods=["GET"], response_model=None)
    add("/layout", put, methods=["PUT"], response_model=None)
    add("/layouts", names, methods=["GET"], response_model=None)
    add("/layouts/{name}", get_named, methods=["GET"], response_model=None)
    add("/layouts/{name}", put_named, methods=["PUT"], response_model=None)
    add("/layouts/{name}", delete_named, methods=["DELETE"], response_model=None)
    return router


def _data_router(hub: PageHub, calls: RunCalls) -> APIRouter:
    router = _router()

    async def array(path: str) -> Response:
        """Return the newest array as csv, npy or h5, by the end of the path."""
        name, _, kind = ("/" + path).rpartition(".")

        def make() -> Response:
            held, x = hub.fetch(name)
            units = held.node.attributes.get("units")
            given = units if isinstance(units, str) else None
            return download(array_file(held.array, name, kind, x=x, units=given), name, kind)

        return await calls.run(make)

    async def history(path: str) -> Response:
        """Return the history of a number as CSV."""
        name = "/" + path.removesuffix(".csv")

        def table() -> Response:
            with hub.lock:
                series = hub.histories.series.get(name)
                if series is None:
                    raise KeyError(f"there is no number {name[:200]}")
                rows = series.points.tolist()
            return download(table_csv(("time_s", "event_number", "value"), rows), name, "csv")

        return await calls.run(table)

    router.add_api_route("/export/{path:path}", array, methods=["GET"], response_model=None)
    router.add_api_route("/history/{path:path}", history, methods=["GET"], response_model=None)
    return router


def _parameter_router(parameters: PageParameters, calls: RunCalls) -> APIRouter:
    router = _router()

    async def get_all() -> Response:
        """Return descriptions and values."""
        return await calls.answer(parameters.told)

    async def get(name: str) -> Response:
        """Return a value as it was sent."""
        return Response(await calls.run(parameters.get, name), media_type="application/x.bytes")

    async def post(request: Request, name: str) -> Response:
        """Change a value; answers from which event on."""
        async with calls.body(request, MAX_PARAMETER_BYTES) as body:
            return await calls.answer(parameters.set, name, body, who=who_of(request))

    async def changes() -> Response:
        """Return who changed what, when and from which event on."""
        return await calls.answer(parameters.changes)

    router.add_api_route("/parameters", get_all, methods=["GET"], response_model=None)
    router.add_api_route("/parameters/{name}", get, methods=["GET"], response_model=None)
    router.add_api_route("/parameters/{name}", post, methods=["POST"], response_model=None)
    router.add_api_route("/changes", changes, methods=["GET"], response_model=None)
    return router


def _access_router(hub: PageHub, view_token: str) -> APIRouter:
    router = _router()

    async def hello(request: Request) -> Response:
        """Return what is shown, and what this client may do."""
        source = hub.source
        told: dict[str, Any] = {"name": source.name, "kind": source.kind, "version": __version__}
        told["may_change"] = bool(getattr(request.state, "may_change", False))
        return json_answer(told | {"has_parameters": hub.parameters is not None})

    async def view_link(request: Request) -> Response:
        """Return an address with which one may look and change nothing."""
        if not getattr(request.state, "may_change", False):
            raise HTTPException(403, "this link is for looking: it gives no other")
        base = str(request.base_url).rstrip("/")
        return json_answer({"url": f"{base}/#api_key={view_token}", "token": view_token})

    router.add_api_route("/hello", hello, methods=["GET"], response_model=None)
    router.add_api_route("/view-link", view_link, methods=["POST"], response_model=None)
    return router
