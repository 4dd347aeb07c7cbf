"""Image series in NXmx files: images of all data files, however stored, missing, damaged or still being written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest

from glimt.codecs.pixels import encode_pixels
from glimt.codecs.pixels.narrow import widen_pixels
from glimt.model.errors import DecodeError, UsageError
from glimt.sources.image_file import open_images
from hdf5_masters import SHAPE, frames, same_images, write_data, write_eiger_series, write_master


def test_images_of_all_data_files_are_read_in_order(tmp_path: Path) -> None:
    master, pixels = write_eiger_series(tmp_path, [3, 3, 2])
    with open_images(master) as series:
        assert same_images(series, pixels)
        assert series.n_images_ready == 8


def test_missing_data_file_is_named_with_the_image(tmp_path: Path) -> None:
    master, pixels = write_eiger_series(tmp_path, [3, 3, 2])
    (tmp_path / "scan_data_000002.h5").unlink()
    with open_images(master) as series:
        assert len(series) == 8
        assert series.n_images_ready == 3
        with pytest.raises(DecodeError, match=r"scan_master.h5, image 4: .*scan_data_000002.h5 is missing"):
            series.read(4)
        assert np.array_equal(series.read(2), pixels[2])
        assert np.array_equal(series.read(7), pixels[7])


def test_first_data_file_may_be_the_missing_one(tmp_path: Path) -> None:
    master, pixels = write_eiger_series(tmp_path, [3, 3, 2])
    (tmp_path / "scan_data_000001.h5").unlink()
    with open_images(master) as series:
        assert series.n_images_ready == 0
        with pytest.raises(DecodeError, match=r"image 0: .*scan_data_000001.h5 is missing"):
            series.read(0)
        assert np.array_equal(series.read(3), pixels[3])


def test_data_file_that_comes_later_is_found(tmp_path: Path) -> None:
    master, pixels = write_eiger_series(tmp_path, [3, 2])
    late = tmp_path / "scan_data_000002.h5"
    late.rename(tmp_path / "late")
    with open_images(master) as series:
        assert series.n_images_ready == 3
        (tmp_path / "late").rename(late)
        assert series.n_images_ready == 5
        assert same_images(series, pixels)


def test_no_data_file_at_all_is_an_error_when_opened(tmp_path: Path) -> None:
    master, _ = write_eiger_series(tmp_path, [3, 2])
    (tmp_path / "scan_data_000001.h5").unlink()
    (tmp_path / "scan_data_000002.h5").unlink()
    with pytest.raises(DecodeError, match=r"none of its 2 data files is there: .*scan_data_000001.h5 is missing"):
        open_images(master)


def test_series_that_was_moved_with_absolute_links_is_read(tmp_path: Path) -> None:
    pixels = frames(2)
    here = tmp_path / "here"
    here.mkdir()
    write_data(here / "a_data_000001.h5", pixels)
    gone = str(tmp_path / "gone" / "a_data_000001.h5")
    write_master(here / "a_master.h5", {"data_000001": (gone, "/entry/data/data")})
    with open_images(here / "a_master.h5") as series:
        assert same_images(series, pixels)


def test_links_in_a_circle_are_an_error(tmp_path: Path) -> None:
    write_master(tmp_path / "m.h5", {"data_000001": ("m.h5", "/entry/data/data_000001")})
    with pytest.raises(DecodeError, match="circles"):
        open_images(tmp_path / "m.h5")


def test_more_data_files_than_are_kept_open(tmp_path: Path) -> None:
    master, pixels = write_eiger_series(tmp_path, [1] * 40)
    with open_images(master) as series:
        assert same_images(series, pixels)
        assert np.array_equal(series.read(0), pixels[0])


@pytest.mark.parametrize(
    ("filters", "chunks"),
    [
        (None, None),
        (dict(hdf5plugin.LZ4()), None),
        ({}, None),
        ({}, False),
        ({"compression": "gzip"}, None),
        ({"compression": "gzip", "shuffle": True}, (2, 10, 41)),
        (dict(hdf5plugin.Bitshuffle(cname="zstd")), None),
        (dict(hdf5plugin.Bitshuffle(nelems=128)), None),
    ],
)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int32", ">u2"])
def test_every_way_of_storing_gives_the_same_pixels(tmp_path: Path, filters: Any, chunks: Any, dtype: str) -> None:
    pixels = frames(3, dtype)
    write_data(tmp_path / "d.h5", pixels, filters=filters, chunks=chunks)
    with open_images(tmp_path / "d.h5") as series:
        assert same_images(series, pixels)
        assert series.read(0).dtype == pixels.dtype.newbyteorder("=")
        out = np.empty(SHAPE, pixels.dtype.newbyteorder("="))
        assert np.shares_memory(series.read(1, out), out)
        assert np.array_equal(out, pixels[1])


def test_narrowed_image_is_the_same(tmp_path: Path) -> None:
    master, pixels = write_eiger_series(tmp_path, [2])
    with open_images(master) as series:
        narrow = series.read(1, narrow=True)
        assert narrow.dtype == np.uint16
        assert np.array_equal(widen_pixels(narrow), pixels[1])


def test_float_images_are_read(tmp_path: Path) -> None:
    pixels = np.random.default_rng(2).normal(size=(2, *SHAPE)).astype(np.float32)
    write_data(tmp_path / "d.h5", pixels)
    with open_images(tmp_path / "d.h5") as series:
        assert same_images(series, pixels)


def test_chunk_whose_filter_was_skipped_is_taken_as_it_is(tmp_path: Path) -> None:
    pixels = frames(2)
    write_data(tmp_path / "d.h5", pixels)
    with h5py.File(tmp_path / "d.h5", "a") as file:
        file["entry/data/data"].id.write_direct_chunk((1, 0, 0), pixels[1].tobytes(), filter_mask=1)
    with open_images(tmp_path / "d.h5") as series:
        assert same_images(series, pixels)


@pytest.mark.parametrize("stored", [b"\0", b"\0" * 11, b"garbage, long enough for a header", b"\xff" * 20000])
def test_damaged_chunk_names_file_and_image(tmp_path: Path, stored: bytes) -> None:
    master, pixels = write_eiger_series(tmp_path, [2, 2])
    with h5py.File(tmp_path / "scan_data_000002.h5", "a") as file:
        file["entry/data/data"].id.write_direct_chunk((1, 0, 0), stored)
    with open_images(master) as series:
        with pytest.raises(DecodeError, match=r"scan_master.h5, image 3: .*scan_data_000002.h5"):
            series.read(3)
        assert np.array_equal(series.read(2), pixels[2])


def test_image_that_was_never_written_is_an_error_and_not_zeros(tmp_path: Path) -> None:
    pixels = frames(3)
    with h5py.File(tmp_path / "d.h5", "w") as file:
        stored = file.create_dataset(
            "entry/data/data", (5, *SHAPE), "u4", chunks=(1, *SHAPE), **hdf5plugin.Bitshuffle()
        )
        stored[:3] = pixels
    with open_images(tmp_path / "d.h5") as series:
        assert len(series) == 5
        assert series.n_images_ready == 3
        with pytest.raises(DecodeError, match=r"image 4.*is not written"):
            series.read(4)


def test_channel_axis_of_length_one_disappears(tmp_path: Path) -> None:
    pixels = frames(3, "uint16", (1, *SHAPE))
    write_data(tmp_path / "d.h5", pixels)
    with open_images(tmp_path / "d.h5") as series:
        assert series.metadata.shape == SHAPE
        assert same_images(series, pixels[:, 0])


def test_single_image_without_an_image_axis(tmp_path: Path) -> None:
    pixels = frames(1)
    write_data(tmp_path / "d.h5", pixels[0], chunks=SHAPE)
    with open_images(tmp_path / "d.h5") as series:
        assert same_images(series, pixels)


def test_series_grows_while_it_is_written(tmp_path: Path) -> None:
    pixels = frames(4)
    with h5py.File(tmp_path / "d.h5", "w", libver="latest") as writer:
        stored = writer.create_dataset(
            "entry/data/data", (0, *SHAPE), "u4", maxshape=(None, *SHAPE), chunks=(1, *SHAPE), **hdf5plugin.Bitshuffle()
        )
        writer.swmr_mode = True
        with open_images(tmp_path / "d.h5") as series:
            assert len(series) == series.n_images_ready == 0
            for k in range(4):
                stored.resize(k + 1, axis=0)
                stored.id.write_direct_chunk((k, 0, 0), encode_pixels(pixels[k], compression="bslz4"))
                stored.flush()
                assert series.n_images_ready == k + 1
                assert np.array_equal(series.read(k), pixels[k])


def test_file_without_images_says_what_is_looked_for(tmp_path: Path) -> None:
    write_master(tmp_path / "m.h5")
    with pytest.raises(DecodeError, match="neither data/data nor data/data_000001"):
        open_images(tmp_path / "m.h5")
    with h5py.File(tmp_path / "empty.h5", "w"):
        pass
    with pytest.raises(DecodeError, match="NXentry"):
        open_images(tmp_path / "empty.h5")


@pytest.mark.parametrize(
    "pixels", [np.zeros((2, 3, 4), "S3"), np.zeros(7, "u2"), np.zeros((1, 1, 1, 1, 1), "u2"), np.zeros((2, 3), "c16")]
)
def test_dataset_that_is_no_image_is_an_error(tmp_path: Path, pixels: Any) -> None:
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["entry/data/data"] = pixels
    with pytest.raises(DecodeError, match=r"d.h5:/?entry/data/data"):
        open_images(tmp_path / "d.h5")


def test_enormous_image_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file.create_dataset("entry/data/data", (1, 1 << 20, 1 << 20), "u4", chunks=(1, 64, 64))
    with pytest.raises(DecodeError, match="at most"):
        open_images(tmp_path / "d.h5")


def test_wrong_number_or_buffer_is_a_usage_error(tmp_path: Path) -> None:
    master, _ = write_eiger_series(tmp_path, [2])
    with open_images(master) as series:
        for number in (2, -1):
            with pytest.raises(UsageError, match="0 to 1"):
                series.read(number)
        with pytest.raises(UsageError, match="whole number"):
            series.read(1.5)  # type: ignore[arg-type]  # what a notebook may pass
        with pytest.raises(UsageError, match="C-contiguous"):
            series.read(0, np.empty(SHAPE, np.uint16))
        with pytest.raises(UsageError, match="C-contiguous"):
            series.read(0, np.empty(SHAPE[::-1], np.uint32).T)


@pytest.mark.parametrize("target", ["scan_master.h5", "scan_data_000001.h5"])
def test_cut_files_give_errors_of_ours(tmp_path: Path, target: str) -> None:
    # Bytes changed at random are not tried: HDF5's own library can then run for ever, before anything is ours.
    master, _ = write_eiger_series(tmp_path, [2])
    good = (tmp_path / target).read_bytes()
    for size in (*range(8, 200, 7), *range(200, len(good), len(good) // 40)):
        (tmp_path / target).write_bytes(good[:size])
        with pytest.raises(DecodeError, match=target):
            open_images(master).close()


def test_header_of_a_file_that_is_another_format_inside(tmp_path: Path) -> None:
    (tmp_path / "m.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(3000))
    with pytest.raises(DecodeError, match=r"m.h5 cannot be read"):
        open_images(tmp_path / "m.h5")
