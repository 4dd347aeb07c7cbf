"""The page over real sockets: one reads what is published, draws regions, is slow, hostile, or has no token."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import struct
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from glimt.model.parameters import IntParameter, RoiParameter
from glimt.pipeline.parameter_changes import ParameterChanges
from glimt.pipeline.parameter_set import ParameterSet
from glimt.web.live_view import create_app
from glimt.web.log_ring import LogRing
from glimt.web.page_feed import Feed, LocalFeed
from glimt.web.page_hub import PageHub, PageSource
from glimt.web.page_remote_feed import RemoteFeed
from glimt.web.page_socket import MAX_PROBLEMS, MAX_VIEWERS
from glimt.web.page_want import MAX_MESSAGE_BYTES
from glimt.web.server import ViewServer

BOX = {"name": "box", "kind": "rectangle", "image": "/image", "bounds": [0, 2, 0, 3], "denominator": "/i0"}
IMAGE = {"id": "p1", "path": "/image", "kind": "image", "size": [64, 64]}
Message = tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]
Found = Callable[[dict[str, Any], dict[str, npt.NDArray[Any]]], bool]


class Published:
    """A reducer that publishes when it is told to."""

    def __init__(self) -> None:
        self.publish: dict[str, Any] = {}
        self.lock = threading.RLock()
        self.newest_event = -1

    def tree(self) -> tuple[dict[str, Any], Any]:
        return self.publish, self.lock

    def show(self, **content: Any) -> None:
        with self.lock:
            self.newest_event += 1
            self.publish.update(content)


class Served:
    """A page, its reducer and where it is."""

    def __init__(self, published: Published, hub: PageHub, url: str, parameters: ParameterChanges) -> None:
        self.published = published
        self.hub = hub
        self.url = url
        self.parameters = parameters
        self.rest = httpx.Client(base_url=f"{url}/api/v1/page/", timeout=30)

    def look(self, **options: Any) -> Page:
        return Page(self.url, **options)


class Page:
    """What a browser would do."""

    def __init__(self, url: str, *, query: str = "", plots: list[dict[str, Any]] | None = None, **said: Any) -> None:
        self._open = contextlib.ExitStack()
        self.socket: ClientConnection = self._open.enter_context(
            connect(url.replace("http", "ws") + "/api/v1/page" + query, max_size=None, compression=None)
        )
        self.state: dict[str, Any] = {}
        self.series: dict[str, list[list[float]]] = {}
        self.say(op="hello", **said)
        if plots is not None:
            self.say(op="want", plots=plots)

    def say(self, **what: Any) -> None:
        self.socket.send(json.dumps(what))

    def receive(self, timeout: float = 20.0) -> Message:
        data = self.socket.recv(timeout=timeout)
        assert isinstance(data, bytes)
        header, buffers = parsed(data)
        if header["type"] == "state":
            self.state.update(header)
        for entry in header.get("series", []):
            points = buffers[entry["buffer"]].tolist()
            if header["type"] == "history" or entry.get("reset"):
                self.series[entry["id"]] = []
            self.series.setdefault(entry["id"], []).extend(points)
        return header, buffers

    def until(
        self, found: Callable[[dict[str, Any], dict[str, npt.NDArray[Any]]], bool], limit_s: float = 20
    ) -> Message:
        """Draw turn after turn until one has what is looked for."""
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            message = self.receive()
            if message[0]["type"] == "data":
                self.say(op="ready")
            if found(*message):
                return message
        raise AssertionError(f"not seen within {limit_s} s; the state is {self.state}")

    def repeat(self, text: str, n: int) -> None:
        """Say something again and again, and listen until the connection is closed."""
        with contextlib.suppress(ConnectionClosed):
            for _ in range(n):
                self.socket.send(text)
        while True:
            self.receive()

    def image(self) -> Message:
        """Draw until an image comes."""
        return self.until(lambda header, _: any(plot["kind"] == "image" for plot in header.get("plots", [])))

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()


def open_and_close(url: str, headers: dict[str, str] | None = None) -> None:
    with connect(url, additional_headers=headers):
        pass


def parsed(data: bytes) -> Message:
    (length,) = struct.unpack_from("<I", data)
    header = json.loads(data[4 : 4 + length])
    buffers = {}
    for entry in header["buffers"]:
        n = int(np.prod(entry["shape"]))
        buffers[entry["name"]] = np.frombuffer(data, entry["dtype"], n, entry["offset"]).reshape(entry["shape"])
    return header, buffers


@contextlib.contextmanager
def serving(
    feed: Callable[[Published], Feed] = LocalFeed, *, token: str | None = None, file: Path | None = None
) -> Iterator[Served]:
    published, logs = Published(), LogRing()
    described = [RoiParameter(name="rois"), IntParameter(name="threshold", default=3, minimum=0, maximum=10)]
    parameters = ParameterChanges(ParameterSet(described))
    source = PageSource(
        "test", "run", feed(published), lambda: {"state": "running", "scan": {"scan_number": 4}},
        parameters=parameters, set_parameter=lambda name, data: (parameters.set(name, data), 17), logs=logs, file=file,
    )  # fmt: skip
    log = logging.getLogger("glimt")
    log.addHandler(logs)
    hub = PageHub(source)
    try:
        app = create_app(published, parameters=parameters, hub=hub, token=token)
        with hub, ViewServer(app, port=0) as server:
            served = Served(published, hub, server.url, parameters)
            with served.rest:
                yield served
    finally:
        log.removeHandler(logs)


@pytest.fixture
def page() -> Iterator[Served]:
    with serving() as served:
        yield served


# What is shown ------------------------------------------------------------------------------------------------------


def test_a_page_is_told_the_tree_and_sent_the_image_it_wants_and_every_new_one(page: Served) -> None:
    image = np.arange(200 * 100, dtype=np.uint16).reshape(200, 100)
    page.published.show(image=image, image_attrs={"units": "counts"}, i0=2.0, name="LaB6")
    with page.look(plots=[IMAGE]) as viewer:
        header, buffers = viewer.image()
        viewer.until(lambda *_: "health" in viewer.state)
        assert viewer.state["health"] == {"state": "running", "scan": {"scan_number": 4}}
        assert {node["path"]: node["plot"] for node in viewer.state["tree"] if node["kind"] == "dataset"} == {
            "/image": "image", "/i0": "number", "/name": "text",
        }  # fmt: skip
        plot = header["plots"][0]
        assert (plot["full_shape"], plot["bin"], plot["event_number"]) == ([200, 100], [4, 2], 0)
        np.testing.assert_array_equal(buffers[plot["buffer"]], image.reshape(50, 4, 50, 2).max(axis=(1, 3)))
        page.published.show(image=image + 1, i0=3.0)
        header, buffers = viewer.image()
        assert buffers[header["plots"][0]["buffer"]][0, 0] == image[3, 1] + 1
        assert header["numbers"] == {"/i0": 3.0}
        assert [point[2] for point in viewer.series["/i0"]] == [2.0, 3.0]


def test_a_page_that_comes_later_gets_the_history(page: Served) -> None:
    with page.look() as first:
        for i in range(5):
            page.published.show(n=float(i))
            first.until(lambda *_: len(first.series.get("/n", [])) > i)  # noqa: B023  it is called at once
    logging.getLogger("glimt").warning("a line of the log")
    with page.look() as second:
        second.until(lambda header, _: any(line["msg"] == "a line of the log" for line in header.get("log", [])))
        assert [point[1:] for point in second.series["/n"]] == [[float(i), float(i)] for i in range(5)]
    with page.look(history=False) as third:
        third.until(lambda header, _: header["type"] == "data")
        assert third.state["version"] > 0


def test_zooming_sends_the_part_at_full_resolution(page: Served) -> None:
    image = np.arange(300 * 300, dtype=np.float32).reshape(300, 300)
    page.published.show(image=image)
    with page.look(plots=[IMAGE]) as viewer:
        viewer.image()
        viewer.say(op="want", plots=[IMAGE | {"rows": [10, 30], "columns": [290, 999]}])
        header, buffers = viewer.image()
        plot = header["plots"][0]
        assert (plot["rows"], plot["columns"], plot["bin"]) == ([10, 30], [290, 300], [1, 1])
        np.testing.assert_array_equal(buffers[plot["buffer"]], image[10:30, 290:])


def test_one_plot_that_cannot_be_drawn_does_not_affect_the_others(page: Served) -> None:
    page.published.show(image=np.ones((4, 4)), text="x")
    plots = [IMAGE, {"id": "b", "path": "/text", "kind": "image"}, {"id": "c", "path": "/none", "kind": "curve"}]
    seen: dict[str, Any] = {}
    with page.look(plots=plots) as viewer:
        viewer.until(
            lambda header, _: seen.update({plot["id"]: plot for plot in header.get("plots", [])}) or len(seen) == 3
        )
    assert "buffer" in seen["p1"]
    assert "number" in seen["b"]["problem"]
    assert "/none is not published" in seen["c"]["problem"]


# Regions and parameters ---------------------------------------------------------------------------------------------


def test_a_region_is_a_curve_a_parameter_and_seen_by_all(page: Served) -> None:
    page.published.show(image=np.full((4, 4), 5, np.uint16), i0=2.0)
    with page.look() as one, page.look() as other:
        answer = page.rest.post("regions", json=BOX, headers={"X-Glimt-Who": "Ada%20L"})
        assert answer.status_code == 201
        made = answer.json()
        assert made["parameter"] == {"name": "rois", "event_number": 17}
        key = made["region"]["id"]
        for viewer in (one, other):
            header, _ = viewer.until(lambda header, _: key in header.get("regions", {}))
            assert header["regions"][key]["value"] == 30 / 2.0
            viewer.until(lambda *_: bool(viewer.state.get("regions")))  # noqa: B023  it is called at once
            assert viewer.state["regions"][0]["changed_by"] == "Ada L"
        worker = json.loads(page.parameters.get("rois"))
        assert worker == [{"name": "box", "kind": "rectangle", "image": "/image", "bounds": [0, 2, 0, 3]}]
        page.published.show(image=np.full((4, 4), 7, np.uint16))
        one.until(lambda *_: [point[2] for point in one.series.get(f"region:{key}", [])] == [15.0, 21.0])
        one.until(lambda *_: any(change["who"] == "Ada L" for change in one.state.get("changes", [])))
    table = page.rest.get(f"regions/{key}.csv").text.splitlines()
    assert table[0].startswith("time_s,event_number,value,sum")
    assert [line.split(",")[2] for line in table[1:]] == ["15.0", "21.0"]
    moved = page.rest.put(f"regions/{key}", json=BOX | {"bounds": [0, 1, 0, 1]}).json()
    assert moved["region"]["id"] == key
    assert page.rest.delete(f"regions/{key}").json()["version"] > moved["version"]
    assert json.loads(page.parameters.get("rois")) == []


def test_regions_that_somebody_gives_the_run_are_shown(page: Served) -> None:
    drawn = [{"name": "by hand", "kind": "ring", "center": [2, 2], "r_min": 0, "r_max": 2}]
    page.published.show(image=np.ones((4, 4)))
    httpx.post(f"{page.url}/api/v1/parameter/rois", content=json.dumps(drawn)).raise_for_status()
    with page.look() as viewer:
        viewer.until(lambda *_: [r["name"] for r in viewer.state.get("regions", [])] == ["by hand"])
        assert viewer.state["regions"][0]["image"] == "/image"
        assert viewer.state["changes"][-1]["name"] == "rois"


def test_a_parameter_is_set_and_told_with_its_event(page: Served) -> None:
    answer = page.rest.post("parameters/threshold", content=b"7")
    assert (answer.json()["event_number"], answer.json()["who"]) == (17, "127.0.0.1")
    refused = page.rest.post("parameters/threshold", content=b"70")
    assert refused.status_code == 400
    assert "at most 10" in refused.json()["detail"]
    with page.look() as viewer:
        viewer.until(lambda *_: viewer.state.get("parameters", {}).get("values", {}).get("threshold") == "7")
    assert [change["value"] for change in page.rest.get("changes").json()] == ["7"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "regions", "{", 400), ("POST", "regions", "[]", 422), ("POST", "regions", '{"name": "a"}', 400),
        ("PUT", "regions", '{"regions": 3}', 400), ("PUT", "regions/none", json.dumps(BOX), 404),
        ("DELETE", "regions/none", "", 404), ("GET", "regions/none.csv", "", 404), ("GET", "layouts/none", "", 404),
        ("PUT", "layouts/..%2f..%2fetc", "{}", 404), ("PUT", "layout", "3", 422), ("GET", "export/none.csv", "", 404),
        ("PUT", "layout", '{"x": "' + "x" * 300_000 + '"}', 413), ("GET", "export/image.exe", "", 400),
        ("GET", "history/none.csv", "", 404), ("POST", "regions", "[" * 100_000, 400),
    ],
)  # fmt: skip
def test_requests_that_make_no_sense_are_answered(page: Served, method: str, path: str, body: str, status: int) -> None:
    page.published.show(image=np.ones((4, 4)))
    answer = page.rest.request(method, path, content=body.encode())
    assert answer.status_code == status, answer.text
    assert answer.json()["detail"]


def test_layouts_are_kept_and_data_is_downloaded(page: Served) -> None:
    page.published.show(
        image=np.arange(6, dtype=np.uint16).reshape(2, 3), q=np.arange(3.0), i0=2.5,
        curve=np.arange(3), curve_attrs={"x": "q", "units": "counts"},
    )  # fmt: skip
    assert page.rest.put("layout", json={"a": 1}).json()["layout_version"] == 2
    assert page.rest.get("layout").json() == {"a": 1}
    page.rest.put("layouts/night shift", json={"b": 2}).raise_for_status()
    assert page.rest.get("layouts").json() == {"names": ["night shift"]}
    assert page.rest.get("export/image.csv").text == "0,1,2\r\n0,1,2\r\n3,4,5\r\n"
    curve = page.rest.get("export/curve.csv")
    assert curve.text == "q,curve\r\n0.0,0\r\n1.0,1\r\n2.0,2\r\n"
    assert curve.headers["content-disposition"] == 'attachment; filename="curve.csv"'
    assert page.rest.get("export/image.npy").content.startswith(b"\x93NUMPY")
    assert page.rest.get("export/image.h5").content.startswith(b"\x89HDF")
    assert page.rest.get("history/i0.csv").text.splitlines()[1].endswith(",0.0,2.5")


# Slow, hostile, many ------------------------------------------------------------------------------------------------


def test_a_viewer_that_never_gets_ready_holds_up_nobody(page: Served) -> None:
    random = np.random.default_rng(1)
    with page.look(plots=[IMAGE]), page.look(plots=[IMAGE]) as quick:
        began, n_images = time.monotonic(), 0
        took = []
        while n_images < 20:
            start = time.perf_counter()
            page.published.show(image=random.integers(0, 9, (2048, 2048), dtype=np.uint16))
            took.append(time.perf_counter() - start)
            quick.image()
            n_images += 1
        assert time.monotonic() - began < 20
        assert sorted(took)[10] < 0.5


def test_a_viewer_gets_the_newest_and_not_what_it_missed(page: Served) -> None:
    page.published.show(image=np.zeros((8, 8)))
    with page.look(plots=[IMAGE]) as slow, page.look(plots=[IMAGE]) as quick:
        slow.image()
        for i in range(1, 6):
            page.published.show(image=np.full((8, 8), float(i)))
            quick.until(lambda header, buffers: _value(header, buffers) == i)  # noqa: B023  it is called at once
        while slow.receive()[0]["type"] != "data":
            pass  # one turn may have been on its way
        slow.say(op="ready")
        assert _value(*slow.until(lambda header, buffers: _value(header, buffers) is not None)) == 5


def _value(header: dict[str, Any], buffers: dict[str, npt.NDArray[Any]]) -> float | None:
    plots = header.get("plots", [])
    return float(buffers[plots[0]["buffer"]][0, 0]) if plots and "buffer" in plots[0] else None


def test_messages_that_make_no_sense_are_answered_and_end_the_connection_in_the_end(page: Served) -> None:
    with page.look() as viewer:
        viewer.say(op="dance")
        header, _ = viewer.until(lambda header, _: header["type"] == "problem")
        assert "dance" in header["reason"]
        viewer.socket.send(b"\x00\xff")
        header, _ = viewer.until(lambda header, _: header["type"] == "problem")
        assert "text" in header["reason"]
        with pytest.raises(ConnectionClosed, match="1008"):
            viewer.repeat("nonsense", MAX_PROBLEMS + 5)
    with page.look() as viewer:  # the next one is not affected
        viewer.until(lambda header, _: header["type"] == "data")


def test_a_message_that_is_too_long_closes_the_connection(page: Served) -> None:
    with page.look() as viewer, pytest.raises(ConnectionClosed, match="1009"):
        viewer.repeat("x" * (MAX_MESSAGE_BYTES + 4096), 1)


def test_more_viewers_than_there_is_room_for_are_sent_away(page: Served) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(MAX_VIEWERS):
            stack.enter_context(page.look()).until(lambda header, _: header["type"] == "data")
        with pytest.raises(ConnectionClosed, match="1013"), page.look() as viewer:
            viewer.receive()
    deadline = time.monotonic() + 20
    while page.hub.n_viewers and time.monotonic() < deadline:
        time.sleep(0.05)
    assert page.hub.n_viewers == 0


# Who may ------------------------------------------------------------------------------------------------------------


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


# The reducer in another process -------------------------------------------------------------------------------------

_REDUCER = """
    import sys, threading, time
    import numpy as np
    from glimt.web.live_view import create_app
    from glimt.web.server import ViewServer

    class Published:
        publish, lock, newest_event = {}, threading.RLock(), 0
        def tree(self):
            return self.publish, self.lock

    published, first = Published(), int(sys.argv[1])
    with ViewServer(create_app(published), port=0) as server:
        print(server.url, flush=True)
        for published.newest_event in range(first, first + 100000):
            with published.lock:
                published.publish.update(n=published.newest_event, image=np.full((512, 512), published.newest_event))
            time.sleep(0.05)
"""


@contextlib.contextmanager
def reducer(first: int) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(_REDUCER), str(first)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def test_the_page_survives_its_reducer_and_keeps_the_history() -> None:
    where = {"url": ""}
    with serving(lambda _: RemoteFeed(lambda: where["url"])) as served, served.look(plots=[IMAGE]) as viewer:
        viewer.until(lambda *_: viewer.state.get("freshness", {}).get("state") == "lost")
        with reducer(1) as (process, where["url"]):
            viewer.until(lambda *_: len(viewer.series.get("/n", [])) > 3)
            process.kill()
            process.wait()
            viewer.until(lambda *_: viewer.state["freshness"]["state"] == "lost")
            assert "does not answer" in viewer.state["freshness"]["reason"]
        n_before = len(viewer.series["/n"])
        assert n_before > 3
        with reducer(1000) as (_, where["url"]):
            viewer.until(lambda header, buffers: (_value(header, buffers) or 0) >= 1000)
            viewer.until(lambda *_: viewer.state["freshness"]["state"] == "live")
        values = [point[2] for point in viewer.series["/n"]]
        assert len(values) > n_before
        assert values == sorted(values)
        with served.look() as later:
            later.until(lambda header, _: header["type"] == "data")
            assert [point[2] for point in later.series["/n"]][:n_before] == values[:n_before]


@pytest.mark.parametrize(
    "body", [b"", b"\xff" * 100, b"\x81\xa6wanted\x81\xa1a\xa1b", b"\x81\xa6wait_s\xcb" + struct.pack(">d", 1e9)]
)
def test_the_feed_refuses_what_is_no_request(page: Served, body: bytes) -> None:
    answer = httpx.post(f"{page.url}/api/v1/feed", content=body)
    assert answer.status_code == 400
    assert answer.json()["detail"]
