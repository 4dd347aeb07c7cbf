"""Analyzers are kept as long as what they were made of is the same."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from glimt.codecs.crystfel_geometry import read_geometry
from glimt.pipeline.workers.spot_options import SpotOptions
from glimt.services import image_files
from glimt.services.image_files import ImageFiles
from glimt.services.kept_analyzers import KeptAnalyzers
from hdf5_masters import write_eiger_series

GEOMETRY = """
photon_energy = 12000 eV
clen = 0.1
res = 13333
data = /entry/data/data
mask = /my_mask
mask_good = 0x0
mask_bad = 0x1
p/dim0 = %
p/dim1 = ss
p/dim2 = fs
p/min_ss = 0
p/max_ss = {slow}
p/min_fs = 0
p/max_fs = {fast}
p/corner_x = -10
p/corner_y = -10
p/fs = x
p/ss = y
"""


def write_mask(path: Path, n_bad: int) -> None:
    with h5py.File(path, "r+") as file:
        data = file.require_dataset("my_mask", shape=tuple(file["shape_of_images"][()]), dtype="u2")
        data[...] = 0
        data[0, :n_bad] = 1


@pytest.fixture
def master(tmp_path: Path) -> Path:
    path, pixels = write_eiger_series(tmp_path, [2], "uint16")
    with h5py.File(path, "r+") as file:
        file["shape_of_images"] = np.asarray(pixels.shape[-2:])
    write_mask(path, 3)
    slow, fast = (length - 1 for length in pixels.shape[-2:])
    (tmp_path / "own.geom").write_text(GEOMETRY.format(slow=slow, fast=fast))
    return path


def test_a_mask_in_a_file_that_was_written_anew_is_read_again(master: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_files, "FRESH_S", 0.0)
    files = ImageFiles(roots=[master.parent])
    kept = KeptAnalyzers(geometry=read_geometry(master.parent / "own.geom"))
    first = kept.get(files.read(master, 0), SpotOptions())
    assert kept.get(files.read(master, 1), SpotOptions()) is first
    files.close()  # HDF5 does not open a file for writing that this process reads
    write_mask(master, 7)
    second = kept.get(files.read(master, 1), SpotOptions())
    n_first, n_second = (np.count_nonzero(each._mask) for each in (first, second))
    assert n_second == n_first + 4
    files.close()
