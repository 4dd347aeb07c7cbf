"""Who may open a page, see it and change it: other sites, tokens, view links."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from page_rig import BOX, Served, serving


@pytest.fixture
def page() -> Iterator[Served]:
    with serving() as served:
        yield served


def open_and_close(url: str, headers: dict[str, str] | None = None) -> None:
    with connect(url, additional_headers=headers):
        pass


def test_a_page_of_elsewhere_gets_no_socket(page: Served) -> None:
    url = page.url.replace("http", "ws") + "/api/v1/page"
    with pytest.raises(InvalidStatus, match="403"):
        open_and_close(url, {"Origin": "http://evil.example"})
    port = int(page.url.rpartition(":")[2])
    renamed = socket.create_connection(("127.0.0.1", port))
    with pytest.raises(InvalidStatus, match="403"), connect("ws://evil.example/api/v1/page", sock=renamed):
        pass
    open_and_close(url, {"Origin": page.url})


def test_a_token_is_needed_where_there_is_one_and_a_view_link_changes_nothing() -> None:
    with serving(token="secret") as served:
        url = served.url.replace("http", "ws") + "/api/v1/page"
        for query in ("", "?api_key=wrong", "?api_key=view-wrong"):
            with pytest.raises(InvalidStatus, match="403"):
                open_and_close(url + query)
        assert served.rest.get("hello").status_code == 401
        with served.look(query="?api_key=secret") as viewer:
            viewer.until(lambda header, _: header["type"] == "data")
        all_rights = {"Authorization": "Bearer secret"}
        assert served.rest.get("hello", headers=all_rights).json()["may_change"] is True
        link = served.rest.post("view-link", headers=all_rights).json()
        assert link["url"] == f"{served.url}/#api_key={link['token']}"
        view = {"Authorization": f"Bearer {link['token']}"}
        assert served.rest.get("hello", headers=view).json()["may_change"] is False
        for method, path in (("POST", "regions"), ("PUT", "layout"), ("POST", "view-link"), ("DELETE", "regions/x")):
            assert served.rest.request(method, path, headers=view, json=BOX).status_code == 403
        assert httpx.post(f"{served.url}/api/v1/parameter/threshold", headers=view, content="3").status_code == 403
        with served.look(query=f"?api_key={link['token']}") as viewer:
            viewer.until(lambda header, _: header["type"] == "data")


def test_the_page_itself_is_read_without_a_token_and_has_no_inline_script() -> None:
    with serving(token="secret") as served:
        answer = httpx.get(served.url, headers={"Accept": "text/html"})
        assert answer.status_code == 200
        assert "script-src 'self'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert httpx.get(served.url).status_code == 401
        assert httpx.get(f"{served.url}/plain", headers={"Accept": "text/html"}).status_code == 401
        script = next(part for part in answer.text.split('"') if "app.js" in part)
        asset = httpx.get(f"{served.url}/{script.lstrip('/')}")
        assert asset.status_code == 200
        assert asset.headers["content-type"].startswith("text/javascript")
        assert "immutable" in asset.headers["cache-control"]
        again = httpx.get(f"{served.url}/static/app.js", headers={"If-None-Match": asset.headers["etag"]})
        assert again.status_code == 304
        for path in ("/static/../guard.py", "/static/%2e%2e/guard.py", "/static/none.js"):
            assert httpx.get(served.url + path).status_code in {401, 404}
