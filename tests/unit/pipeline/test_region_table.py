"""Points of several regions as one table."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from glimt.model.errors import UsageError
from glimt.pipeline import region_table
from glimt.pipeline.region_table import joined_points

NAN = float("nan")


def points(*rows: tuple[float, float, float]) -> np.ndarray:
    return np.array(rows, np.float64).reshape(-1, 3)


def test_values_of_one_reading_and_event_are_one_row() -> None:
    a = points((1, 10, 0.5), (2, 12, 0.6), (3, 14, 0.7))
    b = points((2, 12, 60), (3, 14, 70), (3, 15, 71))
    expected = [[1, 10, 0.5, NAN], [2, 12, 0.6, 60], [3, 14, 0.7, 70], [3, 15, NAN, 71]]
    np.testing.assert_array_equal(joined_points([a, b]), expected)


def test_scans_that_count_their_events_anew_are_kept_apart() -> None:
    a = points((1, 0, 1), (2, 1, 2), (9, 0, 3))
    b = points((1, 0, 10), (9, 0, 30))
    np.testing.assert_array_equal(joined_points([a, b]), [[1, 0, 1, 10], [2, 1, 2, NAN], [9, 0, 3, 30]])


def test_points_without_event_numbers_are_joined_by_time_and_order() -> None:
    a = points((1, NAN, 1), (1, NAN, 2), (1, NAN, 3))
    b = points((1, NAN, 20), (1, NAN, 30))
    np.testing.assert_array_equal(joined_points([a, b]), [[1, NAN, 1, NAN], [1, NAN, 2, 20], [1, NAN, 3, 30]])


def test_no_regions_and_empty_ones_are_a_table_without_rows() -> None:
    assert joined_points([]).shape == (0, 2)
    assert joined_points([points(), points()]).shape == (0, 4)
    np.testing.assert_array_equal(joined_points([points(), points((1, 2, 3))]), [[1, 2, NAN, 3]])


FEW = st.sampled_from([0.0, 1.0, 2.0, NAN])


@given(st.lists(st.integers(0, 6).flatmap(lambda n: arrays(np.float64, (n, 3), elements=FEW)), max_size=4))
def test_every_value_is_in_one_row_of_its_own_time_and_event(series: list[np.ndarray]) -> None:
    for each in series:
        each[:, 0] = np.sort(np.nan_to_num(each[:, 0]))
    table = joined_points(series)
    for column, each in enumerate(series, 2):
        given_rows = sorted(map(repr, each[~np.isnan(each[:, 2])].tolist()))
        found = table[:, [0, 1, column]]
        assert sorted(map(repr, found[~np.isnan(found[:, 2])].tolist())) == given_rows


def test_a_table_that_does_not_fit_in_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(region_table, "MAX_ELEMENTS", 30)
    apart = [points(*((i + 100 * k, i, 1) for i in range(3))) for k in range(3)]
    with pytest.raises(UsageError, match="9 points of 3 regions are too many for one table; save one region"):
        joined_points(apart)
    with pytest.raises(UsageError, match="too many"):
        joined_points([points(*((i, i, 1) for i in range(31)))])


def test_many_long_curves_are_joined_in_seconds() -> None:
    n = 100_000
    rows = np.stack([np.arange(n) * 0.1, np.arange(n), np.arange(n)], axis=1)
    began = time.monotonic()
    table = joined_points([rows] * 20)
    assert table.shape == (n, 22)
    assert time.monotonic() - began < 20
