"""Identifiers of groups and datasets."""

from __future__ import annotations

import re

import pytest

from glimt.web.node_ids import NodeIds, node_id

DEEP = ("a" * 300, "b", "mått")


def test_ids_are_what_h5pyd_takes_for_one() -> None:
    for path in [(), ("image",), DEEP]:
        assert re.fullmatch(r"g-[0-9a-f-]{36}", node_id(path, "groups"))
        assert re.fullmatch(r"d-[0-9a-f-]{36}", node_id(path, "datasets"))


def test_id_leads_back_to_its_path() -> None:
    ids = NodeIds(list)
    assert ids.path_of(ids.issue(DEEP, "datasets"), "datasets") == DEEP


def test_id_from_before_a_restart_is_found_in_the_tree() -> None:
    ids = NodeIds(lambda: [(), ("image",), DEEP])
    assert ids.path_of(node_id(DEEP, "datasets"), "datasets") == DEEP


def test_id_of_dranspose_is_understood() -> None:
    ids = NodeIds(list)
    assert ids.path_of("g-h5dict-2F", "groups") == ()
    assert ids.path_of("d-h5dict-2F696D616765", "datasets") == ("image",)


@pytest.mark.parametrize(
    "text", ["", "g-", "d-h5dict-2F", "g-h5dict-zz", "g-h5dict-FF", "t-h5dict-2F", "g-" + "0" * 36]
)
def test_id_that_stands_for_nothing_is_refused(text: str) -> None:
    with pytest.raises(KeyError):
        NodeIds(lambda: [()]).path_of(text, "groups")
