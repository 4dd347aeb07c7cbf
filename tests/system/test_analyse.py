"""``glimt analyse`` as users call it, and beside DIALS."""

from __future__ import annotations

import bz2
import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from glimt.app.analyse import analyse_images
from glimt.app.analyse_files import ImageGroup
from glimt.app.analyse_group import AnalysedImage, AnalysisOptions
from glimt.app.analyse_process import AnalysisProcess
from hdf5_masters import write_eiger_series
from module_masters import GEOMETRY, MODULE, N_MODULES, module_frames, write_module_master

GLIMT = [sys.executable, "-m", "glimt", "analyse"]
PYTHON_WITH_DIALS = "/usr/bin/python3"
PEER = Path(__file__).resolve().parents[1] / "peers" / "image_quality_dials.py"
ZOCALO = "algorithm=dispersion d_max=40"


@pytest.fixture(scope="module")
def scan(shared_data: Path) -> Path:
    return shared_data / "gridscan_thaumatin_pilatus6m"


def run(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*GLIMT, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.slow
def test_a_grid_scan_gives_the_numbers_of_dials(tmp_path: Path, scan: Path) -> None:
    asked = [PYTHON_WITH_DIALS, "-c", "import dials.algorithms.spot_finding.per_image_analysis"]
    if not Path(PYTHON_WITH_DIALS).exists() or subprocess.run(asked, capture_output=True).returncode:
        pytest.skip("DIALS is not installed (Debian: apt-get install python3-dials)")
    paths = []
    for number in (2, 9, 14, 15, 17):
        paths.append(tmp_path / f"thau_{number:04}.cbf")
        paths[-1].write_bytes(bz2.decompress((scan / f"thau_3_2_{number:04}.cbf.bz2").read_bytes()))
    peer = subprocess.run(
        [PYTHON_WITH_DIALS, PEER, "images", tmp_path / "theirs.json", *paths],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert peer.returncode == 0, peer.stderr[-2000:]
    theirs = json.loads((tmp_path / "theirs.json").read_text())
    done = run(*paths, "--json", "--spots", ZOCALO, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for ours, expected in zip(json.loads(done.stdout), theirs, strict=True):
        told = {name: value for name, value in ours.items() if name not in ("file", "image_number")}
        # The bar is 1 %; spots, geometry, parallax and rules are the same, so the numbers are.
        assert told == pytest.approx({name: expected["statistics"][name] for name in told}, rel=1e-6)
    assert [one["image_number"] for one in json.loads(done.stdout)] == [2, 9, 14, 15, 17]


def test_table_csv_and_picture_agree(tmp_path: Path, scan: Path) -> None:
    images = [scan / f"thau_3_2_00{number}.cbf.bz2" for number in (14, 15, 16)]
    table = run(*images, "--plot", "scan.png", cwd=tmp_path)
    assert table.returncode == 0, table.stderr
    assert "3 images, none failed" in table.stderr
    assert (tmp_path / "scan.png").read_bytes().startswith(b"\x89PNG")
    rows = list(csv.DictReader(io.StringIO(run(*images, "--csv", cwd=tmp_path).stdout)))
    lines = table.stdout.splitlines()[2:]
    assert [row["image_number"] for row in rows] == ["14", "15", "16"]
    for row, line in zip(rows, lines, strict=True):
        assert line.split()[:4] == [
            Path(row["file"]).name,
            row["image_number"],
            row["n_spots_total"],
            row["n_spots_no_ice"],
        ]
    assert rows[2]["estimated_d_min"] == "-1.0"
    assert lines[2].split()[-5:] == ["-"] * 5


def test_an_eiger_master_is_read_with_its_data_files(tmp_path: Path) -> None:
    master, pixels = write_eiger_series(tmp_path, [3, 2])
    done = run(tmp_path, "--json", "--processes", "2", cwd=tmp_path)
    found = json.loads(done.stdout)
    assert [one["image_number"] for one in found] == list(range(len(pixels)))
    assert {one["file"] for one in found} == {str(master)}
    assert {one["n_spots_total"] for one in found} == {0}  # even frames
    (tmp_path / "scan_data_000002.h5").unlink()
    done = run(master, "--json", cwd=tmp_path)
    assert done.returncode == 1
    told = [one.get("error", "") for one in json.loads(done.stdout)]
    assert told[:3] == ["", "", ""]
    assert len(told) == 5
    assert all("scan_data_000002.h5 is missing" in error for error in told[3:])


def test_a_geometry_file_brings_its_panels_and_its_mask(tmp_path: Path) -> None:
    write_module_master(tmp_path / "run.h5", module_frames(4), n_described=0)
    assert "have modules" in json.loads(run("run.h5", "--json", cwd=tmp_path).stdout)[0]["error"]
    plane = np.zeros((N_MODULES, *MODULE), np.uint8)
    plane[1:] = 1
    with h5py.File(tmp_path / "mask.h5", "w") as file:
        file["mask"] = plane
    (tmp_path / "d.geom").write_text(GEOMETRY)
    (tmp_path / "m.geom").write_text("mask_file = mask.h5\nmask = /mask\nmask_bad = 0x1\n" + GEOMETRY)
    n_spots = {}
    for name in ("d", "m"):
        done = run("run.h5", "--json", "--processes", "2", "--geometry", f"{name}.geom", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        n_spots[name] = [one["n_spots_total"] for one in json.loads(done.stdout)]
    assert all(0 < few < 0.6 * many for few, many in zip(n_spots["m"], n_spots["d"], strict=True))
    (tmp_path / "mask.h5").unlink()
    done = run("run.h5", "--geometry", "m.geom", cwd=tmp_path)
    assert done.returncode == 1
    assert "mask.h5: such names count from the working directory), and there is no such file" in done.stdout


def test_bad_images_are_rows_and_exit_code_1(tmp_path: Path, scan: Path) -> None:
    whole = bz2.decompress((scan / "thau_3_2_0015.cbf.bz2").read_bytes())
    (tmp_path / "a_1.cbf").write_bytes(whole[:200_000])
    (tmp_path / "a_2.cbf").write_bytes(whole)
    (tmp_path / "a_4.cbf").write_bytes(b"no image")
    done = run("a_#.cbf", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()[2:]
    assert ["error:" in line for line in lines] == [True, False, True, True]
    assert "4 images, 3 failed" in done.stderr
    as_json = json.loads(run("a_#.cbf", "--json", "--processes", "2", cwd=tmp_path).stdout)
    assert ["error" in one for one in as_json] == [True, False, True, True]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("missing.cbf",), "missing.cbf: no such file"),
        (("x.cbf", "--json", "--csv"), "exclude each other"),
        (("x.cbf", "--spots", "sigma=3"), "is no option for spots"),
        (("x.cbf", "--plot", "scan.gif"), "a picture's name ends in"),
        (("x.cbf", "--plot", "nowhere/scan.png"), "there is no folder nowhere"),
        (("x.cbf", "--mask", "mask.txt"), "a mask is read from"),
        (("x.cbf", "--geometry", "none.geom"), "geometry file none.geom cannot be read"),
        (("x.cbf", "--geometry", "a.geom", "--poni", "a.poni"), "both say where pixels are"),
        (("x.cbf", "--processes", "0"), "0 processes"),
        ((".",), "has no image files"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, arguments: tuple[str, ...], text: str) -> None:
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert text in done.stderr
    assert done.stderr.startswith("glimt: ")
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_a_process_that_dies_costs_one_image(tmp_path: Path, scan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a damaged HDF5 file can kill it: the first chunk's process is killed from outside, and the run goes on."""
    killed: list[int] = []
    give = AnalysisProcess.give

    def give_and_kill(self: AnalysisProcess, chunk: tuple[int, int, int]) -> None:
        give(self, chunk)
        if not killed:
            killed.append(self._process.pid or 0)
            os.kill(killed[0], signal.SIGKILL)

    monkeypatch.setattr(AnalysisProcess, "give", give_and_kill)
    found: list[AnalysedImage] = []
    images = [scan / f"thau_3_2_00{number}.cbf.bz2" for number in (15, 16, 17, 18)]
    report = analyse_images(images, found.append, n_processes=2)
    assert report.n_failed == 1
    assert [image.image_number for image in found] == [15, 16, 17, 18]
    (failed,) = [image for image in found if image.quality is None]
    assert "ended the process (exit code -9)" in failed.error


def test_processes_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    process = AnalysisProcess([ImageGroup(("missing.cbf",), (1,))], AnalysisOptions())
    assert process.receive() is None
    process.give((0, 0, 1))
    image = process.receive()
    assert image is not None
    assert "missing.cbf" in image.error
    assert process.end() == 0


def test_ctrl_c_ends_it_with_what_is_known(tmp_path: Path, scan: Path) -> None:
    with subprocess.Popen(
        [*GLIMT, str(scan), "--csv"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert running.stdout.readline().startswith("file,")
        running.stdout.readline()
        running.send_signal(signal.SIGINT)
        began = time.monotonic()
        assert running.wait(timeout=60) == 130
        assert time.monotonic() - began < 20
        assert "Traceback" not in running.stderr.read()


def test_the_workers_analyze_a_live_detector_and_write_a_file(tmp_path: Path) -> None:
    """The ready-made worker and reducer by their names, on a recording of a simulated detector."""
    done = subprocess.run(
        [sys.executable, "-m", "glimt", "demo", "--recorded", "--frames", "20", "--no-open", "--folder", str(tmp_path)],
        cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    capture = tmp_path / "powder.cbors"
    values: list[dict[str, Any]] = [
        {"name": "filename", "data": str(tmp_path / "regions.h5")},
        {"name": "regions", "data": json.dumps([{"name": "all", "slow": [0, 512], "fast": [0, 512]}])},
    ]
    (tmp_path / "parameters.json").write_text(json.dumps(values))
    done = subprocess.run(
        [sys.executable, "-m", "glimt", "replay", "-w", "glimt.pipeline.workers:RegionsWorker", "-r",
         "glimt.app.analyse_reducer:FileReducer", "-f", str(capture), "-p", str(tmp_path / "parameters.json")],
        cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with h5py.File(tmp_path / "regions.h5") as file:
        assert (file["all/total"][1:21] > 0).all()
