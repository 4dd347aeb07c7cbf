"""Result files seen from other processes: live readers, killed writers, full disks."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from glimt.stores.hdf5 import Hdf5Store
from glimt.stores.hdf5_crash import repair_after_crash

TIMEOUT_S = 60

# Every row says which event it is; at first a new name comes every 20 events, for which the file is opened anew.
WRITER = """
import sys
import numpy as np
from glimt.stores.hdf5 import Hdf5Store
store = Hdf5Store(sys.argv[1], block_s=1e6, block_rows=8, parameters={"till_x": 3}, compression=sys.argv[2] or None)
print("open", flush=True)
for number in range(100_000):
    store.put("I", number, np.full(1000, number, "f4"))
    store.put("n", number, number)
    store.put(f"late/of_{min(number // 20, 4)}", number, number)
    if number % 5 == 4:
        store.flush()
        print(number, flush=True)
"""

READER = """
import json, sys, time
import h5py
path, last, keeps_open = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "keep"
n_open = n_busy = n_wrong = n_looks = 0
seen, file, deadline = -1, None, time.monotonic() + 60
while seen < last and time.monotonic() < deadline:
    try:
        if file is None:
            file, n_open = h5py.File(path, "r", swmr=True), n_open + 1
            print("ready", flush=True) if n_open == 1 else None
        present, rows = file["entry/present/I"], file["I"]
        present.refresh()
        known = present[:]  # first what is there, then the rows
        rows.refresh()
        found = rows[:len(known), 7]
    except (OSError, KeyError):
        n_busy += 1
        file = None
        continue
    n_wrong += int((found[known] != known.nonzero()[0]).sum())
    n_looks += 1
    seen = int(known.nonzero()[0].max(initial=-1))
    if not keeps_open:
        file.close()
        file = None
print(json.dumps({"seen": seen, "open": n_open, "busy": n_busy, "wrong": n_wrong, "looks": n_looks, "at": time.time()}))
"""


def _start(program: str, *arguments: object, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )


def _check_rows(file: Any, n_flushed: int) -> None:
    for name in ("I", "n"):
        present = file[f"entry/present/{name}"][:]
        assert present[:n_flushed].all()
        rows = file[name][: len(present)]
        values = rows if rows.ndim == 1 else rows[:, -1]
        np.testing.assert_array_equal(values[present], np.flatnonzero(present))
    late = np.zeros(n_flushed, np.bool_)
    for name, present in file["entry/present/late"].items():
        late[: len(present)] |= present[:n_flushed]
        np.testing.assert_array_equal(file[f"late/{name}"][: len(present)][present[:]], np.flatnonzero(present))
    assert late.all()
    assert file["entry/process/parameters/till_x"][()] == 3
    assert not file["entry/process/complete"][()]


@pytest.mark.parametrize("seed", range(6))
def test_a_killed_writer_loses_nothing_that_was_flushed(tmp_path: Path, seed: int) -> None:
    chance, path = random.Random(seed), tmp_path / "out.h5"
    with _start(WRITER, path, "bslz4" if seed % 2 else "") as writer:
        assert writer.stdout is not None
        for _ in range(20 + chance.randrange(100)):
            last = int(writer.stdout.readline().replace("open", "-1"))
        time.sleep(chance.random() * 0.01)
        writer.kill()
        last = max([last, *(int(line) for line in writer.stdout.read().splitlines(keepends=True) if line[-1] == "\n")])
    with h5py.File(path, "r", swmr=True) as file:
        _check_rows(file, last + 1)
    assert repair_after_crash(path)
    with h5py.File(path) as file:
        _check_rows(file, last + 1)
    assert not repair_after_crash(path)


def test_a_killed_writer_can_be_read_without_repair(tmp_path: Path) -> None:
    path = tmp_path / "out.h5"
    program = WRITER.replace("        print(number, flush=True)", "        print(number, flush=True)\n        input()")
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path), ""], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert [writer.stdout.readline().strip() for _ in range(2)] == ["open", "4"]
        with pytest.raises(OSError, match="already open for write"):
            h5py.File(path)
        writer.kill()
    with h5py.File(path, "r", swmr=True) as file:
        _check_rows(file, 5)
    with Hdf5Store(path, overwrite=True) as store:  # its writer is gone
        store.put("I", 0, 1.0)


def test_a_writer_killed_while_it_makes_a_name_loses_nothing_that_was_flushed(tmp_path: Path) -> None:
    path = tmp_path / "out.h5"
    program = WRITER.replace("        print(number, flush=True)", "        break") + (
        "with store._writer._file.structure() as file:\n"
        "    file['half_made'] = 1\n"
        "    print('now', flush=True)\n"
        "    input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path), ""], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert [writer.stdout.readline().strip() for _ in range(2)] == ["open", "now"]
        writer.kill()
    with pytest.raises(OSError, match="open"):
        h5py.File(path, "r", swmr=True)
    assert repair_after_crash(path)
    with h5py.File(path) as file:
        _check_rows(file, 5)


@pytest.mark.parametrize("locking", ["", "TRUE", "FALSE"])
@pytest.mark.parametrize("keeps_open", ["keep", "again"])
def test_readers_see_rows_within_the_block_time(tmp_path: Path, keeps_open: str, locking: str) -> None:
    path, last = tmp_path / "out.h5", 400
    environment = {"HDF5_USE_FILE_LOCKING": locking} if locking else {}
    with Hdf5Store(path, block_s=0.02) as store:
        store.put("I", 0, np.zeros(1000, "f4"))
        store.flush()
        with _start(READER, path, last, keeps_open, **environment) as reader:
            assert reader.stdout is not None
            assert reader.stdout.readline() == "ready\n"
            for number in range(1, last + 1):
                store.put("I", number, np.full(1000, number, "f4"))
                if number % 40 == 0:
                    store.put(f"late_{number}", number, number)
                time.sleep(0.001)
            put_at = time.time()
            found = json.loads(reader.communicate(timeout=TIMEOUT_S)[0])
    assert found["seen"] == last
    assert found["wrong"] == 0
    assert found["looks"] > 3
    assert found["at"] - put_at < 30  # 20 ms and a busy machine
    with h5py.File(path) as file:
        assert file["I"].shape == (last + 1, 1000)


FULL_DISK = """
import resource, sys
import numpy as np
from glimt.stores.hdf5 import Hdf5Store
from glimt.model.errors import StoreError
path, limit, when = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
store = Hdf5Store(path, block_rows=32, block_s=0.01)
refused, text = 0, ""
for number in range(1000):
    if number == when:
        store.flush()
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    for name in ("I", "J"):
        try:
            store.put(name, number, np.full(1000, number, "f4"))
        except StoreError as error:
            refused, text = refused + 1, str(error)
print(refused, store.n_lost, store.n_rows)
print(text)
if len(sys.argv) > 4:
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
try:
    store.close()
except StoreError as error:
    print(error)
else:
    print("complete")
store.close()
print(store.n_lost, flush=True)
"""


def _fill_disk(path: Path, limit: int, when: int, *more: str) -> tuple[list[int], str, str, int]:
    command = [sys.executable, "-c", FULL_DISK, str(path), str(limit), str(when), *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stderr  # HDF5 alone ends such a process with a segmentation fault
    counts, text, end, lost = done.stdout.splitlines()
    return [int(word) for word in counts.split()], text, end, int(lost)


def _n_present(path: Path) -> int:
    with h5py.File(path) as file:
        n_present = 0
        for name, present in file["entry/present"].items():
            known = present[:]
            np.testing.assert_array_equal(file[name][: len(known)][known][:, 0], np.flatnonzero(known))
            n_present += int(known.sum())
        return n_present


@pytest.mark.parametrize("limit", [1_500_000, 4_000_000, 5_555_555, 6_000_000])
def test_a_full_disk_is_told_and_what_is_lost_is_counted(tmp_path: Path, limit: int) -> None:
    path = tmp_path / "out.h5"
    (refused, lost, n_rows), text, end, lost_at_end = _fill_disk(path, limit, 0)
    assert n_rows == 2000
    assert refused == lost > 0
    assert str(path) in text
    assert "File too large" in text
    assert f"{lost} rows are lost" in text
    assert f"{lost_at_end} rows are lost" in end
    assert _n_present(path) + lost_at_end == n_rows
    with h5py.File(path) as file:
        assert file["entry/process/n_rows_lost"][()] == lost_at_end
        assert not file["entry/process/complete"][()]


def test_rows_that_wait_are_written_when_there_is_room_again(tmp_path: Path) -> None:
    path = tmp_path / "out.h5"
    (refused, lost, n_rows), _, end, lost_at_end = _fill_disk(path, 4_000_000, 0, "room at last")
    assert 0 < refused == lost == lost_at_end
    assert f"{lost} rows are lost" in end
    assert _n_present(path) + lost == n_rows


@pytest.mark.parametrize("limit", [1_000, 100_000, 1_000_000])
def test_a_device_that_fails_does_not_end_the_process(tmp_path: Path, limit: int) -> None:
    """Below what is reserved already, a limit is found by HDF5 itself and not before."""
    path = tmp_path / "out.h5"
    (refused, lost, n_rows), text, end, lost_at_end = _fill_disk(path, limit, 100)
    assert refused > 0
    assert lost == lost_at_end
    assert "cannot be written: File too large" in text
    assert f"{lost} rows are lost" in end
    # Part of the block that failed may have arrived.
    assert _n_present(path) >= 200
    assert _n_present(path) + lost >= n_rows
