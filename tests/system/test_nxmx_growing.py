"""A master file is read while another process writes it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from glimt.model.errors import DecodeError
from glimt.sources.image_file import open_images

WRITER = """
import sys
import h5py, hdf5plugin, numpy as np
path, swmr = sys.argv[1], sys.argv[2] == "swmr"
with h5py.File(path, "w", libver="latest") as file:
    options = dict(hdf5plugin.Bitshuffle()) | {"chunks": (1, 50, 60), "maxshape": (None, 50, 60)}
    stored = file.create_dataset("entry/data/data", (0, 50, 60), "u4", **options)
    file.flush()
    if swmr:
        file.swmr_mode = True
    print("open", flush=True)
    for k, _ in enumerate(sys.stdin):
        stored.resize(k + 1, axis=0)
        stored[k] = np.full((50, 60), k, "u4")
        stored.flush()
        print("written", flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "growing.h5"


def _writer(path: Path, mode: str) -> subprocess.Popen[str]:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), mode], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "open\n"
    return writer


def test_images_are_read_as_another_process_writes_them(path: Path) -> None:
    with _writer(path, "swmr") as writer, open_images(path) as series:
        assert writer.stdin is not None
        assert writer.stdout is not None
        assert series.n_images_ready == 0
        for k in range(5):
            writer.stdin.write("next\n")
            writer.stdin.flush()
            assert writer.stdout.readline() == "written\n"
            assert series.n_images_ready == len(series) == k + 1
            assert np.array_equal(series.read(k), np.full((50, 60), k, np.uint32))
        writer.stdin.close()
        assert writer.wait(30) == 0
        assert (series.read(2) == 2).all()


def test_file_that_its_writer_keeps_to_itself_is_an_error(path: Path) -> None:
    with _writer(path, "alone") as writer:
        with pytest.raises(DecodeError, match=r"growing.h5 cannot be read"):
            open_images(path)
        assert writer.stdin is not None
        writer.stdin.close()
        assert writer.wait(30) == 0
