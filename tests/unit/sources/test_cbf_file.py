from __future__ import annotations

import bz2
import gzip
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glimt.codecs.cbf import decode_cbf, encode_cbf
from glimt.codecs.cbf_header import CbfHeader
from glimt.model.errors import DecodeError, UsageError
from glimt.sources.cbf_file import CbfSeries
from glimt.sources.image_file import open_images
from glimt.sources.image_file_bytes import read_image_file
from glimt.sources.nxmx_file import NxmxSeries

needs_fabio = pytest.mark.skipif(importlib.util.find_spec("fabio") is None, reason="FabIO is not installed")

HEADER = CbfHeader(
    detector="PILATUS3 6M",
    serial_number="60-0119",
    pixel_size_m=(172e-6, 172e-6),
    beam_center_px=(13.5, 17.25),
    distance_m=0.351,
    wavelength_angstrom=0.96859,
    exposure_s=0.019,
    count_cutoff=115897.0,
)


def _image(k: int, shape: tuple[int, int] = (23, 31)) -> Any:
    pixels = np.random.default_rng(k).poisson(4, shape).astype(np.int32)
    pixels[10:12] = -1
    pixels[3, 4] = -2
    return pixels


def _write(folder: Path, numbers: list[int], ending: str = "") -> None:
    pack = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress}[ending]
    for k in numbers:
        (folder / f"thau_2_{k:04d}.cbf{ending}").write_bytes(pack(encode_cbf(_image(k), HEADER)))


@pytest.mark.parametrize("ending", ["", ".gz", ".bz2"])
def test_template_finds_its_files_packed_or_not(tmp_path: Path, ending: str) -> None:
    _write(tmp_path, [7, 8, 9, 10], ending)
    for template in ("thau_2_####.cbf", "thau_2_%04d.cbf", f"thau_2_####.cbf{ending}"):
        with open_images(tmp_path / template) as series:
            assert isinstance(series, CbfSeries)
            assert len(series) == series.n_images_ready == 4
            assert all(np.array_equal(series.read(k), _image(7 + k)) for k in range(4))


def test_single_file_is_a_series_of_one(tmp_path: Path) -> None:
    _write(tmp_path, [1, 2])
    with open_images(tmp_path / "thau_2_0002.cbf") as series:
        assert len(series) == 1
        assert np.array_equal(series.read(0), _image(2))


def test_files_in_the_order_given(tmp_path: Path) -> None:
    _write(tmp_path, [1, 2, 3])
    with open_images([tmp_path / f"thau_2_000{k}.cbf" for k in (3, 1)]) as series:
        assert len(series) == 2
        assert np.array_equal(series.read(0), _image(3))
        assert np.array_equal(series.read(1), _image(1))


def test_metadata_and_mask_come_from_the_first_image(tmp_path: Path) -> None:
    _write(tmp_path, [1])
    with open_images(tmp_path / "thau_2_0001.cbf") as series:
        m = series.metadata
        assert (m.shape, m.dtype, m.detector_name) == ((23, 31), "int32", "PILATUS3 6M")
        assert (m.distance_m, m.beam_center_px, m.wavelength_angstrom) == (0.351, (13.5, 17.25), 0.96859)
        assert (m.exposure_s, m.saturation_value, m.serial_number) == (0.019, 115897.0, "60-0119")
        assert m.poni().poni1 == pytest.approx(13.5 * 172e-6)
        assert series.mask is not None
        assert np.array_equal(series.mask, _image(1) < 0)


def test_missing_file_in_the_middle_is_named_and_no_other(tmp_path: Path) -> None:
    _write(tmp_path, [1, 2, 4])
    with open_images(tmp_path / "thau_2_####.cbf") as series:
        assert len(series) == 4
        assert series.n_images_ready == 2
        with pytest.raises(DecodeError, match=r"\A[^:]*thau_2_0003.cbf is missing\Z"):
            series.read(2)
        assert np.array_equal(series.read(3), _image(4))
        _write(tmp_path, [3, 5])
        assert series.n_images_ready == 5
        assert np.array_equal(series.read(2), _image(3))


def test_image_of_another_size_names_both(tmp_path: Path) -> None:
    _write(tmp_path, [1])
    (tmp_path / "thau_2_0002.cbf").write_bytes(encode_cbf(_image(2, (5, 6))))
    with open_images(tmp_path / "thau_2_####.cbf") as series:
        with pytest.raises(DecodeError, match=r"\A[^:]*thau_2_0002.cbf: \[5, 6\] of int32 does not fit"):
            series.read(1)
        out = np.empty((23, 31), np.int32)
        assert series.read(0, out) is out


@pytest.mark.parametrize("ending", ["", ".gz", ".bz2"])
def test_cut_file_says_so(tmp_path: Path, ending: str) -> None:
    _write(tmp_path, [1, 2], ending)
    second = tmp_path / f"thau_2_0002.cbf{ending}"
    second.write_bytes(second.read_bytes()[: 1500 if not ending else -20])
    with (
        open_images(tmp_path / "thau_2_####.cbf") as series,
        pytest.raises(DecodeError, match=r"\A[^:]*_0002.cbf.*cut"),
    ):
        series.read(1)


def test_file_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    for name, pack in (("bomb.gz", gzip.compress), ("bomb.bz2", bz2.compress)):
        (tmp_path / name).write_bytes(pack(bytes(1_000_000)))
        with pytest.raises(DecodeError, match="more than 1000 bytes"):
            read_image_file(tmp_path / name, where="test", max_bytes=1000)


def test_number_or_template_that_does_not_exist_is_a_usage_error(tmp_path: Path) -> None:
    _write(tmp_path, [1])
    with open_images(tmp_path / "thau_2_0001.cbf") as series, pytest.raises(UsageError, match="no image 1"):
        series.read(1)
    for name, text in (
        ("thau_9_####.cbf", "no such image files"),
        ("nothing.cbf", "no such file"),
        ("nowhere/x_####.cbf", "cannot be read"),
        (".", "is no file"),
        ("x_##########.cbf", "at most 9"),
    ):
        with pytest.raises(UsageError, match=text):
            open_images(tmp_path / name)
    with pytest.raises(UsageError, match="empty list"):
        open_images([])


def test_closed_series_cannot_be_read(tmp_path: Path) -> None:
    _write(tmp_path, [1])
    series = open_images(tmp_path / "thau_2_0001.cbf")
    series.close()
    with pytest.raises(DecodeError, match="closed"):
        series.read(0)


def test_hdf5_files_are_opened_one_at_a_time(tmp_path: Path) -> None:
    from hdf5_masters import write_eiger_series

    master, pixels = write_eiger_series(tmp_path, [1])
    with open_images([master]) as series:
        assert isinstance(series, NxmxSeries)
        assert np.array_equal(series.read(0), pixels[0])
    with pytest.raises(UsageError, match="one at a time"):
        open_images([master, master])


@needs_fabio
def test_any_other_format_is_read_by_fabio(tmp_path: Path) -> None:
    fabio = importlib.import_module("fabio")
    image = np.arange(35, dtype=np.uint16).reshape(5, 7)
    for k in (1, 2):
        fabio.edfimage.EdfImage(data=image + k).write(str(tmp_path / f"a_{k:03d}.edf"))
    with open_images(tmp_path / "a_###.edf") as series:
        assert len(series) == series.n_images_ready == 2
        assert (series.metadata.shape, series.metadata.dtype, series.mask) == ((5, 7), "uint16", None)
        out = np.empty((5, 7), np.uint16)
        assert series.read(1, out) is out
        assert np.array_equal(out, image + 2)
    (tmp_path / "a_002.edf").write_bytes(b"{\nHeaderID = EH:000001\n}\n")
    with open_images(tmp_path / "a_###.edf") as series, pytest.raises(DecodeError, match=r"\A[^:]*a_002.edf"):
        series.read(1)


@needs_fabio
def test_several_images_in_one_file_are_read_by_fabio(tmp_path: Path) -> None:
    fabio = importlib.import_module("fabio")
    image = np.arange(35, dtype=np.uint16).reshape(5, 7)
    many = fabio.edfimage.EdfImage(data=image)
    many.append_frame(data=image + 1)
    many.write(str(tmp_path / "many.edf"))
    with open_images(tmp_path / "many.edf") as series:
        assert len(series) == series.n_images_ready == 2
        assert np.array_equal(series.read(1), image + 1)
        assert np.array_equal(series.read(0), image)


@needs_fabio
def test_file_that_nobody_can_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "noise.tif").write_bytes(b"not a picture at all" * 20)
    with pytest.raises(DecodeError, match="FabIO cannot read"):
        open_images(tmp_path / "noise.tif")


def test_real_grid_scan_is_one_series(shared_data: Path) -> None:
    folder = shared_data / "gridscan_thaumatin_pilatus6m"
    with open_images(folder / "thau_3_2_####.cbf.bz2") as series:
        assert len(series) == series.n_images_ready == 19
        assert series.metadata.shape == (2527, 2463)
        assert series.metadata.beam_center_px == (1306.96, 1261.61)
        assert series.metadata.exposure_s == 0.019
        assert series.mask is not None
        assert series.mask.sum() == (series.read(0) < 0).sum() > 400_000


def test_real_image_is_what_its_checksum_says(shared_data: Path) -> None:
    path = shared_data / "gridscan_thaumatin_pilatus6m" / "thau_3_2_0010.cbf.bz2"
    data = read_image_file(path, where="test")
    pixels, header = decode_cbf(data, check_md5=True)
    assert decode_cbf(encode_cbf(pixels, header), check_md5=True).header == header
    assert header.detector == "PILATUS3 6M"
    assert set(np.unique(pixels[pixels < 0])) == {-2, -1}
