"""A tree that changes while the live view shows it: every answer is whole, and clients are told."""

from __future__ import annotations

import threading
import time
from typing import Any

import httpx
import numpy as np
import pytest

from live_view_rig import get, opened, served


def wait_until_longer(growing: list[Any], length: int) -> None:
    deadline = time.monotonic() + 30
    while len(growing) <= length:
        assert time.monotonic() < deadline, "the list does not grow"
        time.sleep(0.001)


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
            wait_until_longer(tree["x"], 1)
            for _ in range(6):
                with opened(server) as file:
                    list(file)
                    dataset = file["x"]
                    wait_until_longer(tree["x"], dataset.shape[0])
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
    with served(tree) as (server, _), httpx.Client(base_url=server.url, timeout=60) as client:
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
