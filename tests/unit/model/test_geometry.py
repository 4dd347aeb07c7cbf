from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from glimt.model.errors import UsageError
from glimt.model.geometry import Detector, Poni

DETECTOR = Detector(1e-4, 2e-4, (10, 20))


@pytest.mark.parametrize("value", [0, -0.1, math.nan, math.inf, 1e9, "far", None, [1]])
def test_distance_that_is_no_distance_is_refused_by_name(value: Any) -> None:
    with pytest.raises(UsageError, match=r"^dist is"):
        Poni(DETECTOR, value, 0.0, 0.0)


@pytest.mark.parametrize("name", ["poni1", "poni2", "rot1", "rot2", "rot3", "wavelength"])
def test_every_parameter_has_to_be_finite(name: str) -> None:
    with pytest.raises(UsageError, match=f"^{name} is nan"):
        Poni(DETECTOR, **{"dist": 0.1, "poni1": 0.0, "poni2": 0.0, name: math.nan})


def test_wavelength_in_angstrom_is_recognized_as_a_mistake() -> None:
    with pytest.raises(UsageError, match="wavelength is 1 m; meters are meant"):
        Poni(DETECTOR, 0.1, 0.0, 0.0, wavelength=1.0)


@pytest.mark.parametrize("size", [0, -1e-4, math.nan, "x", 5.0])
def test_pixel_size_has_to_be_a_length(size: Any) -> None:
    with pytest.raises(UsageError, match=r"^pixel2 is"):
        Detector(1e-4, size, (10, 10))


@pytest.mark.parametrize(
    "shape",
    [(0, 5), (5, -1), (10,), (1, 2, 3), "no", 5, (2.5, 3), (math.nan, 3), (1 << 40, 1 << 40), (1 << 20, 1 << 20)],
)
def test_shape_is_checked_before_anything_is_made_of_it(shape: Any) -> None:
    with pytest.raises(UsageError, match=r"^detector shape is"):
        Detector(1e-4, 1e-4, shape)


def test_shape_of_numpy_integers_becomes_plain() -> None:
    detector = Detector(1e-4, 1e-4, np.array([3, 4]))  # type: ignore[arg-type]  # what h5py hands out
    assert detector.shape == (3, 4)
    assert all(type(n) is int for n in detector.shape)


@pytest.mark.parametrize("orientation", [0, 5, "3", None])
def test_unknown_orientation_is_refused(orientation: Any) -> None:
    with pytest.raises(UsageError, match="pyFAI knows 1, 2, 3 and 4"):
        Detector(1e-4, 1e-4, (2, 2), orientation=orientation)


def test_turned_detector_without_shape_is_refused() -> None:
    with pytest.raises(UsageError, match="needs a shape"):
        Detector(1e-4, 1e-4, orientation=1)


@pytest.mark.parametrize(
    ("orientation", "axes"),
    [
        (3, (0.0, 1e-4, 0.0, 2e-4)),
        (2, (1e-3, -1e-4, 0.0, 2e-4)),
        (4, (0.0, 1e-4, 4e-3, -2e-4)),
        (1, (1e-3, -1e-4, 4e-3, -2e-4)),
    ],
)
def test_orientation_turns_axes_around(orientation: int, axes: tuple[float, ...]) -> None:
    assert Detector(1e-4, 2e-4, (10, 20), orientation=orientation).axes() == pytest.approx(axes)


def test_geometry_without_shape_says_how_to_get_one() -> None:
    poni = Poni(Detector(1e-4, 1e-4), 0.1, 0.0, 0.0)
    with pytest.raises(UsageError, match="with_shape"):
        _ = poni.shape
    assert poni.with_shape((3, 5)).shape == (3, 5)


def test_rotation_is_a_rotation_and_none_is_the_identity() -> None:
    np.testing.assert_array_equal(Poni(DETECTOR, 0.1, 0, 0).rotation(), np.eye(3))
    r = Poni(DETECTOR, 0.1, 0, 0, 0.3, -0.2, 1.1).rotation()
    np.testing.assert_allclose(r @ r.T, np.eye(3), atol=1e-15)
    assert np.linalg.det(r) == pytest.approx(1.0)


def test_first_rotation_moves_the_beam_foot_along_the_fast_axis() -> None:
    # pyFAI: positive rot1 turns the detector so that the direct beam hits it at larger x (fast).
    point_on_normal = np.array([0.0, 0.0, 1.0])
    t1, t2, t3 = Poni(DETECTOR, 0.1, 0, 0, rot1=0.1).rotation() @ point_on_normal
    assert (t1, t2, t3) == pytest.approx((0.0, math.sin(0.1), math.cos(0.1)))
