"""``glimt demo``: live until stopped, and recorded from nothing to a picture."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from glimt.cli.demo.picture import SIZE_PX
from glimt.sim.scattering import MOVING_RING, RING_WIDTH

GLIMT = [sys.executable, "-m", "glimt"]


def run(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*GLIMT, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder in which the demonstration has run, and what it printed."""
    folder = tmp_path_factory.mktemp("demo")
    (folder / "demo").mkdir()
    (folder / "demo" / "mine.txt").write_text("mine")
    done = run("demo", "--recorded", "--frames", 60, "--shape", "256x300", "--no-open", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return folder, done.stdout


def test_it_says_what_it_does_in_a_line_each(demo: tuple[Path, str]) -> None:
    lines = demo[1].splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["simulate", "record", "analyze", "draw"]
    assert "62 events over ZeroMQ, 9.2 MB" in lines[1]
    assert "61 results" in lines[2]
    assert all(len(line) < 120 for line in lines[:4])


def test_it_writes_its_own_files_and_leaves_others_alone(demo: tuple[Path, str]) -> None:
    assert sorted(path.name for path in (demo[0] / "demo").iterdir()) == [
        "mine.txt",
        "powder.cbors",
        "powder.png",
        "powder_parameters.json",
        "powder_processed.h5",
    ]


def test_the_results_follow_the_ring(demo: tuple[Path, str]) -> None:
    with h5py.File(demo[0] / "demo" / "powder_processed.h5") as file:
        present = file["entry/present/intensity"][:]
        assert present.nonzero()[0].tolist() == list(range(1, 61))
        assert file["entry/process/complete"][()]
        q = file["q"][:]
        intensity = file["intensity"][1:]
        region = file["region_mean"][1:]
    empty, full = MOVING_RING
    between = (q > full - 3 * RING_WIDTH) & (q < empty + 3 * RING_WIDTH)
    found = q[between][intensity[:, between].argmax(axis=1)]
    phase = np.arange(60) / 60
    expected = empty + (full - empty) * 0.5 * (1 - np.cos(2 * np.pi * phase))
    np.testing.assert_allclose(found, expected, atol=0.025)
    assert region.max() > 3 * region.min()


def test_the_picture_has_the_size_promised_and_is_not_empty(demo: tuple[Path, str]) -> None:
    from matplotlib.image import imread

    picture = imread(demo[0] / "demo" / "powder.png")
    assert picture.shape[:2] == SIZE_PX[::-1]
    assert picture[..., :3].std() > 0.1


def test_the_command_it_recommends_works_and_gives_the_same_results(demo: tuple[Path, str]) -> None:
    folder, printed = demo
    command = shlex.split(next(line for line in printed.splitlines() if " replay " in line))
    arguments = command[command.index("replay") :]
    assert arguments[-3:] == ["--port", "5000", "--keep-alive"]
    with h5py.File(folder / "demo" / "powder_processed.h5") as file:
        before = file["intensity"][:]
    done = run(*arguments[:-3], "--nworkers", 2, cwd=folder)
    assert done.returncode == 0, done.stderr
    with h5py.File(folder / "demo" / "powder_processed.h5") as file:
        np.testing.assert_array_equal(file["intensity"][:], before)


def test_parameters_of_the_example_are_those_it_describes(demo: tuple[Path, str]) -> None:
    from glimt.cli.demo.analysis import PowderWorker

    given = {entry["name"] for entry in json.loads((demo[0] / "demo" / "powder_parameters.json").read_text())}
    assert given == {parameter.name for parameter in PowderWorker.describe_parameters()}


def test_it_says_so_where_matplotlib_is_missing(tmp_path: Path) -> None:
    (tmp_path / "matplotlib.py").write_text("raise ModuleNotFoundError('No module', name='matplotlib')\n")
    done = subprocess.run(
        [*GLIMT, "demo", "--recorded", "--frames", "2", "--shape", "32x32", "--no-open"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "no picture, for matplotlib is not installed: pip install glimt[plot]" in done.stdout
    assert not (tmp_path / "demo" / "powder.png").exists()


def test_a_folder_that_cannot_be_one_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("demo", "--recorded", "--folder", "file", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("glimt: cannot write file/powder_parameters.json")
    assert len(done.stderr.splitlines()) == 1


def test_live_it_follows_two_devices_and_accounts_for_every_packet(tmp_path: Path) -> None:
    options = ["--frames", 60, "--rate", 60, "--shape", "128x150", "--scans", 1, "--port", 0, "--view-port", 0]
    done = run("demo", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stderr.splitlines()
    assert "demo: a 128 x 150 detector and an electrometer at 60 Hz" in lines
    assert any(line.startswith("glimt: live view on http://127.0.0.1:") for line in lines)
    for stream in ("detector", "i0"):
        (account,) = [line for line in lines if line.startswith(f"{stream}: ")]
        assert " + 0 failed + " in account
        assert account.endswith(" + 0 pending; 0 missing")
        assert int(account.split(" = ")[1].split()[0]) >= 62
    assert any(line.startswith("demo: look at it on http://127.0.0.1:") for line in lines)
    files = {path.name for path in (tmp_path / "demo").iterdir() if path.is_file()}
    assert files == {"beamline.toml", "glimt-page.json"}
