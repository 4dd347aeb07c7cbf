"""Images are told while another process writes them, and each can be read when it is told."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import pytest

from file_watching import watching_rig
from glimt.sources.image_file import open_images

N_IMAGES = 60
RATE = 50


@pytest.mark.parametrize("notice", ["auto", "never"])
@pytest.mark.parametrize(
    "layout",
    [
        {"form": "nxmx-vds", "images_per_file": 25},
        {"form": "nxmx-vds", "parallel_files": 3},
        {"form": "nxmx-links", "images_per_file": 25},
        {"form": "nxmx-vds", "images_per_file": 25, "master_delay": 0.5},
    ],
    ids=lambda layout: "-".join(map(str, layout.values())),
)
def test_every_image_is_told_once_and_can_be_read_then(tmp_path: Path, layout: dict[str, Any], notice: str) -> None:
    master = tmp_path / "c" / "sim_master.h5"
    with watching_rig(tmp_path) as rig:
        rig.start_service(notice)
        rig.watch({"hdf5": str(master)})
        writer = rig.start_collection(images=N_IMAGES, rate=RATE, **layout)
        n_read = 0
        while n_read < N_IMAGES and not rig.payloads("finally"):
            rig.receive()
            told = rig.numbers("every")
            if len(told) > n_read:
                with open_images(master) as series:
                    for number in told[n_read:]:
                        assert series.read(number - 1).any()
                n_read = len(told)
        rig.receive_until_final()
        assert writer.wait(30) == 0
        report = rig.report()
    assert rig.numbers("every") == list(range(1, N_IMAGES + 1))
    assert rig.numbers("first") == [1]
    assert rig.numbers("last") == [N_IMAGES]
    assert rig.payloads("finally") == [{"images-expected": N_IMAGES, "images-seen": N_IMAGES, "success": True}]
    written = {image["number"]: image["written_ns"] / 1e9 for image in report["images"]}
    late_s = [received - written[payload["file-number"]] for stream, payload, received in rig.told if stream == "every"]
    if not layout.get("master_delay"):
        assert statistics.median(late_s) < 0.25  # Zocalo's watcher looks every second; on a busy machine, this much


def test_image_that_is_missing_ends_the_watch_after_its_timeout(tmp_path: Path) -> None:
    with watching_rig(tmp_path) as rig:
        rig.start_service()
        rig.watch({"hdf5": str(tmp_path / "c" / "sim_master.h5"), "timeout": 2, "timeout-first": 30})
        rig.start_collection(images=20, rate=RATE, form="nxmx-vds", drop="12")
        rig.receive_until_final()
    assert rig.numbers("every") == list(range(1, 13))
    assert [payload["hdf5-index"] for payload in rig.payloads("timeout")] == [12]
    assert rig.payloads("finally") == [{"images-expected": 20, "images-seen": 12, "success": False}]


def test_late_image_is_told_late_and_the_others_at_once_out_of_order(tmp_path: Path) -> None:
    with watching_rig(tmp_path) as rig:
        rig.start_service()
        rig.watch({"hdf5": str(tmp_path / "c" / "sim_master.h5"), "out-of-order": True})
        rig.start_collection(images=20, rate=RATE, form="nxmx-links", images_per_file=8, late="5", late_by=1)
        rig.receive_until_final()
    assert rig.numbers("every") == [n for n in range(1, 21) if n != 6] + [6]
    assert rig.payloads("finally")[0]["success"]
