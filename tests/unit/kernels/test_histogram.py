from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from glimt.kernels.histogram import ValueHistogram
from glimt.model.errors import UsageError


def test_values_are_counted_in_half_open_bins() -> None:
    found = ValueHistogram((1, 6), low=0, high=3, n_bins=3).measure(np.array([[0, 1, 1, 2, 3, 9]], np.uint16))
    assert found.counts.tolist() == [1, 2, 1]
    assert (found.n_below, found.n_above, found.n_nan) == (0, 2, 0)


@pytest.mark.parametrize("dtype", ["i4", "f4", "f8"])
def test_wide_bins_and_negative_values(dtype: str) -> None:
    frame = np.array([[-6, -5, 0, 4, 5, 14]], dtype)
    found = ValueHistogram((1, 6), low=-5, high=15, n_bins=2).measure(frame)
    assert found.counts.tolist() == [3, 2]
    assert found.n_below == 1


def test_value_on_a_rounded_edge_belongs_above() -> None:
    histogram = ValueHistogram((1, 1), low=0.0, high=0.7, n_bins=7)
    for b, edge in enumerate(histogram.edges[:-1]):
        assert histogram.measure([[edge]]).counts[b] == 1
        if b:
            assert histogram.measure([[np.nextafter(edge, -1)]]).counts[b - 1] == 1


def test_missing_infinite_and_masked_pixels() -> None:
    frame = [[np.nan, np.inf, -np.inf, 0.5, 0.5]]
    found = ValueHistogram((1, 5), low=0, high=1, n_bins=1, mask=[[0, 0, 0, 0, 1]]).measure(frame)
    assert found.counts.tolist() == [1]
    assert (found.n_below, found.n_above, found.n_nan) == (1, 1, 1)


def test_second_frame_does_not_remember_the_first() -> None:
    histogram = ValueHistogram((1, 2), low=0, high=2, n_bins=2)
    assert histogram.measure([[0, 1]]).counts.tolist() == [1, 1]
    assert histogram.measure([[0, 0]]).counts.tolist() == [2, 0]


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"high": 0}, "do not fit between 0 and 0"),
        ({"high": -1}, "edges have to grow"),
        ({"high": np.nan}, "high is nan"),
        ({"low": 1.0, "high": 1.0 + 1e-15, "n_bins": 100}, "do not fit"),
        ({"n_bins": 0}, "n_bins is 0"),
        ({"n_bins": 10**9}, "n_bins is 1000000000"),
        ({"mask": np.zeros(4)}, "mask has shape"),
    ],
)
def test_argument_that_makes_no_sense_is_refused(options: dict[str, Any], what: str) -> None:
    with pytest.raises(UsageError, match=what):
        ValueHistogram((2, 2), **{"low": 0, "high": 10, "n_bins": 10, **options})
