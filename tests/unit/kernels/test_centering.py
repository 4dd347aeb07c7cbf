from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from glimt.kernels.centering import describe_center_2d, find_center_2d
from glimt.kernels.centering_grid import ScanGrid
from glimt.kernels.centering_wells import Wells
from glimt.model.errors import UsageError

# Spot counts of real scans and what Diamond's service made of them: the vectors of dlstbx' own tests (BSD-3-Clause).
THAUMATIN = [
    [0, 73, 187, 119, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 0, 0, 144, 449, 539, 418, 141, 2],
    [0, 100, 402, 592, 538, 394, 221, 0, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 151, 352, 440, 506, 515, 229, 13, 0],
    [0, 2, 27, 229, 415, 481, 387, 389, 90, 1, 0, 0, 0, 0],
    [0, 0, 0, 0, 107, 441, 436, 385, 289, 96, 74, 18, 0, 0],
    [0, 0, 0, 25, 26, 41, 179, 376, 382, 295, 28, 0, 0, 0],
    [0, 0, 14, 115, 217, 159, 52, 29, 44, 9, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 11, 57, 24, 22, 16, 32, 41, 11, 0],
    [26, 48, 27, 24, 16, 8, 2, 0, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10, 28, 48],
]
THAUMATIN_GRID = ScanGrid((14, 11), True, "horizontal", (1.25, 1.25), (396.2, 241.2))

FAINT = {
    2: {9: 1, 11: 1, 13: 1},
    3: dict(zip(range(19, 27), (1, 2, 2, 2, 3, 3, 2, 2), strict=True)),
    4: dict(zip(range(8, 19), (1, 3, 5, 9, 4, 11, 7, 7, 2, 4, 1), strict=True)),
    5: dict(zip(range(19, 30), (8, 5, 9, 6, 7, 7, 9, 6, 3, 1, 2), strict=True)),
    6: dict(zip(range(5, 18), (1, 1, 3, 4, 6, 6, 7, 10, 9, 8, 9, 6, 3), strict=True)),
    7: dict(zip(range(19, 32), (3, 8, 9, 9, 7, 9, 10, 11, 10, 6, 2, 2, 1), strict=True)),
    8: dict(zip(range(5, 18), (2, 3, 5, 5, 11, 10, 9, 11, 8, 8, 7, 9, 5), strict=True)),
    9: dict(zip(range(19, 31), (3, 12, 12, 7, 9, 7, 8, 14, 8, 6, 3, 2), strict=True)),
    10: dict(zip(range(7, 18), (2, 7, 9, 12, 9, 8, 6, 10, 8, 9, 4), strict=True)),
    11: dict(zip(range(18, 29), (2, 4, 8, 4, 6, 7, 11, 5, 10, 4, 2), strict=True)),
    12: dict(zip(range(8, 18), (1, 3, 6, 8, 7, 7, 8, 6, 7, 5), strict=True)),
    13: dict(zip(range(19, 25), (4, 6, 8, 6, 6, 4), strict=True)) | {25: 3},
    14: dict(zip(range(13, 19), (5, 4, 7, 7, 3, 2), strict=True)),
    15: dict(zip(range(18, 23), (1, 3, 2, 2, 2), strict=True)),
    16: dict(zip(range(15, 19), (1, 2, 1, 1), strict=True)),
}
FAINT_REGION = {
    4: (11, 13, 14, 15),
    5: (10, 11, 12, 14, 16),
    6: (11, 12, 13, 14, 15),
    7: range(8, 16),
    8: range(9, 17),
    9: range(8, 16),
    10: (8, 9, 10, 11, 12, 14, 15, 16),
    11: (9, 11, 12, 15),
    12: (11, 12, 13, 14, 16),
    13: (14,),
    14: (15, 16),
}


def test_snaked_horizontal_scan_gives_the_values_of_the_service() -> None:
    center = find_center_2d(np.ravel(THAUMATIN), THAUMATIN_GRID)
    region = {1: (2, 3, 4), 2: (2, 3, 4, 5), 3: (3, 4, 5, 6), 4: (4, 5, 6, 7), 5: (6, 7, 8), 6: (7, 8)}
    assert center.as_message() == {
        "centre_of_mass": (5.45, 3.8),
        "max_voxel": (3, 2),
        "max_count": 592.0,
        "n_voxels": 20,
        "total_count": 8837.0,
        "sample_id": None,
        "steps": (14, 11),
        "box_size_px": (1.25, 1.25),
        "snapshot_offset": (396.2, 241.2),
        "centre_x": 403.0125,
        "centre_y": 245.95,
        "centre_x_box": 5.45,
        "centre_y_box": 3.8,
        "status": "ok",
        "message": "ok",
        "best_image": 32,
        "reflections_in_best_image": 592,
        "best_region": tuple((y, x) for y, row in region.items() for x in row),
    }


def test_log_of_a_scan_has_the_lines_of_the_service() -> None:
    counts = np.ravel(THAUMATIN)
    log = describe_center_2d(counts, find_center_2d(counts, THAUMATIN_GRID))
    assert "There are 592 reflections in image #32." in log
    assert "[  .   . 402 592 538 394   .   .   .   .   .   .   .   .]" in log
    assert log.endswith("centre_x,centre_y=403.0125,245.95")


def test_faint_crystal_gives_the_values_of_the_service() -> None:
    counts = np.zeros((23, 36), int)
    for y, row in FAINT.items():
        counts[y, list(row)] = list(row.values())
    grid = ScanGrid((36, 23), True, "horizontal", (17.6678445229682, 17.6678445229682), (339.919, 182.59))
    center = find_center_2d(counts.ravel(), grid)
    assert center.center_of_mass == (12.879310344827585, 8.913793103448276)
    assert center.center_px == (567.4686527354697, 340.0775106616303)
    assert (center.max_voxel, center.max_count, center.n_voxels, center.total_count) == ((9, 9), 14.0, 58, 507.0)
    assert center.best_image == 351
    assert center.best_region == tuple((y, x) for y, row in FAINT_REGION.items() for x in row)
    assert "[ .  .  .  .  .  .  .  .  7  9 12  9  8  . 10  8  9  ." in describe_center_2d(counts.ravel(), center)


def test_vertical_line_gives_the_values_of_the_service() -> None:
    counts = [0] * 9 + [1, 0, 1] + [0] * 12 + [1, 9, 20, 21, 21, 11, 3, 13, 35, 40, 45, 49, 53, 59, 75, 76, 78, 80, 75]
    counts += [78, 75, 79, 83, 86, 90, 94, 107, 114, 107, 99, 91, 86, 77, 73, 63, 52, 37, 22, 3] + [0] * 17
    grid = ScanGrid((1, 80), True, "vertical", (24.096385542168676, 6.024096385542169), (446.952, 123.036))
    center = find_center_2d(counts, grid)
    assert center.n_missing == 0
    assert center.center_of_mass == (0.5, 48.0)
    assert center.center_px == (459.00019277108436, 412.1926265060241)
    assert (center.max_voxel, center.max_count, center.n_voxels, center.total_count) == ((0, 51), 114.0, 22, 1845.0)
    assert center.best_image == 52
    assert center.best_region == tuple((y, 0) for y in range(37, 59))


def test_snaked_vertical_scan_gives_the_values_of_the_service() -> None:
    counts = [0, 0, 6, 54, 38, 0, 5, 41, 44, 5, 0, 0, 0, 0, 0, 3, 4, 1] + [0] * 12
    grid = ScanGrid((5, 6), True, "vertical", (45.45454545454545, 45.45454545454545), (339.273, 236.727))
    center = find_center_2d(counts, grid)
    assert center.center_of_mass == (1.0, 4.0)
    assert center.center_px == (384.72754545454546, 418.54518181818185)
    assert (center.max_voxel, center.max_count, center.n_voxels, center.total_count) == ((0, 3), 54.0, 4, 177.0)
    assert center.best_image == 4
    assert center.best_region == ((3, 0), (3, 1), (4, 0), (4, 1))


def test_scan_described_by_ispyb_gives_the_values_of_the_service() -> None:
    gridinfo = {
        "orientation": "horizontal",
        "snapshot_offsetXPixel": 79.9863,
        "snapshot_offsetYPixel": 57.0822,
        "dx_mm": 0.04,
        "dy_mm": 0.04,
        "steps_x": 7.0,
        "steps_y": 5.0,
        "pixelsPerMicronX": 0.438,
        "pixelsPerMicronY": 0.438,
        "snaked": 1,
        "gridInfoId": 1337162,
    }
    counts = [1, 0, 0, 0, 0, 1, 0, 239, 29, 3, 4, 0, 1, 0, 5, 0, 190, 249, 230, 206, 190, 202, 190, 184, 208, 107]
    counts += [1, 0, 0, 0, 0, 236, 183, 193, 230]
    center = find_center_2d(counts, ScanGrid.from_gridinfo(gridinfo))
    assert center.center_px == (530.0841473581213, 357.1474315720809)
    assert center.center_of_mass == (4.928571428571429, 3.2857142857142856)
    assert (center.best_image, center.max_count, center.n_voxels, center.total_count) == (18, 249.0, 14, 2930.0)


def test_result_file_is_json_with_the_names_that_the_beamline_reads() -> None:
    written = json.loads(find_center_2d(np.ravel(THAUMATIN), THAUMATIN_GRID, sample_id=7).as_json())
    assert list(written) == sorted(written)
    assert written["centre_x"] == 403.0125
    assert written["steps"] == [14, 11]
    assert written["best_region"][0] == [1, 2]
    assert written["status"] == "ok"
    assert written["sample_id"] == 7


@pytest.mark.parametrize("counts", [np.zeros(30), [], np.full(30, np.nan)])
def test_scan_without_diffraction_fails_and_says_so(counts: Any) -> None:
    grid = ScanGrid((5, 6), True, "vertical", (45.45, 45.45), (339.273, 236.727))
    center = find_center_2d(counts, grid)
    message = center.as_message()
    assert not center.is_found
    assert (message["status"], message["message"]) == ("fail", "No good images found")
    given = {"steps", "box_size_px", "snapshot_offset", "status", "message"}
    assert all(message[name] is None for name in message.keys() - given)
    assert message["steps"] == (5, 6)
    assert "No good images found" in describe_center_2d(counts, center)
    json.loads(center.as_json())


@pytest.mark.parametrize(
    "counts",
    [
        np.ones((10, 10), int),
        np.full((10, 10), 5),
        np.block([[np.full((6, 6), 6), np.full((6, 4), 5)], [np.full((4, 6), 4), np.full((4, 4), 3)]]),
    ],
)
def test_grid_that_diffracts_everywhere_is_one_region(counts: Any) -> None:
    center = find_center_2d(counts.ravel(), ScanGrid((10, 10)))
    assert center.best_region == tuple((y, x) for y in range(10) for x in range(10))
    assert center.center_of_mass == center.center_px == (5.0, 5.0)
    assert center.best_image == 1
    assert center.as_message()["reflections_in_best_image"] == counts.max()


def test_region_with_most_boxes_wins_not_the_strongest() -> None:
    center = find_center_2d([100, 0, 50, 50, 0], ScanGrid((5, 1)))
    assert center.center_of_mass == (3.0, 0.5)
    assert (center.max_count, center.total_count, center.best_image) == (100.0, 100.0, 1)


def test_first_of_two_equally_large_regions_wins() -> None:
    assert find_center_2d([60, 0, 0, 100], ScanGrid((4, 1))).center_of_mass == (0.5, 0.5)


def test_weighted_center_leans_towards_the_stronger_boxes() -> None:
    center = find_center_2d([100, 60], ScanGrid((2, 1)), weighted=True)
    assert center.center_of_mass is not None
    assert center.center_of_mass == pytest.approx((0.5 + 60 / 160, 0.5))


def test_missing_images_count_as_empty_and_are_told() -> None:
    counts = np.ravel(THAUMATIN).astype(float)
    counts[0] = np.nan
    center = find_center_2d(counts[:100], THAUMATIN_GRID)
    assert center.n_missing == 1 + 54
    assert center.center_of_mass == (5.45, 3.8)
    assert "55 of 154 images are missing." in describe_center_2d(counts[:100], center)


def test_sample_is_that_of_the_well_along_x() -> None:
    wells = Wells(((0.0, 1.0), (1.0, 3.0)), {1: 11, 2: 12})
    counts = np.zeros((2, 3))
    counts[0, 2] = 9
    assert find_center_2d(counts.ravel(), ScanGrid((3, 2)), sample_id=11, wells=wells).sample_id == 12


@pytest.mark.parametrize(
    ("counts", "options", "complaint"),
    [
        ([1, -1], {}, "go from -1 to 1"),
        ([1, np.inf], {}, "to inf"),
        ([1, 2, 3], {}, "for a grid of 2 x 1 boxes"),
        ([[1, 2]], {}, "for a grid of 2 x 1 boxes"),
        (["a", "b"], {}, "numbers are needed"),
        ([1, 2], {"min_fraction": 0.0}, "min_fraction is 0.0"),
        ([1, 2], {"min_fraction": float("nan")}, "min_fraction is nan"),
    ],
)
def test_values_that_make_no_sense_are_named(counts: Any, options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        find_center_2d(counts, ScanGrid((2, 1)), **options)
