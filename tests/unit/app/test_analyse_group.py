"""The analysis of the images of one group."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from glimt.app.analyse import analyse_images
from glimt.app.analyse_files import find_images
from glimt.app.analyse_group import AnalysedImage, AnalysisOptions, GroupAnalysis
from glimt.codecs.cbf import encode_cbf
from glimt.codecs.cbf_header import CbfHeader
from glimt.model.errors import UsageError
from glimt.model.geometry import Detector, Poni
from glimt.pipeline.workers.spot_options import SpotOptions

SHAPE = (240, 200)
HEADER = CbfHeader(
    detector="PILATUS 60K", pixel_size_m=(172e-6, 172e-6), beam_center_px=(120.0, 99.0), distance_m=0.08,
    wavelength_angstrom=1.0, count_cutoff=100000.0, sensor_thickness_m=0.45e-3, sensor_material="Silicon",
)  # fmt: skip
PONI = Poni(Detector(172e-6, 172e-6, SHAPE), 0.08, 120 * 172e-6, 99 * 172e-6, wavelength=1e-10)


def _frame(n_spots: int, seed: int = 1) -> npt.NDArray[np.int32]:
    random = np.random.default_rng(seed)
    frame = random.poisson(0.5, SHAPE)
    for slow, fast in zip(random.integers(5, 235, n_spots), random.integers(5, 195, n_spots), strict=True):
        frame[slow - 1 : slow + 2, fast - 1 : fast + 2] += random.poisson(40, (3, 3))
    frame[100:105] = -1
    return frame.astype(np.int32)


def _write(folder: Path, number: int, frame: npt.NDArray[np.int32], header: CbfHeader = HEADER) -> Path:
    path = folder / f"scan_{number:04d}.cbf"
    path.write_bytes(encode_cbf(frame, header=header))
    return path


def _run(folder: Path, options: AnalysisOptions | None = None) -> list[AnalysedImage]:
    found: list[AnalysedImage] = []
    report = analyse_images([folder], found.append, options=options, n_processes=1)
    assert report.n_images == len(found)
    assert report.n_failed == sum(image.quality is None for image in found)
    return found


def _n_spots(image: AnalysedImage) -> int:
    assert image.quality is not None, image.error
    return image.quality.n_spots_total


def test_images_with_more_spots_have_more_spots(tmp_path: Path) -> None:
    for number, n_spots in enumerate((0, 10, 40, 80)):
        _write(tmp_path, number, _frame(n_spots))
    counts = [_n_spots(image) for image in _run(tmp_path)]
    assert counts == sorted(counts)
    assert counts[0] <= 2
    assert 55 <= counts[3] <= 82


def test_damaged_images_are_rows_whichever_they_are(tmp_path: Path) -> None:
    paths = [_write(tmp_path, number, _frame(40)) for number in range(5)]
    paths[0].write_bytes(b"###CBF: nothing follows")
    paths[1].write_bytes(b"")
    paths[3].write_bytes(paths[3].read_bytes()[:-9000])
    found = _run(tmp_path)
    assert [image.quality is None for image in found] == [True, True, False, True, False]
    for image in found[:2] + found[3:4]:
        assert Path(image.file).name in image.error
    assert found[2].quality == found[4].quality


def test_images_that_are_all_damaged_are_all_rows(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"scan_{number}.cbf").write_bytes(b"###CBF: nothing follows")
    found = _run(tmp_path)
    assert [image.image_number for image in found] == [0, 1, 2]
    assert all(image.quality is None and image.error for image in found)


def test_missing_images_are_rows(tmp_path: Path) -> None:
    for number in (1, 3):
        _write(tmp_path, number, _frame(40))
    found: list[AnalysedImage] = []
    analyse_images([tmp_path / "scan_####.cbf"], found.append, n_processes=1)
    assert [image.quality is None for image in found] == [False, True, False]
    assert found[1].error == f"{tmp_path / 'scan_0002.cbf'} is missing"


def test_an_image_of_another_shape_is_a_row(tmp_path: Path) -> None:
    _write(tmp_path, 1, _frame(40))
    _write(tmp_path, 2, _frame(40)[:, :150].copy())
    assert [image.quality is None for image in _run(tmp_path)] == [False, True]


def test_without_a_geometry_each_image_says_what_is_missing(tmp_path: Path) -> None:
    _write(tmp_path, 1, _frame(40), CbfHeader(pixel_size_m=(172e-6, 172e-6)))
    (image,) = _run(tmp_path)
    assert "distance_m, beam_center_px; give a PONI file" in image.error
    assert _n_spots(_run(tmp_path, AnalysisOptions(poni=PONI))[0]) > 20


def test_a_poni_file_and_a_mask_of_another_shape_are_errors_of_the_images(tmp_path: Path) -> None:
    _write(tmp_path, 1, _frame(40))
    other = Poni(Detector(172e-6, 172e-6, (10, 10)), 0.08, 0.0, 0.0, wavelength=1e-10)
    assert "these have (240, 200)" in _run(tmp_path, AnalysisOptions(poni=other))[0].error
    assert "the mask has shape (10, 10)" in _run(tmp_path, AnalysisOptions(mask=np.zeros((10, 10), np.bool_)))[0].error


def test_masked_pixels_have_no_spots(tmp_path: Path) -> None:
    _write(tmp_path, 1, _frame(60))
    mask = np.zeros(SHAPE, np.bool_)
    mask[:120] = True
    whole, half = _run(tmp_path)[0], _run(tmp_path, AnalysisOptions(mask=mask))[0]
    assert 0 < _n_spots(half) < _n_spots(whole)
    assert _n_spots(_run(tmp_path, AnalysisOptions(mask=np.ones(SHAPE, np.bool_)))[0]) == 0


def test_a_frame_of_strong_pixels_only_is_a_row_with_an_error(tmp_path: Path) -> None:
    _write(tmp_path, 1, _frame(60))
    options = AnalysisOptions(SpotOptions(max_strong_pixel_fraction=0.001))
    assert "strong" in _run(tmp_path, options)[0].error


def test_processes_give_the_same_as_one(tmp_path: Path) -> None:
    for number in range(9):
        _write(tmp_path, number, _frame(8 * number, seed=number))
    (tmp_path / "scan_0004.cbf").write_bytes(b"###CBF: nothing follows")
    several: list[AnalysedImage] = []
    report = analyse_images([tmp_path], several.append, n_processes=2)
    assert report.n_processes == 2
    assert several == _run(tmp_path)


def test_options_that_make_no_sense_are_errors(tmp_path: Path) -> None:
    _write(tmp_path, 1, _frame(60))
    assert "d_min" in _run(tmp_path, AnalysisOptions(SpotOptions(d_min=5.0, d_max=2.0)))[0].error
    with pytest.raises(UsageError, match="0 processes"):
        analyse_images([tmp_path], print, n_processes=0)


def test_a_closed_group_reads_no_more(tmp_path: Path) -> None:
    _write(tmp_path, 1, _frame(60))
    (group,) = find_images([tmp_path])
    analysis = GroupAnalysis(group, AnalysisOptions())
    assert analysis.analyse(0).quality is not None
    analysis.close()
    assert "closed" in analysis.analyse(0).error
