from __future__ import annotations

import numpy as np
import pytest

from glimt.kernels.running import RunningMoments
from glimt.model.errors import UsageError


def test_mean_and_variance_of_three_frames() -> None:
    moments = RunningMoments((1, 2))
    for row in ([1, 10], [2, 10], [6, 10]):
        moments.add(np.array([row], np.uint16))
    assert moments.n_frames == 3
    assert moments.mean().tolist() == [[3.0, 10.0]]
    assert moments.variance().tolist() == [[7.0, 0.0]]


def test_small_spread_on_a_large_offset_keeps_its_digits() -> None:
    moments = RunningMoments((1, 1))
    for value in (4.0, 7.0, 13.0, 16.0):
        moments.add([[1e9 + value]])
    np.testing.assert_allclose(moments.variance(), [[30.0]], rtol=1e-9)


def test_no_frames_have_no_mean_and_one_has_no_variance() -> None:
    moments = RunningMoments((1, 1))
    assert np.isnan(moments.mean()).all()
    moments.add([[4]])
    assert moments.mean().tolist() == [[4.0]]
    assert np.isnan(moments.variance()).all()


def test_missing_pixels_are_not_counted() -> None:
    moments = RunningMoments((1, 2))
    moments.add(np.array([[1, 1]], np.uint16))
    moments.add(np.array([[3.0, np.nan]]))
    assert moments.count.tolist() == [[2, 1]]
    assert moments.mean().tolist() == [[2.0, 1.0]]


def test_empty_moments_merge_either_way() -> None:
    full = RunningMoments((1, 1))
    full.add([[3]])
    full.add([[5]])
    empty = RunningMoments((1, 1))
    empty.merge(full)
    full.merge(RunningMoments((1, 1)))
    for moments in (full, empty):
        assert (moments.n_frames, moments.mean().tolist(), moments.variance().tolist()) == (2, [[4.0]], [[2.0]])


def test_frame_or_moments_of_another_shape_are_refused() -> None:
    moments = RunningMoments((2, 2))
    with pytest.raises(UsageError, match="frame has shape"):
        moments.add([[1]])
    with pytest.raises(UsageError, match="cannot join"):
        moments.merge(RunningMoments((1, 1)))
    assert moments.n_frames == 0
