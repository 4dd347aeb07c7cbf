"""Files of a list: what is told of each, places without a name, the one that does not come."""

from __future__ import annotations

from pathlib import Path

from set_clock import BEGAN, Clock
from watch_rounds import Make


def test_list_tells_what_is_there_and_stops_at_a_place_without_name(tmp_path: Path, watch: Make) -> None:
    path = tmp_path / "a.nxs"
    path.touch()
    w = watch({"every": 11, "error": 17, "any": 18, "finally": 19}, list=[str(path), None, str(path)])
    assert w.round() == [
        ("every", {"file": str(path), "file-list-index": 1, "file-seen-at": BEGAN}),
        ("error", {"file": None, "file-list-index": 2, "success": False}),
        ("any", {"files-expected": 3, "files-seen": 1}),
        ("finally", {"files-expected": 3, "files-seen": 1, "success": False}),
    ]
    assert w.is_over


def test_list_without_a_name_is_a_success_of_nothing(watch: Make) -> None:
    w = watch(list=[None])
    assert w.round() == [("finally", {"files-expected": 0, "files-seen": 0, "success": True})]
    assert w.is_over


def test_list_with_an_empty_name_at_first_is_an_error(watch: Make) -> None:
    assert watch(list=["", None]).round() == [
        ("error", {"file": "", "file-list-index": 1, "success": False}),
        ("finally", {"files-expected": 2, "files-seen": 0, "success": False}),
    ]


def test_list_times_out_with_the_file_that_did_not_come(tmp_path: Path, watch: Make, clock: Clock) -> None:
    w = watch({"timeout": 16}, list=[str(tmp_path / "a.nxs")], timeout=5)
    w.round()
    clock.now += 6
    expected = {"file": str(tmp_path / "a.nxs"), "file-list-index": 1, "success": False}
    assert w.round() == [("timeout", expected)]
