"""The dranspose tutorial, every stage from its own code blocks, imports included, against its own capture.

The blocks are extracted from the requirement document that lies beside the checkout, and run with the installed
``glimt`` command, as a user would.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

DOCUMENT = "requirements/003_3f46ff05e5bd2a80.txt"

# The stages of the text: which worker block goes with which reducer block.
STAGES = {
    "skeletons": (0, 1),
    "printing events": (2, 1),
    "parsing": (3, 1),
    "mean": (4, 1),
    "reducer": (4, 5),
    "dictionary results": (7, 5),
    "dataclass results": (8, 9),
    "file writing": (8, 10),
    "parameters": (11, 10),
    "azimuthal integration": (13, 10),
    "writing the diffractograms": (13, 14),
}

MEANS = [0, 9.25, 11.25, 11.75, 4.25, 2.25, 3, 4.75, 7.75, 10.75]
MEANS_WITH_PARAMETERS = [0, 8.88889, 8.66667, 8.11111, 6, 6.66667, 8.22222, 10.6667, 12.4444, 14.3333]


@pytest.fixture(scope="session")
def blocks(shared_data: Path) -> list[str]:
    text = (shared_data.parent / DOCUMENT).read_text()
    found = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(found) == 15, "the tutorial has 15 blocks of Python"
    return found


@pytest.fixture
def project(tmp_path: Path, shared_data: Path) -> Path:
    (tmp_path / "src").mkdir()
    (tmp_path / "data").mkdir()
    shutil.copy(shared_data / "dranspose" / "dump_xrd.cbors", tmp_path / "data")
    return tmp_path


def install(project: Path, worker: str, reducer: str) -> None:
    (project / "src" / "worker.py").write_text(worker)
    (project / "src" / "reducer.py").write_text(reducer)


def replay(project: Path, *options: str, level: str = "DEBUG") -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "glimt"), "replay", "-w", "src.worker:TestWorker"]
    command += ["-r", "src.reducer:TestReducer", "-f", "data/dump_xrd.cbors", *options]
    return subprocess.run(
        command, cwd=project, env=os.environ | {"LOG_LEVEL": level}, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("stage", STAGES)
def test_stage_runs_from_its_own_code_blocks(stage: str, workers: str, blocks: list[str], project: Path) -> None:
    worker, reducer = STAGES[stage]
    install(project, blocks[worker], blocks[reducer])
    done = replay(project, "--nworkers", workers)
    assert done.returncode == 0, done.stderr
    assert "11 events" in done.stderr
    assert "none failed" in done.stderr


def test_events_and_packets_are_printed_as_in_the_text(blocks: list[str], project: Path) -> None:
    install(project, blocks[2], blocks[1])
    printed = replay(project).stderr
    assert "DEBUG:src.worker:event is event_number=0 streams={'xrd': StreamData(typ='STINS', frames=[b'" in printed
    assert "], length=1)}" in printed
    install(project, blocks[3], blocks[1])
    printed = replay(project).stderr
    assert "acquisition is msg_number=0 htype='header' filename='output/xrd.h5'\n" in printed
    assert "msg_number=1 htype='image' frame=0 shape=[10, 10] type='uint16' compression='none' data=array([[" in printed
    assert "acquisition is msg_number=10 htype='series_end'\n" in printed


def test_results_are_printed_with_number_worker_and_payload(blocks: list[str], project: Path) -> None:
    install(project, blocks[4], blocks[5])
    printed = replay(project).stderr
    assert "DEBUG:src.worker:intensity is 9.250000\n" in printed
    lines = [line for line in printed.splitlines() if line.startswith("DEBUG:src.reducer:result is event_number=")]
    assert len(lines) == 9, "the worker returns None for start and end"
    assert re.search(r"event_number=1 worker='\S+' parameters_hash='[0-9a-f]{64}' payload=np.float64\(9.25\)", lines[0])


@pytest.mark.parametrize("workers", ["1", "2", "3"])
def test_file_has_the_values_of_the_listing(workers: str, blocks: list[str], project: Path) -> None:
    install(project, blocks[8], blocks[10])
    assert replay(project, "--nworkers", workers, level="INFO").returncode == 0
    with h5py.File(project / "output" / "xrd_processed.h5") as file:
        assert file["reduced"].dtype == np.float32
        assert file["reduced"][:].tolist() == MEANS


def test_parameter_file_changes_the_region(blocks: list[str], project: Path) -> None:
    lines = blocks[12]
    before, after = blocks[10].split("                self._fh = h5py.File(dest_filename, 'w')\n")
    after = after.split("\n", 1)[1]  # the create_dataset line, which the text's excerpt repeats
    install(project, blocks[11], before + lines + after)
    (project / "test_params.json").write_text('[{"name": "till_x", "data": "3"},\n{"name": "from_y", "data": "7"}]\n')
    done = replay(project, "-p", "test_params.json", level="INFO")
    assert done.returncode == 0, done.stderr
    with h5py.File(project / "output" / "xrd_processed.h5") as file:
        assert sorted(file) == ["from_y", "reduced", "till_x"]
        assert (file["till_x"][()], file["from_y"][()]) == (3, 7)
        assert file["from_y"].dtype == np.int64
        np.testing.assert_allclose(file["reduced"][:], MEANS_WITH_PARAMETERS, rtol=1e-5)


def test_diffractograms_are_written_beside_the_radial_axis(blocks: list[str], project: Path) -> None:
    install(project, blocks[13], blocks[14])
    done = replay(project, level="INFO")
    assert done.returncode == 0, done.stderr
    with h5py.File(project / "output" / "xrd_processed.h5") as file:
        assert file["I"].shape == (10, 5)
        assert file["radial_axis"].shape == (5,)
        assert np.all(np.diff(file["radial_axis"][:]) > 0)
        assert np.all(file["I"][0] == 0), "no image at event 0"
        assert np.all(file["I"][1:] > 0)
        assert file["reduced"][:].tolist() == MEANS


@pytest.mark.parametrize("worker", [4, 7, 8], ids=["float", "dictionary", "dataclass"])
def test_the_inter_event_block_with_its_two_slips_fails_visibly_and_the_run_goes_on(
    worker: int, blocks: list[str], project: Path
) -> None:
    install(project, blocks[worker], blocks[6])
    done = replay(project, level="INFO")
    assert done.returncode == 1
    assert "TestReducer.process_result raised at event 1: TypeError" in done.stderr
    assert "self.evolution[result.event_number] = result.payload - self.evolution" in done.stderr, "their own line"
    assert "INFO:src.reducer:delta were [0" in done.stderr, "finish ran"


def test_the_inter_event_block_with_its_slips_mended_gives_the_differences(blocks: list[str], project: Path) -> None:
    mended = blocks[6].replace("result.payload - self.evolution\n", "result.payload - self.last_value\n")
    mended = mended.replace("self.last_value = result.payload.intensity", "self.last_value = result.payload")
    install(project, blocks[4], mended)
    done = replay(project, level="INFO")
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stderr.splitlines() if line.startswith("INFO:src.reducer:delta were"))
    values = [float(number) for number in re.findall(r"-?\d+\.\d+|(?<=\[)0", line)]
    assert values == np.diff(MEANS, prepend=0).tolist()
