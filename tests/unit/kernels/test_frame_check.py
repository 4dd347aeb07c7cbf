from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from glimt.kernels.frame_check import checked_count, checked_frame, checked_mask, checked_number, checked_shape
from glimt.model.errors import UsageError


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i4", "f4", "f8"])
def test_common_types_pass_without_a_copy(dtype: str) -> None:
    frame = np.zeros((3, 4), dtype)
    checked = checked_frame(frame, (3, 4))
    assert checked.dtype == frame.dtype
    assert np.shares_memory(checked, frame)


@pytest.mark.parametrize(
    ("given", "taken"),
    [("?", "u1"), ("i1", "i4"), ("i2", "i4"), (">u2", "u2"), (">f4", "f4"), ("f2", "f4"), ("u8", "f8"), ("i8", "f8")],
)
def test_other_types_become_a_common_one_with_the_same_values(given: str, taken: str) -> None:
    frame = np.array([[0, 1], [1, 1]], given)
    checked = checked_frame(frame, (2, 2))
    assert checked.dtype == np.dtype(taken)
    assert checked.dtype.isnative
    assert checked.tolist() == frame.tolist()


def test_strided_frames_become_contiguous() -> None:
    frame = np.arange(24, dtype=np.uint16).reshape(4, 6)[::2, ::-2]
    checked = checked_frame(frame, (2, 3))
    assert checked.flags.c_contiguous
    assert checked.tolist() == frame.tolist()


@pytest.mark.parametrize("frame", [np.zeros((3, 2)), np.zeros(6), np.full((2, 3), 1j), np.full((2, 3), "x"), None])
def test_what_is_no_frame_is_refused(frame: Any) -> None:
    with pytest.raises(UsageError, match="the frame has"):
        checked_frame(frame, (2, 3))


def test_mask_is_copied_and_any_number_but_zero_excludes() -> None:
    mask = np.array([[0, 1, -5]])
    assert checked_mask(mask, (1, 3)).tolist() == [[False, True, True]]
    own = np.zeros((1, 3), np.bool_)
    assert checked_mask(own, (1, 3)) is not own
    assert not checked_mask(None, (1, 3)).any()
    with pytest.raises(UsageError, match=r"mask has shape \(1, 3\), the frame \(3, 1\)"):
        checked_mask(mask, (3, 1))
    with pytest.raises(UsageError, match="mask has type"):
        checked_mask(np.full((1, 3), "x"), (1, 3))


@pytest.mark.parametrize("shape", [(0, 3), (3,), (2, 3, 4), (1.5, 2), ("a", 2), (-1, -1), (1 << 20, 1 << 20), None])
def test_what_is_no_shape_is_refused(shape: Any) -> None:
    with pytest.raises(UsageError, match="frame"):
        checked_shape(shape)


@pytest.mark.parametrize("value", ["x", None, float("nan"), float("inf"), -1.0, 11, 10**400])
def test_number_out_of_range_is_named(value: Any) -> None:
    with pytest.raises(UsageError, match="gain is"):
        checked_number(value, "gain", 0.0, 10.0)


@pytest.mark.parametrize("value", [True, 1.0, "1", 0, 11, None])
def test_count_out_of_range_is_named(value: Any) -> None:
    with pytest.raises(UsageError, match=r"n_bins is .*from 1 to 10"):
        checked_count(value, "n_bins", 1, 10)
    assert checked_count(np.int16(3), "n_bins", 1, 10) == 3
