"""Files of a pattern: which streams each is told to, gaps, out of order, when a file counts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from glimt.services.file_watcher_clock import machine
from set_clock import BEGAN, Clock
from watch_rounds import Make, make_service, pattern, touch


def test_pattern_tells_every_stream_in_zocalos_order(tmp_path: Path, watch: Make) -> None:
    touch(tmp_path, 5, 6, 7)
    told = watch(**pattern(tmp_path, "5", "7")).round()
    item = [
        {
            "file": str(tmp_path / f"x_{4 + n:03d}.cbf"),
            "file-number": n,
            "file-pattern-index": 4 + n,
            "file-seen-at": BEGAN,
        }
        for n in (1, 2, 3)
    ]
    counts = {"files-expected": 3, "files-seen": 3}
    assert told == [
        *((name, item[0]) for name in ("first", "every", "select-2", "every-2")),
        *((name, item[1]) for name in ("every", "2")),
        *((name, item[2]) for name in ("every", "last", "select-2", "every-2")),
        ("any", counts),
        ("finally", counts | {"success": True}),
    ]


def test_file_behind_a_gap_is_not_told(tmp_path: Path, watch: Make) -> None:
    touch(tmp_path, 5, 7)
    w = watch({"every": 11}, **pattern(tmp_path))
    assert [payload["file-number"] for _, payload in w.round()] == [1]
    assert w.payload == {
        "filewatcher-status": {
            "seen-files": 1,
            "start-time": BEGAN,
            "last-seen": BEGAN,
            "glimt-first-seen": BEGAN,
            "glimt-clock": [machine(), BEGAN],
        }
    }
    assert w.round() == []
    touch(tmp_path, 6)
    assert [payload["file-number"] for _, payload in w.round()] == [2, 3]
    assert w.is_over


def test_out_of_order_each_file_is_told_once_with_its_own_number(tmp_path: Path, watch: Make) -> None:
    w = watch(**pattern(tmp_path, 1, 6, out_of_order="true"))
    arrivals: tuple[list[int], ...] = ([4], [], [1, 2], [6], [5], [3])
    told: list[tuple[str, Any]] = []
    for numbers in arrivals:
        touch(tmp_path, *numbers)
        told += w.round()
    assert w.is_over
    every = [payload for name, payload in told if name == "every"]
    assert [payload["file-number"] for payload in every] == [4, 1, 2, 6, 5, 3]
    assert all(payload["file"].endswith(f"x_{payload['file-number']:03d}.cbf") for payload in every)
    assert [payload["file-number"] for name, payload in told if name == "select-2"] == [1, 6]
    assert [payload["file-number"] for name, payload in told if name == "last"] == [6]
    assert told[-1] == ("finally", {"files-expected": 6, "files-seen": 6, "success": True})


def test_out_of_order_status_is_compact(tmp_path: Path, watch: Make) -> None:
    touch(tmp_path, *range(2, 900))
    w = watch(**pattern(tmp_path, 1, 1000, out_of_order=True, burst_limit=1000))
    assert sum(name == "every" for name, _ in w.round()) == 898
    assert w.payload["filewatcher-status"]["glimt-seen-beyond"] == [[1, 899]]
    assert w.round() == []


def test_site_may_choose_out_of_order_for_all_and_a_recipe_may_refuse(
    tmp_path: Path, watch: Make, clock: Clock
) -> None:
    touch(tmp_path, 6)
    service = make_service(tmp_path, clock, out_of_order=True)
    assert len(watch({"every": 11}, **pattern(tmp_path)).round(service)) == 1
    assert watch({"every": 11}, **pattern(tmp_path, out_of_order=False)).round(service) == []


def test_file_that_has_to_settle_is_told_later(tmp_path: Path, watch: Make, clock: Clock) -> None:
    touch(tmp_path, 5, 6)
    (tmp_path / "x_005.cbf").write_bytes(b"x")
    for number in (5, 6):
        os.utime(tmp_path / f"x_{number:03d}.cbf", (BEGAN, BEGAN))
    w = watch({"every": 11}, **pattern(tmp_path, settle="2"))
    assert w.round() == []
    clock.now += 2
    assert [payload["file-number"] for _, payload in w.round()] == [1]  # and an empty one does not count


def test_folder_of_that_name_is_no_file(tmp_path: Path, watch: Make) -> None:
    (tmp_path / "x_005.cbf").mkdir()
    assert watch(**pattern(tmp_path)).round() == []
