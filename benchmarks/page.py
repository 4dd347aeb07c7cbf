"""How old is what the page gets: from ``publish`` to the message in the browser, and what it costs.

A process publishes ten times a second: ten numbers, a curve of 1,000 points and a 2048 x 2048 uint16 image. Another one
serves the page, reading the first over HTTP as in a live run. Viewers in a third one want all of it, the image pooled
to 512 x 512, without and with a region on it, and say that they are ready as soon as a message is there.

    python benchmarks/page.py [--viewers 0 1 5] [--seconds 10]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import statistics
import struct
import threading
import time
from typing import Any

import numpy as np
import websockets

RATE_HZ = 10.0
SHAPE = (2048, 2048)
PLOTS = [
    {"id": "image", "path": "/image", "kind": "image", "size": [512, 512]},
    {"id": "curve", "path": "/curve", "kind": "curve", "size": [1, 1000]},
]
REGION = {
    "name": "region", "kind": "rectangle", "image": "/image", "bounds": [100, 400, 100, 400], "denominator": "/n3"
}  # fmt: skip


class Published:
    """What a reducer would have."""

    def __init__(self) -> None:
        self.publish: dict[str, Any] = {}
        self.lock = threading.RLock()
        self.newest_event = 0
        self.sent: dict[int, float] = {}

    def tree(self) -> tuple[dict[str, Any], Any]:
        """Return what is published, and its lock."""
        return self.publish, self.lock


def publish(connection: Any) -> None:
    """Publish until told to stop; answer what it cost, or when each event was published."""
    from glimt.web.live_view import create_app
    from glimt.web.server import ViewServer

    published, stop = Published(), threading.Event()
    random = np.random.default_rng(1)
    images = [random.poisson(5, SHAPE).astype(np.uint16) for _ in range(4)]

    def work() -> None:
        due = time.monotonic()
        while not stop.is_set():
            number = published.newest_event + 1
            new: dict[str, Any] = {f"n{i}": number * 0.1 + i for i in range(9)}
            new |= {"image": images[number % 4], "curve": np.cos(np.arange(1000) / 99 + number)}
            with published.lock:
                published.sent[number] = now = time.time()
                published.publish.update(new | {"sent": now})
                published.newest_event = number
            due += 1 / RATE_HZ
            time.sleep(max(0.0, due - time.monotonic()))

    with ViewServer(create_app(published), port=0) as server:
        threading.Thread(target=work, daemon=True).start()
        connection.send(server.url)
        while (asked := connection.recv()) is not None:
            connection.send(dict(published.sent) if asked == "sent" else time.process_time())
        stop.set()


def serve(connection: Any, url: str) -> None:
    """Serve the page until told to stop."""
    from glimt.web.live_view import create_app
    from glimt.web.page_hub import PageHub, PageSource
    from glimt.web.page_region import region_from
    from glimt.web.page_remote_feed import RemoteFeed
    from glimt.web.server import ViewServer

    hub = PageHub(PageSource("benchmark", "run", RemoteFeed(lambda: url), dict))
    with hub, ViewServer(create_app(Published(), hub=hub), port=0) as server:
        connection.send(server.url)
        while (asked := connection.recv()) is not None:
            if asked == "region":
                hub.store.put(region_from(REGION))
            connection.send(time.process_time())


async def view(url: str, until: float, ages: list[float]) -> int:
    """Look until then; note how old each new number was, and return how many images came."""
    n_images, last = 0, 0.0
    async with websockets.connect(
        url.replace("http", "ws") + "/api/v1/page", max_size=None, compression=None
    ) as socket:
        await socket.send(json.dumps({"op": "hello", "history": False}))
        await socket.send(json.dumps({"op": "want", "plots": PLOTS}))
        while time.time() < until:
            message = await socket.recv()
            assert isinstance(message, bytes)
            now = time.time()
            header = json.loads(message[4 : 4 + struct.unpack_from("<I", message)[0]])
            if header["type"] != "data":
                continue
            sent = header.get("numbers", {}).get("/sent", last)
            images = [plot for plot in header["plots"] if plot["id"] == "image"]
            n_images += len(images)
            if sent != last and last and images:
                ages.append(now - sent)
            last = sent
            await socket.send('{"op": "ready"}')
    return n_images


async def look(url: str, n_viewers: int, seconds: float) -> tuple[list[float], list[int]]:
    """Let so many look at once."""
    ages: list[float] = []
    until = time.time() + seconds
    counts = await asyncio.gather(*(view(url, until, ages) for _ in range(n_viewers)))
    return ages, list(counts)


def ask(connection: Any, what: str = "cpu") -> float:
    """Return the processor time of a process [s]."""
    connection.send(what)
    return float(connection.recv())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--viewers", type=int, nargs="+", default=[0, 1, 5])
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    reducer, its_end = context.Pipe()
    context.Process(target=publish, args=(its_end,), daemon=True).start()
    view_url = reducer.recv()
    hub, its_end = context.Pipe()
    context.Process(target=serve, args=(its_end, view_url), daemon=True).start()
    url = hub.recv()
    print("viewers  region  images/s each  median ms   95 % ms   CPU page  CPU reducer")
    for region in (False, True):
        if region:
            ask(hub, "region")
        for n_viewers in options.viewers:
            time.sleep(1.0)
            before, began = (ask(hub), ask(reducer)), time.monotonic()
            if n_viewers:
                ages, counts = asyncio.run(look(url, n_viewers, options.seconds))
            else:
                time.sleep(options.seconds)
                ages, counts = [], []
            elapsed = time.monotonic() - began
            cpu = [(after - start) / elapsed for after, start in zip((ask(hub), ask(reducer)), before, strict=True)]
            rate = statistics.mean(counts) / options.seconds if counts else 0.0
            middle = statistics.median(ages) * 1000 if ages else float("nan")
            most = float(np.percentile(ages, 95)) * 1000 if ages else float("nan")
            print(
                f"{n_viewers:7}  {'yes' if region else 'no':>6}  {rate:13.1f}  {middle:9.1f}  {most:8.1f}"
                f"  {cpu[0]:8.1%}  {cpu[1]:11.1%}",
                flush=True,
            )
    for connection in (hub, reducer):
        connection.send(None)


if __name__ == "__main__":
    main()
