"""HTTP answers: JSON and raw bytes, compressed where that pays."""

from __future__ import annotations

import gzip
import json
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from fastapi import HTTPException, Request
from starlette.responses import Response

from glimt.model.publish_value import TEXT
from glimt.web.hdf_types import value_json

MAX_JSON_ELEMENTS = 5_000_000
"""Elements that are written as JSON for one request; more only go as bytes."""

_COMPRESSED_FROM = 1000
_SAMPLE_BYTES = 1 << 16
_WORTH_IT = 0.9
_OCTETS = "application/octet-stream"


def json_answer(content: Any, *, status: int = 200, ignore_nan: bool = False) -> Response:
    """Return content as JSON.

    NaN and infinity are written as Python and hsds do (``NaN``), or as ``null`` when ``ignore_nan``: browsers
    read nothing else, and h5pyd takes ``null`` for zero.
    """
    if ignore_nan:
        text = msgspec.json.encode(content, enc_hook=str)
    else:
        text = json.dumps(content, separators=(",", ":")).encode()
    return Response(text, status_code=status, media_type="application/json")


def array_answer(request: Request, array: npt.NDArray[Any]) -> Response:
    """Return the elements of a dataset.

    Text, and scalars unless bytes are asked for, as JSON ``{"value": …}``; everything else as the bytes of its
    type, slowest axis first, unless only JSON is accepted. Text of several axes goes as
    `text_bytes` to who asks for bytes.
    """
    accepted = request.headers.get("accept", "")
    as_bytes = _OCTETS in accepted or (array.ndim > 0 and "application/json" not in accepted)
    if as_bytes and array.dtype != TEXT:
        return bytes_answer(request, array.tobytes())
    if array.dtype == TEXT and array.ndim > 1 and _OCTETS in accepted:
        # h5pyd 1.0 cannot read JSON of a part with fewer axes. One axis stays JSON: h5pyd 0.20 makes str of JSON and
        # bytes of bytes, and scripts written for dranspose, which sends JSON, count on the str.
        return bytes_answer(request, text_bytes(array))
    if array.size > MAX_JSON_ELEMENTS:
        raise HTTPException(400, f"{array.size} elements are too many for JSON: select less, or accept {_OCTETS}")
    value = array.item() if array.dtype == TEXT and not array.ndim else value_json(array)
    return json_answer({"value": value}, ignore_nan=is_set(request, "ignore_nan"))


def bytes_answer(request: Request, content: bytes) -> Response:
    """Return raw bytes, gzipped when the client accepts it and they shrink (counts do, noise does not)."""
    headers = {"Vary": "Accept-Encoding"}
    if len(content) > _COMPRESSED_FROM and _accepts_gzip(request):
        # Level 1: 9 MB of counts take 50 ms, with level 7 they take 0.9 s and come out as large.
        sample = content[:_SAMPLE_BYTES]
        if len(gzip.compress(sample, 1)) < _WORTH_IT * len(sample):
            content = gzip.compress(content, 1)
            headers["Content-Encoding"] = "gzip"
    return Response(content, media_type=_OCTETS, headers=headers)


def text_bytes(array: npt.NDArray[Any]) -> bytes:
    """Return strings as hsds writes them: each its length in bytes (little-endian uint32), then UTF-8."""
    encoded = [text.encode() for text in array.ravel().tolist()]
    return b"".join(part for text in encoded for part in (len(text).to_bytes(4, "little"), text))


def _accepts_gzip(request: Request) -> bool:
    for part in request.headers.get("accept-encoding", "").split(","):
        name, _, quality = part.strip().partition(";")
        if name.strip() == "gzip":
            return quality.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False


def is_set(request: Request, name: str) -> bool:
    """Tell whether a yes-or-no query parameter is given."""
    return request.query_params.get(name, "0").lower() not in {"", "0", "false"}


async def read_body(request: Request, limit: int) -> bytes:
    """Return the body of a request.

    Raises
    ------
    HTTPException
        413, it is longer than ``limit`` bytes; what comes after is not read.
    """
    too_long = HTTPException(413, f"the body is longer than {limit} bytes", headers={"Connection": "close"})
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > limit:
        raise too_long
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > limit:
            raise too_long
    return bytes(body)


def summary(array: npt.NDArray[Any]) -> dict[str, Any]:
    """Return shape, type and, of numbers, smallest, largest and mean; NaN is left out and counted."""
    found: dict[str, Any] = {"shape": list(array.shape), "dtype": "text" if array.dtype == TEXT else str(array.dtype)}
    if array.dtype.kind not in "biuf" or not array.size:
        return found
    finite = array[np.isfinite(array)] if array.dtype.kind == "f" else array
    if finite.size < array.size:
        found["not_finite"] = array.size - finite.size
    if finite.size:
        found |= {"min": finite.min().item(), "max": finite.max().item(), "mean": float(finite.mean(dtype=np.float64))}
    return found
