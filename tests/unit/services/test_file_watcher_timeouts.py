"""Files that do not come in time, and clocks that are set meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from glimt.services.file_watcher_clock import read_stamp
from set_clock import Clock
from watch_rounds import Make, pattern, touch


def test_nothing_for_the_first_file_times_out_from_the_start(tmp_path: Path, watch: Make, clock: Clock) -> None:
    w = watch(**pattern(tmp_path, timeout=10, timeout_first="20"))
    w.round()
    clock.now += 20
    assert w.round() == []
    clock.now += 0.1
    assert w.round() == [
        (
            "timeout",
            {"file": str(tmp_path / "x_005.cbf"), "file-number": 1, "file-pattern-index": 5, "success": False},
        ),
        ("finally", {"files-expected": 3, "files-seen": 0, "success": False}),
    ]
    assert w.is_over


def test_nothing_for_a_later_file_times_out_from_the_last(tmp_path: Path, watch: Make, clock: Clock) -> None:
    w = watch({"any": 18, "timeout": 16, "finally": 19}, **pattern(tmp_path, timeout=10, timeout_first=1000))
    clock.now += 500
    w.round()
    touch(tmp_path, 5)
    w.round()
    clock.now += 9.9
    assert w.round() == []
    clock.now += 0.2
    assert [name for name, _ in w.round()] == ["timeout", "any", "finally"]


@pytest.mark.parametrize("jump_s", [3700.0, -3700.0])
def test_clock_that_is_set_ends_no_watch(tmp_path: Path, watch: Make, clock: Clock, jump_s: float) -> None:
    touch(tmp_path, 5)
    w = watch(**pattern(tmp_path, timeout=100))
    w.round()
    clock.set(jump_s)
    for _ in range(3):  # each by another instance, and the jump counts once
        clock.now += 33
        assert w.round() == []
    clock.now += 2
    assert [name for name, _ in w.round()] == ["timeout", "any", "finally"]


def test_clock_of_another_machine_is_taken_as_it_is(tmp_path: Path, watch: Make, clock: Clock) -> None:
    w = watch(**pattern(tmp_path, timeout=100))
    w.round()
    w.payload["filewatcher-status"]["glimt-clock"][0] = "another"
    clock.set(101)
    assert [name for name, _ in w.round()] == ["timeout", "finally"]


@pytest.mark.parametrize("stamp", [None, [], [1, 2], ["x", True], ["x", "y"], ["x", float("nan")], {}])
def test_clock_that_makes_no_sense_is_none(stamp: Any) -> None:
    assert read_stamp(stamp) is None


def test_file_that_came_in_time_is_told_however_late_the_round(tmp_path: Path, watch: Make, clock: Clock) -> None:
    w = watch({"every": 11, "timeout": 16}, **pattern(tmp_path, timeout=10))
    w.round()
    touch(tmp_path, 5)
    clock.now += 100
    assert [name for name, _ in w.round()] == ["every"]
    assert not w.is_over


@pytest.mark.parametrize(("as_info", "level"), [(True, "INFO"), ("false", "WARNING")])
def test_timeout_is_logged_as_the_recipe_says(
    tmp_path: Path, watch: Make, clock: Clock, caplog: pytest.LogCaptureFixture, as_info: Any, level: str
) -> None:
    w = watch(**pattern(tmp_path, timeout=1, log_timeout_as_info=as_info, expected_per_image_delay="0.5"))
    with caplog.at_level("INFO"):
        w.round()
        clock.now += 2
        w.round()
    record = next(record for record in caplog.records if "timeout after" in record.message)
    assert record.levelname == level
    assert record.__dict__["unexpected_delay"] == 2
