"""Pump and probe."""

from __future__ import annotations

import math

import numpy as np
import pytest

from glimt.web.page_region import Split
from glimt.web.page_split import split_of


def test_on_and_off_have_means_errors_and_a_difference() -> None:
    value = np.array([1.0, 2.0, 3.0, 10.0, 14.0, math.nan, 99.0])
    on = np.array([0.0, 0.0, 0.0, 1.0, 1.0, 1.0, math.nan])
    found = split_of(Split(on="/laser"), value, on, None)
    assert found["on"] == {"mean": 12.0, "n": 2, "error": pytest.approx(2.0)}
    assert found["off"] == {"mean": 2.0, "n": 3, "error": pytest.approx(1 / math.sqrt(3))}
    assert found["difference"] == 10.0
    assert found["difference_error"] == pytest.approx(math.hypot(2.0, 1 / math.sqrt(3)))
    assert found["bins"] is None


def test_delays_are_binned_with_mean_number_and_standard_error() -> None:
    random = np.random.default_rng(3)
    delay = random.uniform(-1.2, 1.2, 5000)
    value = 1e6 + np.where(delay > 0, 5.0, 0.0) + random.normal(0, 0.1, 5000)
    bins = split_of(Split(delay="/d", low=-1.0, high=1.0, n_bins=4), value, None, delay)["bins"]
    assert bins["edges"] == [-1.0, -0.5, 0.0, 0.5, 1.0]
    for i, (low, high) in enumerate(zip(bins["edges"], bins["edges"][1:], strict=False)):
        inside = value[(delay >= low) & (delay < high)]
        assert bins["on"]["n"][i] == inside.size
        assert bins["on"]["mean"][i] == pytest.approx(inside.mean(), rel=1e-12)
        assert bins["on"]["error"][i] == pytest.approx(inside.std(ddof=1) / math.sqrt(inside.size), rel=1e-6)
    assert bins["off"]["n"] == [0, 0, 0, 0]


def test_the_last_edge_belongs_to_the_last_bin_and_one_point_has_no_error() -> None:
    bins = split_of(Split(delay="/d", n_bins=2), np.array([4.0]), None, np.array([1.0]))["bins"]
    assert bins["on"] == {"mean": [None, 4.0], "n": [0, 1], "error": [None, None]}


def test_nothing_at_all_is_no_mean() -> None:
    found = split_of(Split(on="/laser"), np.zeros(0), np.zeros(0), None)
    assert found["on"] == {"mean": None, "n": 0, "error": None}
    assert found["difference"] is None
