"""Parameters over HTTP, in dranspose's paths and payloads: of a live run, and of a replay."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from glimt.web.answers import json_answer
from glimt.web.control_answers import RunCalls
from glimt.web.page_api import who_of
from glimt.web.page_hub import PageHub
from glimt.web.parameter_access import MAX_PARAMETER_BYTES, ParameterAccess

_BYTES = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}


class NoParameters:
    """The parameters of what has none."""

    def get(self, name: str) -> bytes:
        """Raise `KeyError`."""
        raise KeyError("Parameter not found")

    def set(self, name: str, data: bytes) -> str:
        """Raise `KeyError`."""
        raise KeyError("parameters are not taken here; a live run takes them on its control port")

    def describe(self) -> list[dict[str, Any]]:
        """Return nothing."""
        return []


def parameter_router(access: ParameterAccess, calls: RunCalls, hub: PageHub | None) -> APIRouter:
    """Return the routes; with a page, ``hub`` keeps who changed what."""
    router = APIRouter(prefix="/api/v1", tags=["parameters"])

    def value_of(name: str) -> bytes:
        try:
            return access.get(name)
        except KeyError:
            raise KeyError("Parameter not found") from None

    async def describe() -> Response:
        """Return the descriptions of all parameters."""
        return await calls.answer(lambda: sorted(access.describe(), key=lambda entry: str(entry.get("name"))))

    async def get(name: str) -> Response:
        """Return a parameter as it was sent."""
        return Response(await calls.run(value_of, name), media_type="application/x.bytes")

    async def post(request: Request, name: str) -> Response:
        """Change a parameter; answers the content hash of all."""
        async with calls.body(request, MAX_PARAMETER_BYTES) as body:
            if hub is None or hub.parameters is None:
                return await calls.answer(access.set, name, body)
            change = await calls.run(hub.parameters.set, name, body, who=who_of(request))
            return json_answer(change["hash"])

    schema = {"requestBody": {"required": True, **_BYTES}}
    router.add_api_route("/parameters", describe, methods=["GET"], response_model=None)
    router.add_api_route("/parameter/{name}", get, methods=["GET"], response_model=None)
    router.add_api_route("/parameter/{name}", post, methods=["POST"], response_model=None, openapi_extra=schema)
    return router
