"""What is published, logged or told of a run must not take the page from those who look."""

from __future__ import annotations

import logging
import time
from typing import Any

import numpy as np
import pytest

from glimt.web.page_feed import LocalFeed
from page_rig import BOX, IMAGE, Published, serving


class Failing(Published):
    """A reducer of which nothing can be read while it fails."""

    is_failing = False

    def tree(self) -> tuple[dict[str, Any], Any]:
        if self.is_failing:
            raise RuntimeError("no tree \udcff")
        return super().tree()


def test_a_log_line_with_a_name_that_is_not_unicode_is_shown_and_ends_no_connection() -> None:
    with serving() as served:
        logging.getLogger("glimt").warning("cannot read %s", "image_\udcff.cbf")
        for _ in range(2):
            with served.look() as viewer:
                header, _ = viewer.until(lambda header, _: bool(header.get("log")))
                assert header["log"][-1]["msg"] == "cannot read image_\\udcff.cbf"


@pytest.mark.parametrize(
    "published",
    [
        {"a\udcff": 1.0}, {"b": 1.0, "b_attrs": {"unit\udcff": 1}}, {"c": np.zeros(2, [("x\udcff", "f8")])},
        {"d": "text \udcff"}, {3: 1.0},
    ],
)  # fmt: skip
def test_names_that_are_not_unicode_are_told_and_the_rest_is_shown(published: dict[Any, Any]) -> None:
    with serving() as served:
        served.published.show(n=2.0)
        served.published.publish.update(published)
        with served.look() as viewer:
            header, _ = viewer.until(lambda header, _: "/n" in header.get("numbers", {}))
            assert header["numbers"]["/n"] == 2.0
            viewer.until(lambda *_: bool(viewer.state.get("problems")))
        answer = served.rest.post(f"{served.url}/api/v1/feed", content=b"\x80")
        assert answer.status_code == 200


@pytest.mark.parametrize("value", [2**64 - 1, -(2**63), 1e300, -1e300])
def test_a_region_on_pixels_that_no_detector_counts_has_its_point(value: float) -> None:
    image = np.full((4, 4), value, np.uint64 if value == 2**64 - 1 else np.int64 if value == -(2**63) else np.float64)
    with serving() as served, served.look(plots=[IMAGE]) as viewer:
        served.published.show(image=image, i0=2.0)
        key = served.rest.post("regions", json=BOX).json()["region"]["id"]
        header, _ = viewer.until(lambda header, _: key in header.get("regions", {}))
        point = header["regions"][key]
        assert point["sum"] == pytest.approx(6.0 * value)
        assert sum(point["histogram"]["counts"]) == 6
        assert point["problem"] == ""


def test_a_page_that_cannot_read_says_that_it_is_lost_and_is_as_quick_as_before_when_it_can() -> None:
    failing = Failing()
    with serving(lambda _: LocalFeed(failing)) as served, served.look() as viewer:
        failing.show(n=1.0)
        viewer.until(lambda *_: viewer.state.get("freshness", {}).get("state") == "live")
        failing.is_failing = True
        viewer.until(lambda *_: viewer.state["freshness"]["state"] == "lost")
        assert "RuntimeError: no tree \\udcff" in viewer.state["freshness"]["reason"]
        failing.is_failing = False
        viewer.until(lambda *_: viewer.state["freshness"]["state"] == "live")
        began, n_reads = time.monotonic(), served.hub.n_reads
        while served.hub.n_reads < n_reads + 20:
            viewer.until(lambda header, _: header["type"] == "data")
        assert time.monotonic() - began < 8, "half a second a reading is the pace of a page that is lost"
