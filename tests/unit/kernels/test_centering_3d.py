from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from glimt.kernels.centering_3d import find_centers_3d
from glimt.kernels.centering_grid import ScanGrid
from glimt.kernels.centering_wells import Wells
from glimt.model.errors import UsageError

# Two scans of a lysozyme crystal at -45 and +45 degrees: counts of images 30 to 90, vectors of dlstbx' own tests.
GRID = ScanGrid((14, 9), snaked=True)
MINUS_45 = [0] * 19 + [4, 28, 19] + [0] * 6 + [10, 58, 87, 89, 52, 1, 0, 1] + [0] * 11
MINUS_45 += [2, 12, 32, 32, 22, 0, 0, 0, 2, 1, 0, 1]
PLUS_45 = [2, 6, 5, 1] + [0] * 15 + [6, 37, 51, 40, 20] + [0] * 4 + [11, 50, 72, 82, 41, 0, 0, 2] + [0] * 12
PLUS_45 += [4, 8, 2, 1]


def _scans() -> tuple[Any, Any]:
    return GRID.arrange([0] * 30 + MINUS_45), GRID.arrange([0] * 30 + PLUS_45)


def test_crystal_seen_twice_gives_the_values_of_the_service() -> None:
    (center,) = find_centers_3d(*_scans(), sample_id=12345)
    message = center.as_message()
    assert message.pop("centre_of_mass") == pytest.approx((4.858891830104681, 4.500240644928408, 4.197689808687282))
    assert message == {
        "max_voxel": (5, 4, 4),
        "max_count": 7298,
        "n_voxels": 9,
        "total_count": 33244,
        "bounding_box": ((3, 3, 3), (7, 6, 5)),
        "sample_id": 12345,
    }
    json.dumps(center.as_message())


def test_absolute_threshold_gives_the_values_of_the_service() -> None:
    (center,) = find_centers_3d(*_scans(), threshold=0.05, threshold_absolute=5, sample_id=12345)
    message = center.as_message()
    assert message.pop("centre_of_mass") == pytest.approx((4.74100, 4.56832, 4.13685), abs=1e-5)
    assert message == {
        "max_voxel": (5, 4, 4),
        "max_count": 7298.0,
        "n_voxels": 20,
        "total_count": 44128.0,
        "bounding_box": ((2, 3, 2), (7, 6, 6)),
        "sample_id": 12345,
    }


def test_samples_of_one_pin_give_the_values_of_the_service() -> None:
    grid = ScanGrid((12, 1), snaked=True)
    xy = grid.arrange([0, 3, 3, 0, 0, 20, 10, 0, 0, 1, 0, 1])
    xz = grid.arrange([0, 3, 3, 0, 0, 10, 10, 0, 0, 1, 1, 1])
    wells = Wells(((0.0, 4.0), (4.0, 7.0), (8.0, 11.0)), {1: 12345, 2: 12346, 3: 12347})
    strong, weak = find_centers_3d(xy, xz, threshold=0.25, sample_id=12345, wells=wells)
    assert strong.as_message() | {"centre_of_mass": None} == {
        "centre_of_mass": None,
        "max_voxel": (5, 0, 0),
        "max_count": 200.0,
        "n_voxels": 2,
        "total_count": 300.0,
        "sample_id": 12346,
        "bounding_box": ((5, 0, 0), (7, 1, 1)),
    }
    assert weak.as_message() | {"centre_of_mass": None} == {
        "centre_of_mass": None,
        "max_voxel": (1, 0, 0),
        "max_count": 9.0,
        "n_voxels": 2,
        "total_count": 18.0,
        "sample_id": 12345,
        "bounding_box": ((1, 0, 0), (3, 1, 1)),
    }
    assert strong.center_of_mass == pytest.approx((5 + 5 / 6, 0.5, 0.5))


def test_without_wells_the_strongest_crystal_sets_the_threshold_for_all() -> None:
    xy = np.array([[3.0], [0.0], [20.0]])
    assert [center.max_voxel for center in find_centers_3d(xy, xy)] == [(2, 0, 0)]


def test_scan_without_diffraction_has_no_center() -> None:
    assert find_centers_3d(np.zeros((3, 2)), np.ones((3, 4))) == []
    assert find_centers_3d([[1, 0]], [[1, 0]], threshold_absolute=2) == []
    assert find_centers_3d(np.full((2, 2), np.nan), np.ones((2, 2))) == []


def test_missing_boxes_count_as_empty() -> None:
    xy = np.array([[4.0, np.nan], [4.0, 0.0]])
    (center,) = find_centers_3d(xy, np.ones((2, 1)))
    assert center.bounding_box == ((0, 0, 0), (2, 1, 1))


def test_scans_that_are_given_stay_as_they_are() -> None:
    xy = np.array([[1.0, 9.0]])
    find_centers_3d(xy, xy, threshold_absolute=5)
    assert xy.tolist() == [[1.0, 9.0]]


@pytest.mark.parametrize(
    ("xy", "xz", "options", "complaint"),
    [
        (np.ones((2, 2)), np.ones((3, 2)), {}, "shapes"),
        (np.ones(4), np.ones((4, 1)), {}, "shapes"),
        (np.ones((0, 2)), np.ones((0, 2)), {}, "shapes"),
        (np.ones((1, 8192)), np.ones((1, 8192)), {}, "more than 4194304 voxels"),
        (-np.ones((1, 1)), np.ones((1, 1)), {}, "go from -1"),
        (np.ones((1, 1)), np.ones((1, 1)), {"threshold": 0.0}, "threshold is 0.0"),
        (np.ones((1, 1)), np.ones((1, 1)), {"threshold": 1.5}, "threshold is 1.5"),
        (np.ones((1, 1)), np.ones((1, 1)), {"threshold_absolute": float("nan")}, "threshold_absolute nan"),
    ],
)
def test_scans_that_make_no_sense_are_named(xy: Any, xz: Any, options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        find_centers_3d(xy, xz, **options)
