from __future__ import annotations

import math

import numpy as np
import pytest

from glimt.kernels.centroid import CentroidFinder
from glimt.model.errors import UsageError


@pytest.mark.parametrize("dtype", ["u2", "i4", "f4"])
def test_center_of_mass_and_its_spread(dtype: str) -> None:
    frame = np.zeros((5, 9), dtype)
    frame[2, 3], frame[2, 5] = 10, 30
    found = CentroidFinder((5, 9)).find(frame)
    assert (found.slow, found.fast) == (2.0, 4.5)
    assert found.sigma_slow == 0.0
    np.testing.assert_allclose(found.sigma_fast, math.sqrt(0.75))
    assert (found.total, found.n_pixels) == (40.0, 45)


@pytest.mark.parametrize("dtype", ["u2", "f4"])
def test_offset_threshold_and_mask_choose_what_counts(dtype: str) -> None:
    frame = np.full((3, 5), 2, dtype)
    frame[1, 1], frame[1, 2], frame[0, 4] = 12, 7, 500
    mask = frame == 500
    found = CentroidFinder((3, 5), mask=mask, threshold=2.0, offset=2.0).find(frame)
    np.testing.assert_allclose([found.slow, found.fast], [1.0, 1 + 5 / 15])
    assert (found.total, found.n_pixels) == (15.0, 2)
    without = CentroidFinder((3, 5), mask=mask, offset=2.0).find(frame)
    np.testing.assert_allclose([without.slow, without.fast], [found.slow, found.fast])


def test_missing_and_infinite_pixels_are_left_out() -> None:
    found = CentroidFinder((1, 4)).find([[np.nan, 3.0, np.inf, -np.inf]])
    assert (found.fast, found.total, found.n_pixels) == (1.0, 3.0, 1)


@pytest.mark.parametrize("frame", [np.zeros((2, 2), np.uint16), np.full((2, 2), -1.0), np.full((2, 2), np.nan)])
def test_frame_without_counts_has_no_center(frame: np.ndarray) -> None:
    found = CentroidFinder((2, 2)).find(frame)
    assert math.isnan(found.slow)
    assert math.isnan(found.sigma_fast)


def test_all_masked_has_no_center() -> None:
    found = CentroidFinder((2, 2), mask=np.ones((2, 2))).find(np.ones((2, 2), np.uint16))
    assert math.isnan(found.slow)
    assert (found.total, found.n_pixels) == (0.0, 0)


def test_argument_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(UsageError, match="threshold is nan"):
        CentroidFinder((2, 2), threshold=math.nan)
    with pytest.raises(UsageError, match="offset is inf"):
        CentroidFinder((2, 2), offset=math.inf)
    with pytest.raises(UsageError, match="frame has shape"):
        CentroidFinder((2, 2)).find([[1]])
