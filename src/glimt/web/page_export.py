"""Files that the page lets the browser keep."""

from __future__ import annotations

import re

from starlette.responses import Response

_TYPES = {"csv": "text/csv; charset=utf-8", "npy": "application/octet-stream", "h5": "application/x-hdf5"}


def download(content: bytes, path: str, kind: str) -> Response:
    """Return a file for the browser to keep; its name has letters, digits, ``-`` and ``_`` only."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", path).strip("_")[:100] or "glimt"
    headers = {"Content-Disposition": f'attachment; filename="{name}.{kind}"', "X-Content-Type-Options": "nosniff"}
    return Response(content, media_type=_TYPES[kind], headers=headers)
