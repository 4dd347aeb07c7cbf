"""The page's own files: built from ``web/frontend``, shipped with the package, loaded from nowhere else."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi import APIRouter, HTTPException, Request
from starlette.responses import Response

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content security policy of the page: no inline script, so that nothing published ever becomes one."""

PREFIX = "/static/"

_FOLDER = Path(__file__).parent / "static"
_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".txt": "text/plain; charset=utf-8",
    ".woff2": "font/woff2",
}
_HEADERS = {
    "Content-Security-Policy": PAGE_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file of the page."""

    content: bytes
    media_type: str

    @property
    def digest(self) -> str:
        """What tells one version from another."""
        return hashlib.sha256(self.content).hexdigest()[:16]


@cache
def assets(folder: Path = _FOLDER) -> dict[str, Asset]:
    """Return the files by name; none where the page was not built."""
    if not folder.is_dir():
        return {}
    files = [path for path in sorted(folder.iterdir()) if path.suffix in _TYPES and path.is_file()]
    return {path.name: Asset(path.read_bytes(), _TYPES[path.suffix]) for path in files}


def has_page() -> bool:
    """Tell whether the page was built."""
    return "index.html" in assets()


def index_answer() -> Response:
    """Return the page itself; the files that it names have their digest in the address."""
    text = assets()["index.html"].content.decode()

    def stamped(match: re.Match[str]) -> str:
        asset = assets().get(match[2])
        return match[0] if asset is None else f"{match[1]}{match[2]}?v={asset.digest}{match[3]}"

    text = re.sub(r'(["\'](?:\./|/)?static/)([\w.-]+)(["\'])', stamped, text)
    headers = _HEADERS | {"Cache-Control": "no-cache", "Vary": "Accept"}
    return Response(text, media_type=_TYPES[".html"], headers=headers)


def static_router() -> APIRouter:
    """Return the routes of the page's files."""
    router = APIRouter(include_in_schema=False)

    async def get(request: Request, name: str) -> Response:
        asset = assets().get(name)
        if asset is None:
            raise HTTPException(404, "there is no such file")
        tag = f'"{asset.digest}"'
        is_stamped = request.query_params.get("v") == asset.digest
        kept = "public, max-age=31536000, immutable" if is_stamped else "no-cache"
        headers = _HEADERS | {"ETag": tag, "Cache-Control": kept}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(asset.content, media_type=asset.media_type, headers=headers)

    router.add_api_route(PREFIX + "{name}", get, methods=["GET"], response_model=None)
    return router
