"""A page whose reducer is another process: it dies and comes back, and what the feed between them refuses."""

from __future__ import annotations

import contextlib
import struct
import subprocess
import sys
import textwrap
from collections.abc import Iterator

import httpx
import pytest

from glimt.web.page_remote_feed import RemoteFeed
from page_rig import IMAGE, Served, first_value, serving

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


@pytest.fixture
def page() -> Iterator[Served]:
    with serving() as served:
        yield served


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
            viewer.until(lambda header, buffers: (first_value(header, buffers) or 0) >= 1000)
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
