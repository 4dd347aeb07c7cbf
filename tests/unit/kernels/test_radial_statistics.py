from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from glimt.kernels.radial_statistics import RadialStatistics
from glimt.kernels.radius_map import RadialBins, flat_radius_map
from glimt.model.errors import UsageError

LARGEST = float(np.finfo(np.float32).max)


def test_radius_is_measured_from_the_middle_of_the_pixel() -> None:
    radius = flat_radius_map((1, 4), (0.5, 0.5))
    assert radius.dtype == np.float32
    assert radius.tolist() == [[0, 1, 2, 3]]
    assert flat_radius_map((4, 5), (3.5, 4.5))[0, 0] == 5.0


def test_truncated_radius_cuts_the_corners_distances_to_whole_pixels() -> None:
    radius = flat_radius_map((1, 5), (0.0, 2.7), truncated=True)
    assert radius.tolist() == [[2, 1, 0, 0, 1]]


def test_bins_are_whole_pixels_rounded_half_to_even() -> None:
    bins = RadialBins([[0.4, 0.5, 1.5, 2.5, 3.0]])
    assert bins.bins.tolist() == [0, 0, 2, 2, 3]
    assert bins.n_bins == 4
    assert bins.n_pixels.tolist() == [2, 0, 2, 1]


def test_mask_nan_and_radius_limits_exclude_pixels_but_keep_their_bin() -> None:
    radius = [[0.0, 1.0, 2.0, 3.0, np.nan]]
    bins = RadialBins(radius, mask=[[0, 1, 0, 0, 0]], max_radius_px=3.0)
    none = bins.n_bins
    assert bins.bins.tolist() == [0, none, 2, none, none]
    assert bins.all_bins.tolist() == [0, 1, 2, 3, none]
    assert bins.order.tolist() == [0, 2]
    assert RadialBins(radius, min_radius_px=1.0).bins.tolist() == [none, none, 2, 3, none]


@pytest.mark.parametrize(
    ("radius", "what"),
    [
        ([[-1.0]], "goes from -1 to 0 px"),
        ([[70000.0]], "65533 px is possible"),
        ([[np.inf]], "65533 px is possible"),
        ([1.0], "1-dimensional"),
        ([["x"]], "numbers"),
        (np.zeros((0, 3)), "not possible"),
    ],
)
def test_radius_map_that_makes_no_sense_is_refused(radius: Any, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        RadialBins(radius)


def _single_ring(values: Sequence[float], dtype: str) -> Any:
    frame = np.array([values], dtype)
    return RadialStatistics(RadialBins(np.zeros((1, len(values))))), frame


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i4", "f4", "f8"])
def test_peak_is_clipped_off(dtype: str) -> None:
    statistics, frame = _single_ring([1, 2, 3, 2, 1, 3] * 20 + [200], dtype)
    found = statistics.background(frame, minimum_snr=3.0, threshold=1.0)
    assert found.mean.tolist() == [2.0]
    np.testing.assert_allclose(found.sigma, [np.sqrt(2 / 3)])
    np.testing.assert_allclose(found.threshold, [2 + 3 * np.sqrt(2 / 3)])
    assert found.n_pixels.tolist() == [120]


@pytest.mark.parametrize("dtype", ["u2", "f4"])
def test_pixels_below_the_least_threshold_are_never_clipped(dtype: str) -> None:
    statistics, frame = _single_ring([0.0] * 99 + [5.0], dtype)
    found = statistics.background(frame, minimum_snr=1.0, threshold=6.0)
    assert found.threshold.tolist() == [6.0]
    assert found.n_pixels.tolist() == [100]
    assert found.mean.tolist() == [0.05]


@pytest.mark.parametrize("dtype", ["u2", "f4"])
def test_ring_of_equal_pixels_clips_itself_away_every_other_time(dtype: str) -> None:
    """As in Cheetah: both limits equal the mean, and neither includes it; then all but zero return."""
    statistics, frame = _single_ring([3.0] * 10, dtype)
    for n_iterations, expected in ((4, ([0.0], [0], [LARGEST])), (5, ([3.0], [10], [3.0]))):
        found = statistics.background(frame, minimum_snr=5.0, threshold=1.0, n_iterations=n_iterations)
        assert (found.mean.tolist(), found.n_pixels.tolist(), found.threshold.tolist()) == expected


@pytest.mark.parametrize("dtype", ["u2", "f4"])
def test_ring_of_zeros_has_no_background_and_no_peaks(dtype: str) -> None:
    statistics, frame = _single_ring([0.0] * 10, dtype)
    found = statistics.background(frame, minimum_snr=5.0, threshold=0.0)
    assert (found.mean.tolist(), found.n_pixels.tolist(), found.threshold.tolist()) == ([0.0], [0], [LARGEST])


def test_masked_bin_is_empty_not_an_error() -> None:
    bins = RadialBins([[0.0, 1.0, 1.0]], mask=[[False, True, True]])
    found = RadialStatistics(bins).background(np.array([[4, 5, 6]], "u2"), minimum_snr=5.0, threshold=9.0)
    assert found.n_pixels.tolist() == [1, 0]
    assert found.mean.tolist() == [4.0, 0.0]
    assert found.threshold[1] == LARGEST


def test_nan_infinite_and_absurd_pixels_are_left_out() -> None:
    statistics, frame = _single_ring([1.0, 3.0, np.nan, np.inf, -np.inf, 1e12], "f8")
    found = statistics.profile(frame)
    assert (found.mean.tolist(), found.n_pixels.tolist()) == ([2.0], [2])


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i4", "f4"])
def test_profile_is_mean_and_spread_of_every_ring(dtype: str) -> None:
    random = np.random.default_rng(1)
    frame = random.poisson(60, (41, 37)).astype(dtype)
    bins = RadialBins(flat_radius_map(frame.shape, (20.0, 15.0)))
    found = RadialStatistics(bins).profile(frame)
    for b in range(bins.n_bins):
        ring = frame.ravel()[bins.bins == b].astype(np.float64)
        np.testing.assert_allclose(found.mean[b], ring.mean() if ring.size else 0.0, rtol=1e-12)
        np.testing.assert_allclose(found.sigma[b], ring.std() if ring.size else 0.0, rtol=1e-9, atol=1e-9)
        assert found.n_pixels[b] == ring.size


def test_sums_of_a_large_bright_ring_do_not_overflow_their_word() -> None:
    shape = (1000, 1100)
    bins = RadialBins(np.zeros(shape))
    found = RadialStatistics(bins).profile(np.full(shape, 65535, np.uint16))
    assert (found.mean[0], found.sigma[0]) == (65535.0, 0.0)
    below = RadialStatistics(bins).background(
        np.full(shape, 59, np.uint16), minimum_snr=1.0, threshold=1e6, n_iterations=1
    )
    assert (below.mean[0], below.sigma[0], below.n_pixels[0]) == (59.0, 0.0, shape[0] * shape[1])
    steps = np.arange(shape[0] * shape[1], dtype=np.uint32).reshape(shape) % 3000
    found = RadialStatistics(bins).profile(steps)
    np.testing.assert_allclose([found.mean[0], found.sigma[0]], [steps.mean(), steps.std()], rtol=1e-9)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"minimum_snr": np.nan}, "minimum_snr is nan"),
        ({"minimum_snr": -1}, "minimum_snr is -1"),
        ({"threshold": -0.1}, "threshold is -0.1"),
        ({"threshold": np.inf}, "threshold is inf"),
        ({"n_iterations": 0}, "n_iterations is 0"),
    ],
)
def test_rule_out_of_range_is_refused(options: dict[str, Any], what: str) -> None:
    statistics, frame = _single_ring([1.0], "u2")
    with pytest.raises(UsageError, match=what):
        statistics.background(frame, **{"minimum_snr": 5.0, "threshold": 1.0, **options})
