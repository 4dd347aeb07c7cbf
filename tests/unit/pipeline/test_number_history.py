"""History of numbers."""

from __future__ import annotations

import math

import numpy as np

from glimt.pipeline.number_history import CAPACITY, NumberHistories, NumberSeries, thinned


def test_a_full_series_thins_its_older_half_and_keeps_the_newer_one() -> None:
    series = NumberSeries(capacity=1000)
    for i in range(10_000):
        series.add(i, i, i)
    values = series.points[:, 2]
    assert len(series) <= 1000
    assert series.n_added == 10_000
    np.testing.assert_array_equal(values[-400:], np.arange(9600, 10_000))
    assert (np.diff(values) > 0).all()
    assert values[0] < 5000


def test_since_gives_what_was_added_after() -> None:
    series = NumberSeries()
    for i in range(10):
        series.add(i, i, i * 2)
    assert series.since(7)[:, 2].tolist() == [14, 16, 18]
    assert series.since(10).shape == (0, 3)
    assert len(series.since(0)) == 10


def test_since_is_right_after_thinning() -> None:
    series = NumberSeries(capacity=8)
    for i in range(9):
        series.add(i, i, i)
    assert series.since(6)[:, 2].tolist() == [6, 7, 8]
    assert series.since(0)[:, 2].tolist() == series.points[:, 2].tolist()


def test_a_reset_begins_a_new_epoch_with_the_points_given() -> None:
    series = NumberSeries(capacity=5)
    series.add(1, 1, 1)
    series.reset(np.arange(30.0).reshape(10, 3))
    assert (series.epoch, len(series), series.n_added) == (1, 5, 5)
    series.add(0, 0, 42)
    assert series.points[-1, 2] == 42


def test_thinned_points_end_with_the_newest() -> None:
    points = np.arange(30_000.0).reshape(-1, 3)
    found = thinned(points, 100)
    assert len(found) == 100
    assert found[-1].tolist() == points[-1].tolist()


def test_only_changes_make_points_and_nan_is_equal_to_itself() -> None:
    histories = NumberHistories()
    assert histories.add({"/a": 1.0, "/b": math.nan}, 1.0, None)
    assert not histories.add({"/a": 1.0, "/b": math.nan}, 2.0, 5)
    assert histories.add({"/a": 2.0, "/b": math.nan}, 3.0, 6)
    assert histories.series["/a"].points[:, 2].tolist() == [1.0, 2.0]
    assert math.isnan(histories.series["/a"].points[0, 1])
    assert len(histories.series["/b"]) == 1


def test_memory_of_many_series_is_bounded() -> None:
    histories = NumberHistories()
    histories.add({f"/{i}": float(i) for i in range(2000)}, 1.0, 1)
    assert len(histories.series) == 1000
    assert sum(series.capacity for series in histories.series.values()) * 3 <= 15_000_000
    assert NumberSeries().capacity == CAPACITY
