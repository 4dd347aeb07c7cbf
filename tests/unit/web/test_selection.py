"""Selections as the HDF REST API writes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from glimt.model.errors import UsageError
from glimt.web.selection import parse_select, points_from_bytes, points_from_list

ARRAY = np.arange(60).reshape(3, 4, 5)


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("[0:3,0:4,0:5]", np.s_[:, :, :]),
        ("[:,:,:]", np.s_[:, :, :]),
        ("[1:3,0:4:2,1:5:3]", np.s_[1:3, 0:4:2, 1:5:3]),
        ("[ 2 , 1:2 , : ]", np.s_[2:3, 1:2, :]),
        ("[0:3,[0,3,0],0:1]", np.s_[:, [0, 3, 0], 0:1]),
        ("[[0,2],[1,3],0:5]", np.ix_([0, 2], [1, 3], range(5))),
        ("[1:1,0:4,0:5]", np.s_[1:1, :, :]),
    ],
)
def test_selection_takes_what_numpy_takes(text: str, index: Any) -> None:
    np.testing.assert_array_equal(parse_select(text)(ARRAY), ARRAY[index])


@pytest.mark.parametrize(
    "text",
    [
        *["", "[]", "0:3", "[0:3", "[0:1]x", "[a:b]", "[1.5]", "[-1:2]", "[0:3:0]", "[1:2:3:4]", "[0:1,]"],
        *["[[1,],0:1]", "[[]]", "[[[1]]]", "[99999999999999999999:3]", "[" + "0," * 70 + "0]"],
    ],
)
def test_text_that_is_no_selection_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no selection"):
        parse_select(text)


@pytest.mark.parametrize("text", ["[0:4,0:4,0:5]", "[5:4,0:4,0:5]", "[3,0:4,0:5]", "[[0,3],0:4,0:5]", "[0:3]"])
def test_selection_beyond_the_dataset_is_refused_with_its_shape(text: str) -> None:
    with pytest.raises(UsageError, match=r"axis 0, which has 3 elements|shape \[3, 4, 5\]"):
        parse_select(text)(ARRAY)


def test_points_come_as_bytes_or_as_lists() -> None:
    points = [[0, 1, 2], [2, 3, 4]]
    expected = [ARRAY[0, 1, 2], ARRAY[2, 3, 4]]
    assert points_from_list(points)(ARRAY).tolist() == expected
    assert points_from_bytes(np.array(points, "<u8").tobytes(), 3)(ARRAY).tolist() == expected
    assert points_from_list([3, 1])(np.arange(5)).tolist() == [3, 1]


@pytest.mark.parametrize("points", [[[0, 0, 5]], [[0, 0, 2**63]], [[0, 0]], [0]])
def test_point_outside_is_refused(points: list[Any]) -> None:
    with pytest.raises(UsageError, match="shape"):
        points_from_list(points)(ARRAY)


@pytest.mark.parametrize("points", [[[0], [1, 2]], ["x"], [[-1]], [[[0]]], [{}], [2**70]])
def test_list_that_is_no_points_is_refused(points: list[Any]) -> None:
    with pytest.raises(UsageError, match="points must be"):
        points_from_list(points)


@pytest.mark.parametrize(("body", "axes"), [(b"1234567", 1), (bytes(8), 2), (bytes(8), 0)])
def test_bytes_that_are_no_points_are_refused(body: bytes, axes: int) -> None:
    with pytest.raises(UsageError, match="no whole number of points"):
        points_from_bytes(body, axes)
