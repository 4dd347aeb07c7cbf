"""What a nested dict means as HDF5: groups, datasets, attributes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from glimt.model.publish_tree import (
    MAX_DEPTH,
    MAX_NODES,
    Problem,
    copied_items,
    find_node,
    path_text,
    split_path,
    walk,
)


def paths(tree: Any, problems: list[Problem] | None = None) -> list[str]:
    return [path_text(node.path) for node in walk(tree, [] if problems is None else problems)]


def test_dict_is_a_group_and_anything_else_a_dataset() -> None:
    tree = {"map": {"x": [1, 2], "empty": {}}, "live": 3}
    assert paths(tree) == ["/", "/map", "/map/x", "/map/empty", "/live"]
    assert [node.is_group for node in walk(tree, [])] == [True, True, False, True, False]


def test_walk_from_a_group_stays_in_it() -> None:
    tree = {"map": {"x": [1, 2]}, "live": 3}
    assert [node.path for node in walk(tree, [], start=("map",))] == [("map",), ("map", "x")]


def test_attributes_lie_beside_what_they_belong_to() -> None:
    tree = {
        "_attrs": {"NX_class": "NXentry"},
        "image": [1],
        "image_attrs": {"long_name": "photons", 5: "no name"},
        "map": {"_attrs": {"own": 1, "both": "own"}},
        "map_attrs": {"both": "beside"},
    }
    problems: list[Problem] = []
    found = {path_text(node.path): node.attributes for node in walk(tree, problems)}
    assert found == {
        "/": {"NX_class": "NXentry"},
        "/image": {"long_name": "photons"},
        "/map": {"own": 1, "both": "beside"},
    }
    assert problems == []


def test_what_has_no_place_in_hdf5_is_told_and_does_not_hide_its_siblings() -> None:
    inner: dict[str, Any] = {"good": 1}
    inner["again"] = inner
    tree = {
        5: 1,
        "a/b": 1,
        "": 1,
        ".": 1,
        "\ud800": 1,
        "lost_attrs": {"x": 1},
        "x_attrs": 3,
        "x": 2,
        "inner": inner,
    }
    problems: list[Problem] = []
    assert paths(tree, problems) == ["/", "/x", "/inner", "/inner/good"]
    reasons = {problem.path: problem.reason for problem in problems}
    assert "int" in reasons["/5"]
    assert "no name" in reasons["/a/b"]
    assert "'lost'" in reasons["/lost_attrs"]
    assert "dict of attributes" in reasons["/x_attrs"]
    assert "itself" in reasons["/inner/again"]
    assert len(problems) == 8


def test_depth_is_bounded() -> None:
    tree: dict[str, Any] = {}
    for _ in range(3 * MAX_DEPTH):
        tree = {"g": tree}
    problems: list[Problem] = []
    assert len(paths(tree, problems)) == MAX_DEPTH + 1
    assert "deeper" in problems[0].reason
    with pytest.raises(KeyError, match="deeper"):
        find_node(tree, ["g"] * (MAX_DEPTH + 1))


def test_number_of_nodes_is_bounded() -> None:
    problems: list[Problem] = []
    assert len(paths(dict.fromkeys(map(str, range(MAX_NODES + 5)), 0), problems)) == MAX_NODES
    assert "more than" in problems[0].reason


def test_tree_that_is_no_dict_is_told() -> None:
    problems: list[Problem] = []
    assert paths([1, 2], problems) == []
    assert "not a dict" in problems[0].reason


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (("nope",), "the group / has no 'nope'"),
        (("map", "nope"), "the group /map has no 'nope'"),
        (("live", "x"), "/live is a dataset"),
        (("live_attrs",), "has no 'live_attrs'"),
    ],
)
def test_missing_node_is_named_with_what_there_is(path: tuple[str, ...], reason: str) -> None:
    with pytest.raises(KeyError, match=reason):
        find_node({"map": {}, "live": 1, "live_attrs": {}}, path)


def test_looking_for_a_name_does_not_make_it() -> None:
    tree: dict[str, Any] = defaultdict(dict)
    with pytest.raises(KeyError):
        find_node(tree, ["nope"])
    assert not tree


class _Changing(Mapping[str, int]):
    """A mapping whose iteration fails while it changes, for the first few times."""

    def __init__(self, failures: int) -> None:
        self.failures = failures

    def __getitem__(self, name: str) -> int:
        return 1

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[str]:
        if self.failures:
            self.failures -= 1
            raise RuntimeError("dictionary changed size during iteration")
        return iter(["x"])


def test_mapping_that_changes_while_it_is_read_is_read_again() -> None:
    assert copied_items(_Changing(3)) == [("x", 1)]


def test_mapping_that_never_stands_still_counts_as_empty() -> None:
    assert copied_items(_Changing(10**6)) == []


def test_path_text_and_split_path_are_inverse() -> None:
    assert split_path("//map/x/") == ("map", "x")
    assert path_text(()) == "/"
    assert path_text(("map", "x")) == "/map/x"
