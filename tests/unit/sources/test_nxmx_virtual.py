"""Virtual datasets: images that lie in other files, in blocks, interleaved, or as modules."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from glimt.model.errors import DecodeError, UsageError
from glimt.sources.image_file import open_images
from hdf5_masters import SHAPE, frames, same_images, write_data, write_master


def write_virtual(path: Path, layout: h5py.VirtualLayout, fillvalue: int = 0) -> None:
    write_master(path)
    with h5py.File(path, "a", libver="latest") as file:
        file["entry/data"].create_virtual_dataset("data", layout, fillvalue=fillvalue)


def test_virtual_dataset_of_blocks_of_images(tmp_path: Path) -> None:
    pixels = frames(6)
    layout = h5py.VirtualLayout((6, *SHAPE), "u4")
    for k in range(2):
        write_data(tmp_path / f"raw_{k}.h5", pixels[3 * k : 3 * k + 3])
        layout[3 * k : 3 * k + 3] = h5py.VirtualSource(f"raw_{k}.h5", "/entry/data/data", (3, *SHAPE))
    write_virtual(tmp_path / "m.h5", layout)
    with open_images(tmp_path / "m.h5") as series:
        assert same_images(series, pixels)
        assert series.n_images_ready == 6
        assert series.read(4, narrow=True).dtype == np.uint16


def test_virtual_dataset_of_interleaved_files(tmp_path: Path) -> None:
    pixels = frames(10)
    layout = h5py.VirtualLayout((10, *SHAPE), "u4")
    for k in range(2):
        write_data(tmp_path / f"raw_{k}.h5", pixels[k::2])
        layout[k::2] = h5py.VirtualSource(f"raw_{k}.h5", "/entry/data/data", (5, *SHAPE))
    write_virtual(tmp_path / "m.h5", layout)
    with open_images(tmp_path / "m.h5") as series:
        assert same_images(series, pixels)
    (tmp_path / "raw_1.h5").unlink()
    with open_images(tmp_path / "m.h5") as series:
        assert series.n_images_ready == 1
        assert np.array_equal(series.read(8), pixels[8])
        with pytest.raises(DecodeError, match=r"m.h5, image 3: .*raw_1.h5 is missing"):
            series.read(3)


def test_virtual_dataset_that_starts_inside_its_source(tmp_path: Path) -> None:
    pixels = frames(10)
    write_data(tmp_path / "raw.h5", pixels)
    layout = h5py.VirtualLayout((4, *SHAPE), "u4")
    layout[:] = h5py.VirtualSource("raw.h5", "/entry/data/data", (10, *SHAPE))[5:9]
    write_virtual(tmp_path / "m.h5", layout)
    with open_images(tmp_path / "m.h5") as series:
        assert same_images(series, pixels[5:9])


def test_modules_in_files_of_their_own_make_one_image(tmp_path: Path) -> None:
    pixels = frames(3, "uint16", (20, 30))
    layout = h5py.VirtualLayout((3, 50, 30), "u2")
    for k, start in enumerate((0, 30)):
        write_data(tmp_path / f"module_{k}.h5", pixels + k)
        layout[:, start : start + 20] = h5py.VirtualSource(f"module_{k}.h5", "/entry/data/data", pixels.shape)
    write_virtual(tmp_path / "m.h5", layout, fillvalue=77)
    with h5py.File(tmp_path / "m.h5") as file:
        expected = file["entry/data/data"][()]
    with open_images(tmp_path / "m.h5") as series:
        assert series.metadata.shape == (50, 30)
        assert same_images(series, expected)
        assert (series.read(0)[20:30] == 77).all()


def test_modules_on_an_axis_of_their_own(tmp_path: Path) -> None:
    pixels = frames(3, "uint16")
    layout = h5py.VirtualLayout((3, 2, *SHAPE), "u2")
    for k in range(2):
        write_data(tmp_path / f"module_{k}.h5", pixels + k)
        layout[:, k] = h5py.VirtualSource(f"module_{k}.h5", "/entry/data/data", pixels.shape)
    write_virtual(tmp_path / "m.h5", layout)
    with open_images(tmp_path / "m.h5") as series:
        assert series.metadata.shape == (2, *SHAPE)
        assert same_images(series, np.stack([pixels, pixels + 1], axis=1))
        with pytest.raises(UsageError, match="have modules"):
            series.metadata.poni()


def test_virtual_dataset_of_a_virtual_dataset_behind_a_link(tmp_path: Path) -> None:
    pixels = frames(4)
    write_data(tmp_path / "raw.h5", pixels)
    inner = h5py.VirtualLayout((4, *SHAPE), "u4")
    inner[:] = h5py.VirtualSource("raw.h5", "/entry/data/data", (4, *SHAPE))
    write_virtual(tmp_path / "inner.h5", inner)
    write_master(tmp_path / "outer.nxs")
    with h5py.File(tmp_path / "outer.nxs", "a") as file:
        file["elsewhere"] = h5py.ExternalLink("inner.h5", "/entry/data/data")
        file["entry/data/data"] = h5py.SoftLink("/elsewhere")
    with open_images(tmp_path / "outer.nxs") as series:
        assert same_images(series, pixels)
    (tmp_path / "inner.h5").unlink()
    with pytest.raises(DecodeError, match=r"inner.h5 is missing"):
        open_images(tmp_path / "outer.nxs")


def test_virtual_dataset_of_itself_is_an_error(tmp_path: Path) -> None:
    layout = h5py.VirtualLayout((2, *SHAPE), "u4")
    layout[:] = h5py.VirtualSource("m.h5", "/entry/data/data", (2, *SHAPE))
    write_virtual(tmp_path / "m.h5", layout)
    with open_images(tmp_path / "m.h5") as series, pytest.raises(DecodeError, match=r"image 1: .*deep"):
        series.read(1)


def test_image_that_is_mapped_to_no_file_is_an_error(tmp_path: Path) -> None:
    write_data(tmp_path / "raw.h5", frames(2))
    layout = h5py.VirtualLayout((4, *SHAPE), "u4")
    layout[:2] = h5py.VirtualSource("raw.h5", "/entry/data/data", (2, *SHAPE))
    write_virtual(tmp_path / "m.h5", layout)
    with open_images(tmp_path / "m.h5") as series, pytest.raises(DecodeError, match=r"image 3: .*from no file"):
        series.read(3)


def test_irregular_mapping_is_left_to_hdf5_and_still_names_a_missing_file(tmp_path: Path) -> None:
    pixels = frames(4)
    write_data(tmp_path / "raw.h5", pixels)
    layout = h5py.VirtualLayout((4, *SHAPE), "u4")
    layout[:, :, ::2] = h5py.VirtualSource("raw.h5", "/entry/data/data", pixels.shape)[:, :, ::2]
    write_virtual(tmp_path / "m.h5", layout)
    with h5py.File(tmp_path / "m.h5") as file:
        expected = file["entry/data/data"][()]
    with open_images(tmp_path / "m.h5") as series:
        assert same_images(series, expected)
    (tmp_path / "raw.h5").unlink()
    with pytest.raises(DecodeError, match=r"raw.h5 is missing"):
        open_images(tmp_path / "m.h5")


def test_irregular_mapping_of_itself_is_an_error(tmp_path: Path) -> None:
    layout = h5py.VirtualLayout((2, *SHAPE), "u4")
    layout[:, :, ::2] = h5py.VirtualSource("m.h5", "/entry/data/data", (2, *SHAPE))[:, :, ::2]
    write_virtual(tmp_path / "m.h5", layout)
    with pytest.raises(DecodeError, match="a virtual dataset too"):
        open_images(tmp_path / "m.h5")
