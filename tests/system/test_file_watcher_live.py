"""Files are told in milliseconds, each once, whatever becomes of the watchers."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from file_watching import WatchingRig, watching_rig
from glimt.codecs.cbf import decode_cbf
from glimt.services.file_watcher_streams import is_selected


def _pattern(rig: WatchingRig, n: int) -> dict[str, object]:
    return {"pattern": str(rig.folder / "c" / "sim_%05d.cbf"), "pattern-start": 1, "pattern-end": n}


def test_growing_file_is_told_when_it_is_whole(tmp_path: Path) -> None:
    with watching_rig(tmp_path) as rig:
        rig.start_service()
        rig.watch(_pattern(rig, 30))
        rig.start_collection(images=30, rate=20, writing="grow", grow_ms=30)
        n_read = 0
        while not rig.payloads("finally"):
            rig.receive()
            for payload in rig.payloads("every")[n_read:]:
                decode_cbf(Path(payload["file"]).read_bytes(), check_md5=True)
                n_read += 1
    assert rig.numbers("every") == list(range(1, 31))


def test_files_are_told_soon_while_others_wait_too(tmp_path: Path) -> None:
    # A machine that is busy for a moment is late once, a watcher that polls too rarely always.
    assert any(_median_late_s(tmp_path / str(attempt)) < 0.1 for attempt in range(3))


def _median_late_s(folder: Path) -> float:
    folder.mkdir()
    with watching_rig(folder) as rig:
        rig.start_service()
        for k in range(5):
            rig.watch({"list": [str(folder / f"never-{k}")]})
        rig.watch(_pattern(rig, 100))
        writer = rig.start_collection(images=100, rate=100)
        rig.receive_until_final()
        assert writer.wait(30) == 0
        written = {image["number"]: image["written_ns"] / 1e9 for image in rig.report()["images"]}
    late_s = [t - written[payload["file-number"]] for stream, payload, t in rig.told if stream == "every"]
    assert rig.numbers("every") == list(range(1, 101))
    return statistics.median(late_s)


def test_watchers_that_are_killed_lose_nothing_and_tell_nothing_twice(tmp_path: Path) -> None:
    with watching_rig(tmp_path) as rig:
        services = [rig.start_service(), rig.start_service("never")]
        rig.watch(_pattern(rig, 200) | {"burst-limit": 7})
        rig.watch(_pattern(rig, 200) | {"out-of-order": True})
        rig.start_collection(images=200, rate=50, reorder=5, late="20,70,120", late_by=0.7)
        began = time.monotonic()
        for k in range(4):
            while time.monotonic() < began + 1.0 * (k + 1):
                rig.receive()
            services[k].kill()
            services.append(rig.start_service(["auto", "never"][k % 2]))
        rig.receive_until_final(2)
    every = rig.numbers("every")
    assert sorted(every) == sorted([*range(1, 201)] * 2)
    assert sorted(rig.numbers("select-3")) == sorted([n for n in range(1, 201) if is_selected(n, 200, 3)] * 2)
    assert rig.payloads("finally") == [{"files-expected": 200, "files-seen": 200, "success": True}] * 2
