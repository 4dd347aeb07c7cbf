"""What a page asks for over HTTP: regions, parameters, layouts, downloads, and what makes no sense."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import numpy as np
import pytest

from page_rig import BOX, Served, serving


@pytest.fixture
def page() -> Iterator[Served]:
    with serving() as served:
        yield served


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
