"""The page over real sockets: what a reducer publishes, who shows it, and what a browser would do."""

from __future__ import annotations

import contextlib
import json
import logging
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from glimt.model.parameters import IntParameter, RoiParameter
from glimt.pipeline.parameter_changes import ParameterChanges, TakenValue
from glimt.pipeline.parameter_set import ParameterSet
from glimt.web.live_view import create_app
from glimt.web.log_ring import LogRing
from glimt.web.page_feed import Feed, LocalFeed
from glimt.web.page_hub import PageHub, PageSource
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
            connect(
                url.replace("http", "ws") + "/api/v1/page" + query, max_size=None, compression=None, open_timeout=60
            )
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

    def until(self, found: Found, limit_s: float = 20) -> Message:
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


def parsed(data: bytes) -> Message:
    (length,) = struct.unpack_from("<I", data)
    header = json.loads(data[4 : 4 + length])
    buffers = {}
    for entry in header["buffers"]:
        n = int(np.prod(entry["shape"]))
        buffers[entry["name"]] = np.frombuffer(data, entry["dtype"], n, entry["offset"]).reshape(entry["shape"])
    return header, buffers


def first_value(header: dict[str, Any], buffers: dict[str, npt.NDArray[Any]]) -> float | None:
    plots = header.get("plots", [])
    return float(buffers[plots[0]["buffer"]][0, 0]) if plots and "buffer" in plots[0] else None


@contextlib.contextmanager
def serving(
    feed: Callable[[Published], Feed] = LocalFeed, *, token: str | None = None, file: Path | None = None
) -> Iterator[Served]:
    published, logs = Published(), LogRing()
    described = [RoiParameter(name="rois"), IntParameter(name="threshold", default=3, minimum=0, maximum=10)]
    parameters = ParameterChanges(ParameterSet(described))
    source = PageSource(
        "test", "run", feed(published), lambda: {"state": "running", "scan": {"scan_number": 4}},
        parameters=parameters, set_parameter=lambda name, data: TakenValue(parameters.set(name, data), 17, 4),
        logs=logs, file=file,
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
