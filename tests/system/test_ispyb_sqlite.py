"""The ISPyB service on a file: processes that are killed, and several that write at once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ispyb_worker
from glimt.stores.results_db import prepare_results
from ispyb_rig import IspybRig
from ispyb_worker import N_MESSAGES, killed_at


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[IspybRig]:
    url = f"sqlite:///{tmp_path}/results.sqlite"
    prepare_results(url)
    rig = IspybRig(url, (tmp_path,))
    yield rig
    rig.close()


def test_kill_between_rows_and_acknowledgement_leaves_each_row_once(rig: IspybRig) -> None:
    results = killed_at(rig.service.setup.results_url, rig.collection.dcid, (3, 11, 12, 25, 33))

    rows = rig.rows("Movie", dataCollectionId=rig.collection.dcid)
    assert [row["movieNumber"] for row in rows] == list(range(N_MESSAGES))
    assert list(results.values()) == [row["movieId"] for row in rows]


def test_processes_that_get_the_same_messages_write_them_once(rig: IspybRig) -> None:
    words = [sys.executable, ispyb_worker.__file__, rig.service.setup.results_url, str(rig.collection.dcid)]
    workers = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    answers = [worker.communicate(timeout=120)[0] for worker in workers]

    assert [worker.returncode for worker in workers] == [0, 0, 0]
    assert len(set(answers)) == 1
    assert rig.count("Movie", dataCollectionId=rig.collection.dcid) == N_MESSAGES


def test_services_that_start_at_once_make_the_tables_once(tmp_path: Path) -> None:
    code = "import sys; from glimt.stores.results_db import prepare_results; print(prepare_results(sys.argv[1]))"
    words = [sys.executable, "-c", code, f"sqlite:///{tmp_path}/results.sqlite"]
    workers = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    made = sorted(int(worker.communicate(timeout=120)[0]) for worker in workers)

    assert made == [0, 0, 206]
