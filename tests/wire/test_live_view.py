"""The live view over real sockets, read by the real h5pyd."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import h5pyd
import httpx
import numpy as np
import pytest

from glimt.model.errors import ParameterError, UsageError
from glimt.web.live_view import MAX_PARAMETER_BYTES, create_app
from glimt.web.server import ViewServer

IMAGE = np.arange(6000, dtype=">u2").reshape(2000, 3)
TABLE = np.array([(0.5, 1, [1, 2]), (1.5, 2, [3, 4])], dtype=[("a", "f8"), ("b", "i4"), ("c", "u1", (2,))])


class Reducer:
    """A live tree and its lock."""

    def __init__(self, tree: Any) -> None:
        self.publish = tree
        self.lock = threading.RLock()

    def tree(self) -> tuple[Mapping[str, Any], Any]:
        return self.publish, self.lock


class Parameters:
    """Parameters that only take whole numbers; ``fixed`` cannot be changed."""

    def __init__(self) -> None:
        self.values = {"till_x": b"3"}

    def get(self, name: str) -> bytes:
        return self.values[name]

    def set(self, name: str, data: bytes) -> str:
        if not data.isdigit():
            raise ParameterError(f"{name} must be a whole number")
        self.values[name] = data
        return "hash-of-" + data[:10].decode()

    def describe(self) -> list[dict[str, Any]]:
        return [{"name": name, "dtype": "int", "default": float("nan")} for name in ("till_x", "a")]


@contextmanager
def served(tree: Any, **options: Any) -> Iterator[tuple[ViewServer, Reducer]]:
    reducer = Reducer(tree)
    with ViewServer(create_app(reducer, **options), port=0) as server:
        yield server, reducer


def opened(server: ViewServer, **options: Any) -> h5pyd.File:
    return h5pyd.File("/", "r", endpoint=server.url, retries=0, timeout=10, **options)


@pytest.fixture(scope="module")
def view() -> Iterator[ViewServer]:
    tree = {
        "_attrs": {"NX_class": "NXentry"},
        "live": 34,
        "pi": 3.5,
        "nan": float("nan"),
        "flag": True,
        "hello": "Wörld",
        "names": ["I", "q", "ååå"],
        "grid": [["a", "b"], ["c", "d"]],
        "image": IMAGE,
        "image_attrs": {"axes": ["x", "y"], "n": [1, 2], "unit": "mm", "c": 1 + 2j, "nan": float("nan"), "none": None},
        "table": TABLE,
        "map": {"x": [1.5, 2.5], "deep": {"z": np.int8(-1)}},
        "map_attrs": {"signal": "x"},
        "complex": np.array([1 + 2j, 3]),
        "bools": np.array([True, False]),
        "empty": [],
        "nothing": None,
        "bytes": b"abc",
        "raw": b"\x00\xff",
        "scalar": np.float32(2.5),
        "masked": np.ma.array([1, 2], mask=[False, True]),
        "bad": object(),
        "bad_attr": 1,
        "bad_attr_attrs": {"odd": object(), "fine": 1},
        5: 1,
    }
    with served(tree) as (server, _):
        yield server


@pytest.fixture(scope="module")
def file(view: ViewServer) -> Iterator[h5pyd.File]:
    with opened(view) as opened_file:
        yield opened_file


def test_h5pyd_lists_what_is_published(file: h5pyd.File) -> None:
    assert "image" in file
    assert "map/deep/z" in file
    assert not {"bad", "5", "image_attrs", "_attrs"} & set(file)
    assert sorted(file["map"]) == ["deep", "x"]


def test_h5pyd_reads_scalars(file: h5pyd.File) -> None:
    assert file["live"][()] == 34
    assert file["live"].dtype == np.int64
    assert file["pi"][()] == 3.5
    assert np.isnan(file["nan"][()])
    assert file["flag"][()] == np.True_
    assert file["map/deep/z"][()] == -1
    assert file["scalar"].dtype == np.float32
    assert file["bytes"][()] == b"abc"
    assert file["nothing"].shape is None


def test_h5pyd_reads_text(file: h5pyd.File) -> None:
    assert file["hello"].asstr()[()] == "Wörld"
    assert file["names"].asstr()[:].tolist() == ["I", "q", "ååå"]
    assert file["names"].asstr()[1] == "q"
    assert file["names"].asstr()[1:3].tolist() == ["q", "ååå"]
    assert file["grid"].asstr()[:].tolist() == [["a", "b"], ["c", "d"]]
    assert file["grid"].asstr()[:, 1].tolist() == ["b", "d"]


def test_h5pyd_reads_arrays(file: h5pyd.File) -> None:
    np.testing.assert_array_equal(file["image"][:], IMAGE)
    assert file["image"].dtype == IMAGE.dtype
    assert file["map/x"][:].tolist() == [1.5, 2.5]
    assert file["empty"][:].shape == (0,)
    assert file["bools"][:].tolist() == [True, False]
    assert file["raw"][:].tolist() == [0, 255]
    assert file["complex"][:].view(complex).tolist() == [1 + 2j, 3]
    np.testing.assert_array_equal(file["masked"][:], [1, np.nan])


@pytest.mark.parametrize(
    "index",
    [
        np.s_[5:10],
        np.s_[3],
        np.s_[3, 1],
        np.s_[:, 2],
        np.s_[5:20:3, 1],
        np.s_[::7, ::2],
        np.s_[1999:, 0:1],
        np.s_[[1, 5, 9], :],
        np.s_[[1, 5, 9], 1:3],
        np.s_[list(range(0, 400, 2)), 1],
        np.s_[10:10],
    ],
    ids=str,
)
def test_h5pyd_reads_a_part_of_an_array(file: h5pyd.File, index: Any) -> None:
    np.testing.assert_array_equal(file["image"][index], IMAGE[index])


def test_h5pyd_reads_single_points(file: h5pyd.File) -> None:
    mask = np.zeros(IMAGE.shape, bool)
    mask[3, 1] = mask[100, 2] = True
    assert file["image"][mask].tolist() == IMAGE[mask].tolist()


def test_h5pyd_reads_structured_arrays(file: h5pyd.File) -> None:
    assert file["table"].dtype == TABLE.dtype
    np.testing.assert_array_equal(file["table"][:], TABLE)
    assert file["table"]["a"].tolist() == [0.5, 1.5]
    assert file["table"][1]["c"].tolist() == [3, 4]


def test_h5pyd_reads_attributes(file: h5pyd.File) -> None:
    assert dict(file.attrs) == {"NX_class": "NXentry"}
    assert dict(file["map"].attrs) == {"signal": "x"}
    attributes = file["image"].attrs
    assert attributes["axes"].tolist() == ["x", "y"]
    assert attributes["n"].tolist() == [1, 2]
    assert attributes["unit"] == "mm"
    assert attributes["c"] == 1 + 2j
    assert np.isnan(attributes["nan"])
    assert isinstance(attributes["none"], h5pyd.Empty)
    assert len(file["live"].attrs) == 0
    assert dict(file["bad_attr"].attrs) == {"fine": 1}


@pytest.mark.parametrize("name", ["nope", "map/nope", "live/x", "image_attrs", "bad"])
def test_missing_name_is_a_key_error_in_h5pyd(file: h5pyd.File, name: str) -> None:
    assert name not in file
    with pytest.raises(KeyError):
        file[name]


def get(view: ViewServer, path: str, **options: Any) -> httpx.Response:
    return httpx.get(view.url + path, timeout=10, **options)


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


def test_growing_list_is_read_whole_by_h5pyd_while_it_grows() -> None:
    tree: dict[str, Any] = {"x": [0.0], "names": ["a"], "other": {}}
    with served(tree) as (server, reducer):
        stop = threading.Event()

        def write() -> None:
            number = 0
            while not stop.wait(0.0002):
                number += 1
                with reducer.lock:
                    tree["x"].append(float(number))
                    tree["names"].append(str(number))
                    tree[f"new{number % 50}"] = number
                    tree.pop(f"new{(number + 25) % 50}", None)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            lengths = []
            for _ in range(6):
                with opened(server) as file:
                    list(file)
                    dataset = file["x"]
                    time.sleep(0.005)
                    found = dataset[:]
                    assert found.tolist() == list(range(len(found)))
                    assert len(found) == dataset.shape[0]
                    assert len(file["names"][:]) == file["names"].shape[0]
                    last = dataset.shape[0]
                    assert dataset[last // 2 :].tolist() == list(range(last // 2, last))
                    lengths.append(last)
        finally:
            stop.set()
            writer.join()
    assert lengths == sorted(lengths)
    assert lengths[-1] > lengths[0] > 1


def test_tree_that_changes_without_a_lock_never_breaks_an_answer() -> None:
    tree: dict[str, Any] = {"map": {}, "list": [], "image": np.zeros((4, 4))}
    with served(tree) as (server, _):
        stop = threading.Event()

        def write() -> None:
            number = 0
            while not stop.is_set():
                number += 1
                tree["map"][f"n{number % 1000}"] = number
                tree["map"].pop(f"n{(number * 7) % 1000}", None)
                tree["list"].append(number)
                if number % 100 == 0:
                    tree["list"] = []
                    time.sleep(0.0005)
                tree["image"] = np.zeros((number % 7, 4))

        writer = threading.Thread(target=write)
        writer.start()
        try:
            with httpx.Client(base_url=server.url, timeout=10) as client:
                for _ in range(8):
                    for path in (
                        "/",
                        "/json",
                        "/groups/g-h5dict-2F/links",
                        "/groups/g-h5dict-2F6D6170?include_links=1",
                    ):
                        assert client.get(path).status_code == 200
                    for path in ("/datasets/d-h5dict-2F6C697374", "/datasets/d-h5dict-2F696D616765/value"):
                        # 409: the array is smaller than it was told to be.
                        assert client.get(path).status_code in {200, 409}
        finally:
            stop.set()
            writer.join()


def test_refreshed_dataset_has_its_new_shape() -> None:
    tree = {"x": [1, 2, 3]}
    with served(tree) as (server, reducer), opened(server) as file:
        dataset = file["x"]
        with reducer.lock:
            tree["x"].append(4)
        assert dataset[:].tolist() == [1, 2, 3]
        dataset.id.refresh()
        assert dataset.shape == (4,)
        assert dataset[:].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("now", [[1], [1.5, 2.5, 3.5], [[1], [2], [3]]], ids=["smaller", "other type", "other axes"])
def test_dataset_that_became_another_is_a_conflict(now: Any) -> None:
    tree: dict[str, Any] = {"x": [1, 2, 3]}
    with served(tree) as (server, _), httpx.Client(base_url=server.url) as client:
        assert client.get("/datasets/d-h5dict-2F78").status_code == 200
        assert client.get("/datasets/d-h5dict-2F78/value").status_code == 200
        tree["x"] = now
        answer = client.get("/datasets/d-h5dict-2F78/value")
        assert answer.status_code == 409
        assert "refresh" in answer.json()["detail"]
        # A client that was told nothing gets what there is.
        assert get(server, "/datasets/d-h5dict-2F78/value").status_code == 200


def test_lock_that_is_held_delays_the_read_and_nothing_else() -> None:
    with served({"x": 1}) as (server, reducer):
        answers: list[httpx.Response] = []
        reader = threading.Thread(target=lambda: answers.append(get(server, "/json/x")))
        with reducer.lock:
            reader.start()
            reader.join(0.3)
            assert reader.is_alive()
            assert get(server, "/api/v1/status").json() is True
        reader.join(10)
        assert answers[0].json() == 1


def test_last_modified_moves_with_the_contents() -> None:
    tree: dict[str, Any] = {"x": [1, 2], "image": np.zeros(100)}
    with served(tree) as (server, _):

        def modified(digits: str) -> float:
            return float(get(server, f"/datasets/d-h5dict-{digits}").json()["lastModified"])

        list_before, image_before = modified("2F78"), modified("2F696D616765")
        assert (modified("2F78"), modified("2F696D616765")) == (list_before, image_before)
        tree["x"].append(3)
        tree["image"][5] = 1
        assert modified("2F78") > list_before
        assert modified("2F696D616765") > image_before


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


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "in chunks"])
def test_body_that_is_too_long_is_refused_and_the_server_lives_on(announced: bool) -> None:
    with served({}, parameters=Parameters()) as (server, _):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw:
            head = "POST /api/v1/parameter/till_x HTTP/1.1\r\nHost: localhost\r\n"
            if announced:
                raw.sendall(f"{head}Content-Length: {MAX_PARAMETER_BYTES + 1}\r\n\r\n".encode())
            else:
                raw.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
                chunk = b"100000\r\n" + bytes(1 << 20) + b"\r\n"
                for _ in range((MAX_PARAMETER_BYTES >> 20) + 1):
                    raw.sendall(chunk)
            assert b" 413 " in raw.recv(1000)
        assert get(server, "/api/v1/parameter/till_x").content == b"3"


def test_name_of_another_host_is_refused(view: ViewServer) -> None:
    assert get(view, "/json", headers={"Host": "evil.example"}).status_code == 403
    assert get(view, "/json", headers={"Host": f"localhost:{view.port}"}).status_code == 200
    assert get(view, "/json", headers={"Host": "[::1]:80"}).status_code == 200
    assert get(view, "/json", headers={"Host": "[::"}).status_code == 403


def test_page_of_elsewhere_changes_nothing() -> None:
    with served({}, parameters=Parameters()) as (server, _):
        address = server.url + "/api/v1/parameter/till_x"
        assert httpx.post(address, content=b"9", headers={"Origin": "http://evil.example"}).status_code == 403
        assert httpx.post(address, content=b"9", headers={"Origin": "null"}).status_code == 403
        assert get(server, "/api/v1/parameter/till_x").content == b"3"
        assert httpx.post(address, content=b"9", headers={"Origin": server.url}).status_code == 200


def test_token_is_asked_for_when_there_is_one() -> None:
    with served({"x": 1}, token="secret") as (server, _):
        assert get(server, "/json").status_code == 401
        assert get(server, "/json", headers={"Authorization": "Bearer wrong"}).status_code == 401
        assert get(server, "/json", headers={"Authorization": "Bearer secret"}).json() == {"x": 1}
        assert get(server, "/json?api_key=secret").json() == {"x": 1}
        with opened(server, api_key="secret") as file:
            assert file["x"][()] == 1


def test_other_hosts_need_a_token() -> None:
    with pytest.raises(UsageError, match="ssh tunnel"):
        ViewServer(create_app(Reducer({})), port=0, host="0.0.0.0")


def test_port_that_is_taken_is_named() -> None:
    with served({}) as (server, _), pytest.raises(UsageError, match=f"port {server.port} is taken"):
        ViewServer(create_app(Reducer({})), port=server.port)


@pytest.mark.parametrize("port", [-1, 65536])
def test_number_that_is_no_port_is_refused(port: int) -> None:
    with pytest.raises(UsageError, match="is no port"):
        ViewServer(create_app(Reducer({})), port=port)


def test_port_is_free_again_after_the_server() -> None:
    with served({}) as (server, _):
        port = server.port
        with httpx.Client(base_url=server.url) as client:
            assert client.get("/api/v1/status").json() is True
    with ViewServer(create_app(Reducer({})), port=port) as server:
        assert get(server, "/api/v1/status").json() is True


def test_broken_requests_do_not_end_the_server(view: ViewServer) -> None:
    for junk in (b"\x00\xff\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET " + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", view.port), timeout=10) as raw:
            raw.sendall(junk)
            raw.settimeout(2)
            raw.recv(100)
    assert get(view, "/api/v1/status").json() is True


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
