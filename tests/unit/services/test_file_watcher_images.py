"""Images of an HDF5 file: told with their place, waited for while a file of links is missing or half there."""

from __future__ import annotations

from pathlib import Path

from glimt.services.file_watcher_clock import machine
from hdf5_masters import frames, write_data, write_eiger_series
from set_clock import BEGAN, Clock
from watch_rounds import Make


def test_images_of_links_are_told_with_their_place_in_the_file(tmp_path: Path, watch: Make) -> None:
    master, _ = write_eiger_series(tmp_path, [2, 1])
    w = watch({"first": 10, "every": 11, "select-2": 14, "any": 18, "finally": 19}, hdf5=str(master))
    told = w.round()
    item = {
        "hdf5": str(master),
        "hdf5-index": 1,
        "file": str(master),
        "file-number": 2,
        "file-seen-at": BEGAN,
        "parameters": {"scan_range": "2,2"},
    }
    assert [name for name, _ in told] == [
        *("first", "every", "select-2"), "every", *("every", "select-2"), "any", "finally",
    ]  # fmt: skip
    assert told[3] == ("every", item)
    assert told[-1] == ("finally", {"images-expected": 3, "images-seen": 3, "success": True})
    assert w.is_over


def test_images_of_a_file_that_is_missing_are_waited_for(tmp_path: Path, watch: Make, clock: Clock) -> None:
    master, _ = write_eiger_series(tmp_path, [2, 2, 1])
    second = tmp_path / "scan_data_000002.h5"
    second.rename(tmp_path / "elsewhere")
    w = watch({"every": 11, "timeout": 16, "finally": 19}, hdf5=str(master), timeout=5)
    assert [payload["hdf5-index"] for _, payload in w.round()] == [0, 1]
    assert w.payload["filewatcher-status"] == {
        "seen-images": 2,
        "image-count": 5,
        "start-time": BEGAN,
        "last-seen": BEGAN,
        "glimt-first-seen": BEGAN,
        "glimt-clock": [machine(), BEGAN],
    }
    assert w.round() == []
    (tmp_path / "elsewhere").rename(second)
    assert [payload["hdf5-index"] for name, payload in w.round() if name == "every"] == [2, 3, 4]


def test_images_of_a_file_that_never_comes_time_out(tmp_path: Path, watch: Make, clock: Clock) -> None:
    path = str(tmp_path / "none.nxs")
    w = watch(hdf5=path, timeout=5)
    assert w.round() == []
    assert w.payload["filewatcher-status"] == {
        "seen-images": 0,
        "start-time": BEGAN,
        "image-count": None,
        "glimt-clock": [machine(), BEGAN],
    }
    clock.now += 6
    assert w.round() == [
        ("timeout", {"file": path, "hdf5-index": 0, "success": False}),
        ("finally", {"images-expected": None, "images-seen": 0, "success": False}),
    ]


def test_half_a_file_is_not_there_yet(tmp_path: Path, watch: Make) -> None:
    whole = tmp_path / "whole.h5"
    write_data(whole, frames(2))
    path = tmp_path / "half.h5"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    w = watch({"every": 11}, hdf5=str(path))
    assert w.round() == []
    path.write_bytes(whole.read_bytes())
    assert len(w.round()) == 2
