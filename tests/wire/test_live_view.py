"""What the live view answers over HTTP: h5serv's resources, JSON for people, a page for browsers, parameters."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from glimt.web.server import ViewServer
from live_view_rig import IMAGE, Parameters, get, opened, published, served


@pytest.fixture(scope="module")
def view() -> Iterator[ViewServer]:
    with served(published()) as (server, _):
        yield server


def test_domain_says_what_cannot_be_shown(view: ViewServer) -> None:
    domain = get(view, "/").json()
    assert domain["class"] == "domain"
    assert {problem["path"] for problem in domain["problems"]} == {"/5", "/bad", "/bad_attr@odd"}
    assert get(view, "/about").json()["state"] == "READY"
    assert get(view, "/domains").json()["domains"][0]["name"] == "/"


def test_problem_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), served({"bad": object(), "good": 1}) as (server, _):
        for _ in range(3):
            get(server, "/")
            get(server, "/groups/g-h5dict-2F/links")
    assert len([record for record in caplog.records if "/bad" in record.getMessage()]) == 1


def test_dranspose_ids_and_shapes_are_kept(view: ViewServer) -> None:
    group = get(view, "/groups/g-h5dict-2F").json()
    assert {"root", "id", "linkCount", "attributeCount", "created", "lastModified"} <= set(group)
    assert group["id"] == "g-h5dict-2F"
    assert group["attributeCount"] == 1
    links = get(view, "/groups/g-h5dict-2F/links").json()["links"]
    assert group["linkCount"] == len(links)
    link = get(view, "/groups/g-h5dict-2F/links/map").json()["link"]
    assert link in links
    assert {name: link[name] for name in ("class", "collection", "title")} == {
        "class": "H5L_TYPE_HARD",
        "collection": "groups",
        "title": "map",
    }
    dataset = get(view, "/datasets/d-h5dict-2F696D616765").json()
    assert dataset["shape"] == {"class": "H5S_SIMPLE", "dims": [2000, 3]}
    assert dataset["type"] == {"class": "H5T_INTEGER", "base": "H5T_STD_U16BE"}
    assert get(view, "/datasets/d-h5dict-2F6C697665/value").json() == {"value": 34}
    assert get(view, "/datasets/d-h5dict-2F68656C6C6F/value").json() == {"value": "Wörld"}
    attribute = get(view, "/groups/g-h5dict-2F/attributes/NX_class").json()
    assert attribute["value"] == "NXentry"
    assert "value" not in get(view, "/groups/g-h5dict-2F/attributes").json()["attributes"][0]


def test_shape_and_type_are_resources(view: ViewServer) -> None:
    image = "/datasets/d-h5dict-2F696D616765"
    assert get(view, image + "/shape").json()["shape"]["dims"] == [2000, 3]
    assert get(view, image + "/type").json()["type"]["class"] == "H5T_INTEGER"


@pytest.mark.parametrize(
    "path",
    [
        "/groups/g-nope",
        "/groups/g-h5dict-zz",
        "/groups/d-h5dict-2F",
        "/groups/g-h5dict-2F6C697665",
        "/datasets/d-h5dict-2F6E6F7065",
        "/datasets/d-h5dict-2F626164/value",
        "/datasets/d-h5dict-2F6D6170/value",
        "/groups/g-h5dict-2F/links/nope",
        "/groups/g-h5dict-2F/attributes/nope",
        "/json/nope",
        "/api/v1/nope",
        "/acls",
    ],
)
def test_what_is_not_there_is_404_with_a_reason(view: ViewServer, path: str) -> None:
    answer = get(view, path)
    assert answer.status_code == 404
    assert answer.json()["detail"]


@pytest.mark.parametrize("select", ["[0:1]", "[0:2001,0:1]", "[0:-1,0:1]", "0:1,0:1", "[x,y]", "[0:5:0,0:1]"])
def test_bad_select_is_400_with_a_reason(view: ViewServer, select: str) -> None:
    answer = get(view, "/datasets/d-h5dict-2F696D616765/value", params={"select": select})
    assert answer.status_code == 400
    assert "select" in answer.json()["detail"]


@pytest.mark.parametrize(
    "body", [b"", b"[1]", b"{}", b"{", b'{"points": [[0]]}', b'{"points": "x"}', b'{"select": "x"}', b"[" * 100_000]
)
def test_bad_points_are_400_with_a_reason(view: ViewServer, body: bytes) -> None:
    answer = httpx.post(view.url + "/datasets/d-h5dict-2F696D616765/value", content=body)
    assert answer.status_code == 400
    assert answer.json()["detail"]


def test_points_may_be_json(view: ViewServer) -> None:
    answer = httpx.post(view.url + "/datasets/d-h5dict-2F696D616765/value", json={"points": [[1, 2], [0, 0]]})
    assert np.frombuffer(answer.content, ">u2").tolist() == [5, 0]


def test_large_bytes_are_gzipped_for_who_accepts_it(view: ViewServer) -> None:
    path = "/datasets/d-h5dict-2F696D616765/value"
    plain = get(view, path, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.content == IMAGE.tobytes()
    zipped = get(view, path, headers={"Accept-Encoding": "deflate, gzip"})
    assert zipped.headers["content-encoding"] == "gzip"
    assert int(zipped.headers["content-length"]) < len(plain.content)
    assert zipped.content == plain.content
    refused = get(view, path, headers={"Accept-Encoding": "gzip;q=0"})
    assert "content-encoding" not in refused.headers
    small = get(view, path, params={"select": "[0:5,0:3]"}, headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in small.headers


def test_noise_is_not_gzipped() -> None:
    noise = np.random.default_rng(1).random(10_000)
    with served({"noise": noise}) as (server, _):
        answer = get(server, "/datasets/d-h5dict-2F6E6F697365/value", headers={"Accept-Encoding": "gzip"})
        assert "content-encoding" not in answer.headers
        assert answer.content == noise.tobytes()


def test_json_is_for_people(view: ViewServer) -> None:
    tree = get(view, "/json").json()
    assert tree["live"] == 34
    assert tree["nan"] is None
    assert tree["map"] == {"x": [1.5, 2.5], "deep": {"z": -1}}
    assert tree["map_attrs"] == {"signal": "x"}
    assert tree["_attrs"] == {"NX_class": "NXentry"}
    assert tree["table"] == [[0.5, 1, [1, 2]], [1.5, 2, [3, 4]]]
    assert tree["image"] == {
        "shape": [2000, 3],
        "dtype": ">u2",
        "min": 0,
        "max": 5999,
        "mean": 2999.5,
        "link": "/json/image",
    }
    assert {problem["path"] for problem in tree["_problems"]} == {"/5", "/bad", "/bad_attr@odd"}
    assert get(view, "/json/map/deep").json() == {"z": -1}
    assert get(view, "/json/map/x").json() == [1.5, 2.5]
    assert get(view, "/json/image", params={"select": "[1:3,0:3:2]"}).json() == [[3, 5], [6, 8]]
    assert get(view, "/json/image", params={"select": "[1:3]"}).status_code == 400


def test_json_of_a_large_dataset_is_a_summary_with_a_link_to_elements() -> None:
    array = np.ones((200, 200))
    array[0, 0] = np.nan
    with served({"my image": array}) as (server, _):
        found = get(server, "/json/my image").json()
        assert (found["not_finite"], found["mean"]) == (1, 1.0)
        assert len(get(server, found["link"]).json()) == 10


def test_browser_gets_a_page_that_loads_nothing_from_elsewhere() -> None:
    with served({"<script>": "<img src=x>", "map": {"x": 1}, "bad": object()}) as (server, _):
        answer = get(server, "/", headers={"Accept": "text/html,application/xhtml+xml"})
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "<script>" not in answer.text
    assert "<img" not in answer.text
    assert "http://" not in answer.text
    assert "https://" not in answer.text
    assert 'href="/json/map/x"' in answer.text
    assert "/bad: a object" in answer.text


@pytest.mark.parametrize("tree", [[1, 2], None, 5])
def test_reducer_that_publishes_no_dict_shows_an_empty_root_and_why(tree: Any) -> None:
    with served(tree) as (server, _):
        assert "not a dict" in get(server, "/").json()["problems"][0]["reason"]
        with opened(server) as file:
            assert list(file) == []


def test_parameters_are_read_changed_and_described() -> None:
    with served({}, parameters=Parameters()) as (server, _):
        answer = get(server, "/api/v1/parameter/till_x")
        assert (answer.content, answer.headers["content-type"]) == (b"3", "application/x.bytes")
        changed = httpx.post(server.url + "/api/v1/parameter/till_x", content=b"12")
        assert changed.json() == "hash-of-12"
        assert get(server, "/api/v1/parameter/till_x").content == b"12"
        assert [entry["name"] for entry in get(server, "/api/v1/parameters").json()] == ["a", "till_x"]
        refused = httpx.post(server.url + "/api/v1/parameter/till_x", content=b"x")
        assert (refused.status_code, refused.json()["detail"]) == (400, "till_x must be a whole number")
        missing = get(server, "/api/v1/parameter/nope")
        assert (missing.status_code, missing.json()["detail"]) == (404, "Parameter not found")


def test_run_without_parameters_or_progress_says_so() -> None:
    with served({}) as (server, _):
        assert get(server, "/api/v1/parameters").json() == []
        assert get(server, "/api/v1/parameter/x").status_code == 404
        assert httpx.post(server.url + "/api/v1/parameter/x", content=b"1").status_code == 404
        assert get(server, "/api/v1/progress").status_code == 404


def test_progress_is_what_the_run_tells() -> None:
    with served({}, progress=lambda: {"completed_events": 3, "finished": False}) as (server, _):
        assert get(server, "/api/v1/progress").json() == {"completed_events": 3, "finished": False}
        assert get(server, "/api/v1/progress/", follow_redirects=True).status_code == 200


def test_values_as_json_for_who_accepts_nothing_else(view: ViewServer) -> None:
    answer = get(
        view,
        "/datasets/d-h5dict-2F696D616765/value",
        params={"select": "[0:1,0:3]"},
        headers={"Accept": "application/json"},
    )
    assert answer.json() == {"value": [[0, 1, 2]]}
    nan = "/datasets/d-h5dict-2F6E616E/value"
    assert "NaN" in get(view, nan).text
    assert get(view, nan, params={"ignore_nan": "1"}).json() == {"value": None}
