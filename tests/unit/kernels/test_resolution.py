from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from glimt.kernels.pixel_positions import positions, two_theta
from glimt.kernels.resolution import SpotResolution
from glimt.kernels.resolution_ice import MAX_D_STAR_SQ, ice_rings, on_ice_ring
from glimt.model.detector_geometry import DetectorGeometry, Panel
from glimt.model.errors import UsageError
from glimt.model.geometry import Detector, Poni

PANEL = Panel((-50.0, -50.0, 100.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.1, 0.1), (1000, 1000))
SENSOR = Panel((-50.0, -50.0, 100.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.1, 0.1), (1000, 1000), 0.45, 3.9)
GEOMETRY = DetectorGeometry([PANEL], 1.0)


def test_bragg_angle_gives_the_spacing() -> None:
    # 45 degrees of scattering, at as far from the beam as from the sample: d = 1 / (2 sin 22.5).
    (spacing,) = SpotResolution(DetectorGeometry([PANEL], 1.0)).d_spacing([1500.0], [500.0])
    assert spacing == pytest.approx(1 / (2 * math.sin(math.radians(22.5))))


def test_direct_beam_has_no_spacing_and_nan_stays_nan() -> None:
    resolution = SpotResolution(GEOMETRY)
    assert resolution.d_star([500.0, np.nan, 1.0, np.inf], [500.0, 1.0, np.nan, 1.0]).tolist() == [
        0.0,
        *([pytest.approx(math.nan, nan_ok=True)] * 3),
    ]
    assert resolution.d_spacing([500.0], [500.0]).tolist() == [math.inf]


def test_no_spots_have_no_resolutions() -> None:
    assert SpotResolution(GEOMETRY).d_star([], []).shape == (0,)


@pytest.mark.parametrize("orientation", [1, 2, 3, 4])
def test_poni_gives_the_angles_of_pyfai(orientation: int) -> None:
    detector = Detector(1e-4, 2e-4, (30, 20), orientation=orientation)
    poni = Poni(detector, 0.05, 0.003, -0.001, 0.3, -0.2, 0.5, 1.2e-10)
    y, x = np.mgrid[:30, :20] + 0.5
    d_star = SpotResolution(DetectorGeometry.from_poni(poni)).d_star(x.ravel(), y.ravel())
    expected = 2 * np.sin(two_theta(positions(poni)) / 2) / 1.2
    np.testing.assert_allclose(d_star, expected.ravel(), rtol=1e-12)


def test_parallax_moves_spots_inwards_by_the_depth_of_absorption() -> None:
    plain, corrected = (SpotResolution(DetectorGeometry([SENSOR], 1.0), parallax=way) for way in (False, True))
    mu, thickness, cos_t = 3.9, 0.45, math.cos(math.radians(45))
    depth = 1 / mu - (thickness / cos_t + 1 / mu) * math.exp(-mu * thickness / cos_t)
    moved = 1500.0 - depth * math.sin(math.radians(45)) / 0.1
    assert corrected.d_star([1500.0], [500.0]) == pytest.approx(plain.d_star([moved], [500.0]), rel=1e-12)
    assert 1 < 1500.0 - moved < 2


def test_parallax_leaves_panels_of_unknown_sensor_alone() -> None:
    mixed = SpotResolution(DetectorGeometry([PANEL, SENSOR], 1.0), parallax=True)
    one, other = mixed.d_star([900.0, 900.0], [100.0, 100.0], panel_number=[0, 1])
    assert one == SpotResolution(GEOMETRY, parallax=True).d_star([900.0], [100.0])[0]
    assert other < one


@pytest.mark.parametrize(
    ("x", "y", "panel_number", "complaint"),
    [
        ([1.0], [1.0, 2.0], [0], "x has the shape"),
        ([[1.0]], [[1.0]], [[0]], "x has the shape"),
        ([1.0], [1.0], None, "on which they are"),
        ([1.0], [1.0], [0, 1], "1 integers are needed"),
        ([1.0], [1.0], [0.0], "1 integers are needed"),
        ([1.0], [1.0], [2], "the panels are 0 to 1"),
        ([1.0], [1.0], [-1], "goes from -1"),
    ],
)
def test_spots_that_are_nowhere_are_refused(x: Any, y: Any, panel_number: Any, complaint: str) -> None:
    resolution = SpotResolution(DetectorGeometry([PANEL, PANEL], 1.0))
    with pytest.raises(UsageError, match=complaint):
        resolution.d_star(x, y, panel_number=panel_number)


def test_ice_rings_are_where_powder_patterns_of_ice_have_them() -> None:
    strongest = (3.895, 3.669, 3.441, 2.671, 2.249, 2.071, 1.948, 1.917, 1.883, 1.722)
    spacings = 1 / np.sqrt(ice_rings(1 / 1.70**2))
    assert [float(value) for value in np.sort(spacings)[::-1].round(2)] == [
        3.90, 3.67, 3.44, 2.67, 2.25, 2.07, 1.95, 1.92, 1.88, 1.83, 1.72,
    ]  # fmt: skip
    for spacing in strongest:
        assert np.abs(spacings - spacing).min() < 0.002


def test_rings_that_the_glide_plane_forbids_are_not_there() -> None:
    for h, k, l in ((0, 0, 1), (0, 0, 3), (1, 1, 1), (1, 1, 3)):  # noqa: E741
        d_star_sq = (h * h + h * k + k * k) * 4 / 3 / 4.498**2 + (l / 7.338) ** 2
        assert np.abs(ice_rings(2.0) - d_star_sq).min() > 1e-3


def test_ring_has_a_width_and_no_edge() -> None:
    ring = float(ice_rings(0.2)[0])
    near = [ring - 0.0021, ring - 0.0019, ring, ring + 0.0019, ring + 0.0021]
    assert on_ice_ring(near, width=0.004).tolist() == [False, True, True, True, False]


def test_what_is_no_resolution_is_on_no_ring() -> None:
    assert on_ice_ring([]).tolist() == []
    assert on_ice_ring([0.0, np.nan, np.inf, -1.0]).tolist() == [False] * 4
    assert on_ice_ring([np.nan]).tolist() == [False]
    assert on_ice_ring([1e9, 0.0659]).tolist() == [False, True]
    assert ice_rings(1e9)[-1] <= MAX_D_STAR_SQ


@pytest.mark.parametrize("width", [0.0, -1.0, math.nan, math.inf])
def test_ring_without_width_is_refused(width: float) -> None:
    with pytest.raises(UsageError, match="width of the ice rings"):
        on_ice_ring([0.1], width=width)


@pytest.mark.parametrize("limit", [0.0, -1.0, math.nan])
def test_rings_up_to_nowhere_are_refused(limit: float) -> None:
    with pytest.raises(UsageError, match="ice rings"):
        ice_rings(limit)
