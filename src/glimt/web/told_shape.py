"""Lets a client read a growing dataset whole: what it was told of the shape comes back as a cookie.

h5pyd keeps the shape it read first and asks for "everything"; an array that has grown since then does not fit, and
the read fails in the client. The cookie, valid for the routes of one dataset, says which shape the client knows; it
gets that much. Clients without cookies get everything there is.
"""

from __future__ import annotations

import re
import secrets
from typing import Any

import numpy.typing as npt
from fastapi import HTTPException, Request
from starlette.responses import Response

from glimt.model.publish_value import Extent, Pick
from glimt.web.hdf_types import type_tag

_COOKIE = re.compile(r"([0-9a-f]{8})-(\d{1,18}(?:x\d{1,18}){0,63})")


class ToldShapes:
    """Writes and reads the cookie; the name is this server's own, as browsers mix the ports of a machine."""

    def __init__(self) -> None:
        self._name = f"glimt-shape-{secrets.token_hex(4)}"

    def tell(self, request: Request, response: Response, node_id: str, extent: Extent) -> None:
        """Put type and shape into an answer about a dataset."""
        if extent.shape:
            value = f"{type_tag(extent.dtype)}-{'x'.join(map(str, extent.shape))}"
            prefix = request.scope.get("root_path", "")
            response.set_cookie(
                self._name, value, path=f"{prefix}/datasets/{node_id}", httponly=True, samesite="strict"
            )

    def _told(self, request: Request) -> tuple[str, tuple[int, ...]] | None:
        match = _COOKIE.fullmatch(request.cookies.get(self._name, ""))
        return None if match is None else (match[1], tuple(map(int, match[2].split("x"))))

    def type_told(self, request: Request) -> str | None:
        """Return the tag of the type that the client knows."""
        told = self._told(request)
        return None if told is None else told[0]

    def crop(self, request: Request) -> Pick | None:
        """Return what cuts an array to the shape that the client knows; None for a client that knows none.

        The cut raises 409 when the array has become smaller than that, or has other axes.
        """
        told = self._told(request)
        if told is None:
            return None
        shape = told[1]

        def cut(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
            if array.ndim != len(shape) or any(now < then for now, then in zip(array.shape, shape, strict=True)):
                raise HTTPException(
                    409,
                    f"the dataset had shape {list(shape)} when you read it, now it has {list(array.shape)}: refresh",
                )
            return array[tuple(slice(length) for length in shape)]

        return cut
