from __future__ import annotations

import numpy as np
import pytest

from glimt.kernels.projections import AxisProjector, FrameSum
from glimt.model.errors import UsageError


def test_both_axes_are_summed_without_masked_pixels() -> None:
    frame = np.array([[1, 2, 3], [4, 5, 60000]], np.uint16)
    found = AxisProjector((2, 3), mask=frame > 100).project(frame)
    assert found.over_slow.tolist() == [5, 7, 3]
    assert found.over_fast.tolist() == [6, 9]
    assert found.n_over_slow.tolist() == [2, 2, 1]
    assert found.n_over_fast.tolist() == [3, 2]


def test_missing_pixels_are_not_counted() -> None:
    found = AxisProjector((2, 2)).project([[1.5, np.nan], [2.5, np.nan]])
    assert found.over_slow.tolist() == [4.0, 0.0]
    assert found.n_over_slow.tolist() == [2, 0]
    assert found.n_over_fast.tolist() == [1, 1]


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i4"])
def test_projection_of_saturated_frames_does_not_overflow(dtype: str) -> None:
    largest = int(np.iinfo(dtype).max)
    found = AxisProjector((300, 70000)).project(np.full((300, 70000), largest, dtype))
    assert (found.over_slow == 300 * largest).all()
    assert (found.over_fast == 70000 * largest).all()


def test_frames_add_up_and_the_largest_of_each_pixel_is_kept() -> None:
    total = FrameSum((1, 3), "u2")
    for row in ([1, 5, 65535], [2, 4, 65535]):
        total.add(np.array([row], np.uint16))
    assert total.n_frames == 2
    assert total.total.tolist() == [[3, 9, 131070]]
    assert total.largest.tolist() == [[2, 5, 65535]]
    assert total.n_missing is None


def test_pixel_that_was_always_missing_has_no_largest() -> None:
    total = FrameSum((1, 2), np.float32)
    total.add(np.array([[np.nan, -2.0]], np.float32))
    total.add(np.array([[np.nan, np.nan]], np.float32))
    assert total.total.tolist() == [[0.0, -2.0]]
    assert total.largest.tolist() == [[-np.inf, -2.0]]
    assert total.n_missing is not None
    assert total.n_missing.tolist() == [[2, 1]]


def test_other_frames_and_sums_are_refused() -> None:
    total = FrameSum((2, 2), "u2")
    with pytest.raises(UsageError, match="frame has type int32; the sum was made for uint16"):
        total.add(np.zeros((2, 2), np.int32))
    with pytest.raises(UsageError, match="frame has shape"):
        total.add(np.zeros((2, 3), np.uint16))
    with pytest.raises(UsageError, match="cannot join"):
        total.merge(FrameSum((2, 2), "f4"))
    with pytest.raises(UsageError, match="frame has type"):
        FrameSum((2, 2), "U3")
    with pytest.raises(UsageError, match="mask has shape"):
        AxisProjector((2, 2), mask=np.zeros(3))
