"""What a page is sent over its socket: the tree, images, numbers with their history, the part it zooms to."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from page_rig import IMAGE, Served, serving


@pytest.fixture
def page() -> Iterator[Served]:
    with serving() as served:
        yield served


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
