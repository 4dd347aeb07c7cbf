"""Control of a live run over HTTP: dranspose's controller paths and payloads, and the account of the run.

Where dranspose answers 500, or 200 with an error text, a reason comes with a 4xx; everything else is as its clients
know it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, FastAPI, HTTPException, Query, Request
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import HTMLResponse, Response, StreamingResponse

from glimt.model.errors import UsageError
from glimt.model.health import ledger_of, sources_of
from glimt.web.control_answers import RunCalls, json_object
from glimt.web.control_page import control_page, docs_page
from glimt.web.guard import Guard, make_view_token
from glimt.web.log_ring import MAX_FOLLOWERS
from glimt.web.metrics import METRICS_TYPE, metrics_text
from glimt.web.page import POLICY
from glimt.web.page_api import add_page
from glimt.web.page_hub import PageHub
from glimt.web.page_static import PREFIX, has_page, index_answer
from glimt.web.parameter_routes import parameter_router
from glimt.web.run_control import ConflictError, RunControl, RunEndingError

__all__ = ["MAX_MAP_BYTES", "ConflictError", "RunControl", "RunEndingError", "create_control_app"]

MAX_MAP_BYTES = 256 << 20
MAX_HOOK_BYTES = 1 << 20
MAX_INTERVALS = 32

_LOOPBACK_ORIGIN = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?"


def create_control_app(
    control: RunControl,
    *,
    token: str | None = None,
    docs: bool = True,
    calls: RunCalls | None = None,
    hub: PageHub | None = None,
) -> FastAPI:
    """Return the application that controls one run, for `glimt.web.server.ViewServer`.

    Close ``control.logs`` before the server is stopped: clients that follow the log would hold it up.

    Parameters
    ----------
    control : RunControl
        The run.
    token : str, optional
        Asked of every request; needed for anything but this machine.
    docs : bool
        Whether ``/docs`` and ``/openapi.json`` are there.
    calls : RunCalls, optional
        How long requests may take.
    hub : PageHub, optional
        With it the page is served, and what is at ``/`` without it is at ``/plain``.
    """
    app = FastAPI(
        title="glimt run",
        description=__doc__.partition("\n")[0],
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json" if docs else None,
    )
    app.state.token = token
    calls = calls or RunCalls()

    async def index(request: Request) -> Response:
        """Show the page; without one, or to what is no browser, what is at ``/plain``."""
        if hub is not None and has_page() and "text/html" in request.headers.get("accept", ""):
            return index_answer()
        return await plain()

    async def plain() -> Response:
        """Show progress, ledger and workers as a page without script."""
        health = await calls.run(control.health)
        return HTMLResponse(control_page(health), headers={"Content-Security-Policy": POLICY})

    async def show_docs() -> Response:
        """List the routes."""
        return HTMLResponse(docs_page(app.openapi()), headers={"Content-Security-Policy": POLICY})

    app.add_api_route("/", index, methods=["GET"], response_model=None)
    app.add_api_route("/plain", plain, methods=["GET"], response_model=None)
    if docs:
        app.add_api_route("/docs", show_docs, methods=["GET"], response_model=None, include_in_schema=False)
    for router in (_scan_router, _status_router, _log_router, _account_router):
        app.include_router(router(control, calls))
    app.include_router(parameter_router(control, calls, hub))
    view_token = None
    if hub is not None:
        view_token = make_view_token(token)
        add_page(app, hub, view_token=view_token)
    # The last one is asked first: a browser's question whether it may ask comes without a token.
    app.add_middleware(Guard, token=token, view_token=view_token, open_prefix=None if hub is None else PREFIX)
    app.add_middleware(
        CORSMiddleware,
        allow_origin_regex=_LOOPBACK_ORIGIN,
        allow_methods=["GET"],
        allow_headers=["Authorization"],
    )
    return app


def _body_schema(example: object) -> dict[str, Any]:
    content = {"application/json": {"schema": {"type": "object", "example": example}}}
    return {"requestBody": {"required": True, "content": content}}


_ENTRY = [{"tags": ["generic"], "constraint": 0}]
_SEQUENCE = _body_schema({"parts": {"main": {"eiger": [_ENTRY]}}, "sequence": ["main", "main"]})
_MAPPING = _body_schema({"eiger": [_ENTRY]})
_HOOK = _body_schema({"streams": ["eiger"], "scan": {"nb_points": 10}})


def _scan_router(control: RunControl, calls: RunCalls) -> APIRouter:
    router = APIRouter(prefix="/api/v1", tags=["scan"])

    async def post_sequence(request: Request, all_wrap: bool = True) -> Response:
        """Begin a scan with a trigger map of parts and their sequence; answers its id."""
        async with calls.body(request, MAX_MAP_BYTES) as body:
            return await calls.answer(control.upload_map, body, all_wrap=all_wrap)

    async def post_mapping(request: Request, all_wrap: bool = True) -> Response:
        """Begin a scan with a trigger map of one part; answers its id."""
        async with calls.body(request, MAX_MAP_BYTES) as body:
            return await calls.answer(control.upload_map, body, all_wrap=all_wrap)

    async def get_sequence() -> Response:
        """Return the present trigger map."""
        pieces = await calls.run(control.current_map)
        return StreamingResponse(iter(pieces), media_type="application/json")

    async def stop() -> Response:
        """End the scan."""
        return await calls.answer(control.stop)

    async def sardana_hook(request: Request) -> Response:
        """Begin a scan with a uniform map of the streams that are known; answers its id."""
        async with calls.body(request, MAX_HOOK_BYTES) as body:
            info = json_object(body)
        for key in ("streams", "scan"):
            if key not in info:
                raise HTTPException(400, f'{key!r} is missing: send {{"streams": […], "scan": {{"nb_points": n}}}}')
        return await calls.answer(control.upload_sardana, info)

    add = router.add_api_route
    add("/sequence", post_sequence, methods=["POST"], response_model=None, openapi_extra=_SEQUENCE)
    add("/sequence", get_sequence, methods=["GET"], response_model=None)
    add("/mapping", post_mapping, methods=["POST"], response_model=None, deprecated=True, openapi_extra=_MAPPING)
    add("/mapping", get_sequence, methods=["GET"], response_model=None, deprecated=True, operation_id="get_mapping")
    add("/stop", stop, methods=["POST"], response_model=None)
    add("/sardana_hook", sardana_hook, methods=["POST"], response_model=None, deprecated=True, openapi_extra=_HOOK)
    return router


def _status_router(control: RunControl, calls: RunCalls) -> APIRouter:
    router = APIRouter(prefix="/api/v1", tags=["status"])

    async def config() -> Response:
        """Return the state of every process."""
        return await calls.answer(control.config)

    async def status() -> Response:
        """Return what was assigned and completed."""
        return await calls.answer(control.status)

    async def progress() -> Response:
        """Return how far the scan is."""
        return await calls.answer(control.progress)

    async def load(intervals: Annotated[list[int] | None, Query()] = None, scan: bool = True) -> Response:
        """Return how busy each worker was over its last events."""
        asked = [1, 10] if intervals is None else intervals
        if len(asked) > MAX_INTERVALS or any(not 1 <= interval < 1 << 53 for interval in asked):
            raise HTTPException(400, f"intervals are 1 to {MAX_INTERVALS} numbers of events, each from 1 up")
        return await calls.answer(control.load, asked, scan=scan)

    for path, endpoint in {"/config": config, "/status": status, "/progress": progress, "/load": load}.items():
        router.add_api_route(path, endpoint, methods=["GET"], response_model=None)
    return router


def _log_router(control: RunControl, calls: RunCalls) -> APIRouter:
    router = APIRouter(prefix="/api/v1", tags=["logs"])

    async def logs(level: str = "INFO") -> Response:
        """Return the newest log records."""
        return await calls.answer(control.logs.entries, level)

    async def log_stream() -> Response:
        """Return log records as they come, one JSON object a line, without end."""
        if control.logs.n_followers >= MAX_FOLLOWERS:
            raise HTTPException(503, f"{MAX_FOLLOWERS} clients follow the log already; use /api/v1/logs")
        return StreamingResponse(_log_lines(control), media_type="application/x-ndjson")

    router.add_api_route("/logs", logs, methods=["GET"], response_model=None, deprecated=True)
    router.add_api_route("/log_stream", log_stream, methods=["GET"], response_model=None)
    return router


async def _log_lines(control: RunControl) -> AsyncIterator[bytes]:
    try:
        follower = control.logs.follow()
    except UsageError as error:
        yield msgspec.json.encode({"detail": str(error)}) + b"\n"
        return
    with follower:
        async for entries in follower:
            yield b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries)


def _account_router(control: RunControl, calls: RunCalls) -> APIRouter:
    router = APIRouter(tags=["account"])

    async def health() -> Response:
        """Return how everything is, for status and doctor."""
        return await calls.answer(control.health)

    async def ledger() -> Response:
        """Return where the packets of each stream went."""
        return await calls.answer(lambda: ledger_of(control.health()))

    async def sources() -> Response:
        """Return how each stream's connection is."""
        return await calls.answer(lambda: sources_of(control.health()))

    async def metrics() -> Response:
        """Return the account as Prometheus reads it."""
        text = await calls.run(lambda: metrics_text(control.health()))
        return Response(text, media_type=METRICS_TYPE)

    for path, endpoint in {
        "/api/v1/health": health,
        "/api/v1/ledger": ledger,
        "/api/v1/sources": sources,
        "/metrics": metrics,
    }.items():
        router.add_api_route(path, endpoint, methods=["GET"], response_model=None)
    return router
