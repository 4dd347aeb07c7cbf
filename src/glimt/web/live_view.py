"""The live view: a reducer's ``publish`` tree and parameters over HTTP.

For h5pyd and other HDF REST clients (`glimt.web.hdf_rest`), as JSON (`glimt.web.json_view`) and for a browser. The
routes under ``/api/v1`` are those of dranspose's replay server and controller.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, FastAPI, HTTPException, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, Response

from glimt.model.errors import DecodeError
from glimt.pipeline.tree_reader import Published, TreeReader
from glimt.web.answers import json_answer, read_body
from glimt.web.control_answers import RunCalls
from glimt.web.guard import Guard, make_view_token
from glimt.web.hdf_rest import HdfRest
from glimt.web.json_view import json_router
from glimt.web.page import POLICY, page
from glimt.web.page_api import add_page
from glimt.web.page_feed_wire import reading_to_parts, request_from_bytes
from glimt.web.page_static import PREFIX, has_page, index_answer
from glimt.web.page_streams import StreamFeed
from glimt.web.parameter_access import MAX_PARAMETER_BYTES, ParameterAccess
from glimt.web.parameter_routes import NoParameters, parameter_router

if TYPE_CHECKING:
    from glimt.web.page_hub import PageHub

__all__ = ["MAX_PARAMETER_BYTES", "ParameterAccess", "Published", "create_app"]

_MAX_FEED_REQUEST = 1 << 20


def create_app(
    published: Published,
    *,
    parameters: ParameterAccess | None = None,
    progress: Callable[[], dict[str, Any]] | None = None,
    token: str | None = None,
    hub: PageHub | None = None,
) -> FastAPI:
    """Return the application that shows one reducer.

    Parameters
    ----------
    published : Published
        The tree and its lock; the lock is taken in the thread that serves the request.
    parameters : ParameterAccess, optional
        Without it the parameter routes answer 404.
    progress : callable, optional
        What ``/api/v1/progress`` answers.
    token : str, optional
        Asked of every request; needed for anything but this machine.
    hub : PageHub, optional
        With it the page is served, and what is at ``/`` for a browser without it is at ``/plain``.
    """
    app = FastAPI(title="glimt live view", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.token = token
    reader = TreeReader(published)
    hdf = HdfRest(reader)

    def plain() -> Response:
        return HTMLResponse(page(reader), headers={"Content-Security-Policy": POLICY, "Vary": "Accept"})

    def root(request: Request) -> Response:
        if "text/html" in request.headers.get("accept", ""):
            return index_answer() if hub is not None and has_page() else plain()
        answer = json_answer(hdf.domain())
        answer.headers["Vary"] = "Accept"
        return answer

    app.add_api_route("/", root, methods=["GET"], response_model=None)
    app.add_api_route("/plain", plain, methods=["GET"], response_model=None)
    app.include_router(_api_router(progress))
    app.include_router(parameter_router(parameters or NoParameters(), RunCalls(), hub))
    app.include_router(_feed_router(StreamFeed(published)))
    app.include_router(json_router(reader))
    app.include_router(hdf.router())
    if hub is None:
        app.add_middleware(Guard, token=token)
    else:
        view_token = make_view_token(token)
        add_page(app, hub, view_token=view_token)
        app.add_middleware(Guard, token=token, view_token=view_token, open_prefix=PREFIX)
    return app


def _api_router(progress: Callable[[], dict[str, Any]] | None) -> APIRouter:
    router = APIRouter(prefix="/api/v1")

    # Not in a thread: it must answer also while all threads wait for a reducer's lock.
    async def status() -> Response:
        return json_answer(True)

    def show_progress() -> Response:
        if progress is None:
            raise HTTPException(404, "the progress is not told here; a live run tells it on its control port")
        return json_answer(progress(), ignore_nan=True)

    router.add_api_route("/status", status, methods=["GET"], response_model=None)
    router.add_api_route("/progress", show_progress, methods=["GET"], response_model=None)
    return router


def _feed_router(feed: StreamFeed) -> APIRouter:
    """Return the route by which a page in another process reads the tree."""
    router = APIRouter(prefix="/api/v1")

    async def read(request: Request) -> Response:
        body = await read_body(request, _MAX_FEED_REQUEST)
        try:
            asked = request_from_bytes(body)
        except DecodeError as error:
            raise HTTPException(400, str(error)) from None

        def reading() -> bytes:
            return b"".join(reading_to_parts(feed.read(asked.wanted, sign=asked.sign, wait_s=asked.wait_s)))

        return Response(await run_in_threadpool(reading), media_type="application/octet-stream")

    router.add_api_route("/feed", read, methods=["POST"], response_model=None)
    return router
