"""Pump and probe."""

from __future__ import annotations

import math

import numpy as np
import pytest

from glimt.kernels.pump_probe import pump_probe


def test_on_and_off_have_means_errors_and_a_difference() -> None:
    value = np.array([1.0, 2.0, 3.0, 10.0, 14.0, math.nan, 99.0])
    on = np.array([0.0, 0.0, 0.0, 1.0, 1.0, 1.0, math.nan])
    found = pump_probe(value, on)
    assert (found.on.mean, found.on.n) == (12.0, 2)
    assert (found.off.mean, found.off.n) == (2.0, 3)
    assert found.on.error == pytest.approx(2.0)
    assert found.off.error == pytest.approx(1 / math.sqrt(3))
    assert found.difference == 10.0
    assert found.difference_error == pytest.approx(math.hypot(2.0, 1 / math.sqrt(3)))
    assert found.bins is None


def test_delays_are_binned_with_mean_number_and_standard_error() -> None:
    random = np.random.default_rng(3)
    delay = random.uniform(-1.2, 1.2, 5000)
    value = 1e6 + np.where(delay > 0, 5.0, 0.0) + random.normal(0, 0.1, 5000)
    bins = pump_probe(value, delay=delay, low=-1.0, high=1.0, n_bins=4).bins
    assert bins is not None
    assert bins.edges == [-1.0, -0.5, 0.0, 0.5, 1.0]
    for i, (low, high) in enumerate(zip(bins.edges, bins.edges[1:], strict=False)):
        inside = value[(delay >= low) & (delay < high)]
        assert bins.on.n[i] == inside.size
        assert bins.on.mean[i] == pytest.approx(inside.mean(), rel=1e-12)
        assert bins.on.error[i] == pytest.approx(inside.std(ddof=1) / math.sqrt(inside.size), rel=1e-6)
    assert bins.off.n == [0, 0, 0, 0]


def test_the_last_edge_belongs_to_the_last_bin_and_one_point_has_no_error() -> None:
    bins = pump_probe(np.array([4.0]), delay=np.array([1.0]), n_bins=2).bins
    assert bins is not None
    np.testing.assert_array_equal(bins.on.mean, [math.nan, 4.0])
    np.testing.assert_array_equal(bins.on.error, [math.nan, math.nan])
    assert bins.on.n == [0, 1]


def test_nothing_at_all_is_no_mean() -> None:
    found = pump_probe(np.zeros(0), np.zeros(0))
    assert found.on.n == 0
    assert math.isnan(found.on.mean)
    assert math.isnan(found.difference)
    assert math.isnan(found.difference_error)
