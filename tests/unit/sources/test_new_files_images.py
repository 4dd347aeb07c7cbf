"""Images that are there, of files that lead to each other in every way."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np

from glimt.sources.new_files_images import ArrivingImages
from hdf5_masters import SHAPE, frames, write_data, write_eiger_series, write_master


def _there(images: ArrivingImages, n: int) -> list[int]:
    images.look_again()
    there = [number for number in range(n) if images.has(number)]
    images.release()
    return there


def _virtual(path: Path, sources: list[tuple[str, slice]], n: int, name: str = "/entry/data/data") -> None:
    layout = h5py.VirtualLayout((n, *SHAPE), "uint32")
    for file_name, places in sources:
        layout[places] = h5py.VirtualSource(file_name, "entry/data/data", (len(range(n)[places]), *SHAPE))
    with h5py.File(path, "w", libver="latest") as file:
        file.create_virtual_dataset(name, layout)


def test_chunk_that_is_not_stored_is_not_there(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w", libver="latest") as file:
        stored = file.create_dataset("entry/data/data", (6, *SHAPE), "u4", chunks=(1, *SHAPE))
        stored[0], stored[4] = np.ones(SHAPE), np.ones(SHAPE)
    assert _there(ArrivingImages(str(tmp_path / "x.h5")), 8) == [0, 4]


def test_virtual_dataset_of_virtual_datasets_is_followed(tmp_path: Path) -> None:
    write_data(tmp_path / "a.h5", frames(2))
    _virtual(tmp_path / "middle.h5", [("a.h5", np.s_[:2]), ("b.h5", np.s_[2:])], 4)
    _virtual(tmp_path / "top.h5", [("middle.h5", np.s_[:])], 4)
    images = ArrivingImages(str(tmp_path / "top.h5"))
    assert _there(images, 4) == [0, 1]
    write_data(tmp_path / "b.h5", frames(2))
    assert _there(images, 4) == [0, 1, 2, 3]
    assert images.n_images == 4
    images.close()


def test_virtual_dataset_that_leads_to_itself_has_no_images(tmp_path: Path) -> None:
    _virtual(tmp_path / "a.h5", [("b.h5", np.s_[:])], 2)
    _virtual(tmp_path / "b.h5", [("a.h5", np.s_[:])], 2)
    images = ArrivingImages(str(tmp_path / "a.h5"))
    assert _there(images, 2) == []
    assert "deep" in images.reason


def test_image_that_no_file_is_mapped_to_is_not_there(tmp_path: Path) -> None:
    write_data(tmp_path / "a.h5", frames(2))
    _virtual(tmp_path / "top.h5", [("a.h5", np.s_[::2])], 4)
    assert _there(ArrivingImages(str(tmp_path / "top.h5")), 4) == [0, 2]


def test_links_without_a_number_of_images_wait_for_all_files(tmp_path: Path) -> None:
    links = {f"data_{k:06d}": (f"x_{k}.h5", "/entry/data/data") for k in (1, 2)}
    write_master(tmp_path / "m.h5", links)
    write_data(tmp_path / "x_1.h5", frames(3))
    images = ArrivingImages(str(tmp_path / "m.h5"))
    images.look_again()
    assert images.n_images is None
    write_data(tmp_path / "x_2.h5", frames(2))
    assert _there(images, 9) == [0, 1, 2, 3, 4]
    assert images.n_images == 5


def test_master_that_is_replaced_is_read_again(tmp_path: Path) -> None:
    master, _ = write_eiger_series(tmp_path, [2])
    images = ArrivingImages(str(master))
    assert _there(images, 9) == [0, 1]
    (tmp_path / "new").mkdir()
    other, _ = write_eiger_series(tmp_path / "new", [3])
    os.replace(tmp_path / "new" / "scan_data_000001.h5", tmp_path / "scan_data_000001.h5")
    os.replace(other, master)
    assert _there(images, 9) == [0, 1, 2]


def test_files_that_nobody_writes_are_closed_after_a_look(tmp_path: Path) -> None:
    master, _ = write_eiger_series(tmp_path, [2, 1])
    images = ArrivingImages(str(master))
    assert _there(images, 3) == [0, 1, 2]
    for path in tmp_path.iterdir():
        with h5py.File(path, "r+") as file:  # raises when the file is open for reading
            file.attrs["more"] = 1


def test_whatever_a_damaged_file_holds_nothing_is_raised(tmp_path: Path) -> None:
    master, _ = write_eiger_series(tmp_path, [2])
    whole = master.read_bytes()
    random = np.random.default_rng(1)
    for k in range(60):
        damaged = bytearray(whole)
        for place in random.integers(0, len(whole), 1 + k // 4):
            damaged[place] ^= int(random.integers(1, 256))
        master.write_bytes(damaged)
        images = ArrivingImages(str(master))
        _there(images, 3)
        images.close()
