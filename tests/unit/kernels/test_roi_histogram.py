"""Histograms of regions of interest."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from glimt.kernels.roi_histogram import N_BINS, RoiHistogram
from glimt.kernels.roi_shapes import RingRoi, Roi
from glimt.model.errors import UsageError


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint32, np.int64, np.float32, np.bool_])
def test_every_valid_pixel_of_the_region_is_in_a_bin(dtype: type) -> None:
    frame: npt.NDArray[Any] = np.random.default_rng(1).integers(0, 100, (40, 50)).astype(dtype)
    mask = np.zeros(frame.shape, np.bool_)
    mask[10, 10:20] = True
    found = RoiHistogram((40, 50), Roi(5, 15, 8, 30), mask=mask).measure(frame)
    assert len(found.counts) == N_BINS
    assert sum(found.counts) == 10 * 22 - 10
    assert found.low == 0.0
    assert found.high >= frame[5:15, 8:30].max()


def test_bins_stay_from_frame_to_frame_and_what_is_beyond_is_in_the_outer_ones() -> None:
    histogram = RoiHistogram((100, 100), RingRoi(50.0, 50.0, 10.0, 40.0))
    frame = np.random.default_rng(2).poisson(300, (100, 100))
    first = histogram.measure(frame)
    frame[50, 70] = 10**6
    second = histogram.measure(frame)
    assert (first.low, first.high) == (second.low, second.high) == (0.0, 512.0)
    assert second.counts[-1] == first.counts[-1] + 1
    assert sum(first.counts) == sum(second.counts)


def test_negative_values_have_bins() -> None:
    frame = np.linspace(-5.0, 3.0, 400).reshape(20, 20)
    found = RoiHistogram((20, 20), Roi(0, 20, 0, 20)).measure(frame)
    assert (found.low, found.high) == (-64.0, 64.0)
    assert sum(found.counts) == 400


def test_nan_is_left_out_and_a_region_off_the_frame_is_empty() -> None:
    frame = np.full((10, 10), np.nan)
    frame[0, 0] = 0.3
    assert sum(RoiHistogram((10, 10), Roi(0, 5, 0, 5)).measure(frame).counts) == 1
    nothing = RoiHistogram((10, 10), Roi(20, 30, 20, 30)).measure(frame)
    assert (sum(nothing.counts), nothing.low, nothing.high) == (0, 0.0, 1.0)


def test_another_shape_is_refused() -> None:
    with pytest.raises(UsageError, match="shape"):
        RoiHistogram((10, 10), Roi(0, 5, 0, 5)).measure(np.zeros((10, 11)))
