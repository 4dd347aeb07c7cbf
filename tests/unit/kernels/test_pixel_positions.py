from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest

from glimt.kernels.pixel_positions import (
    azimuth,
    corner_positions,
    momentum_transfer,
    polarization,
    positions,
    radius,
    solid_angle,
    two_theta,
)
from glimt.kernels.radial_units import UNITS, radial_unit
from glimt.model.errors import UsageError
from glimt.model.geometry import Detector, Poni

GEOMETRIES = [
    Poni(Detector(1e-4, 1.3e-4, (21, 17)), 0.05, 0.0007, 0.0011, wavelength=1.1e-10),
    Poni(Detector(1e-4, 1.3e-4, (21, 17)), 0.005, -0.0007, 0.0011, 0.4, -0.3, 1.2, wavelength=1.1e-10),
    Poni(Detector(1e-4, 1.3e-4, (21, 17), orientation=2), 0.05, 0.0007, 0.0011, 0.1, wavelength=1.1e-10),
    Poni(Detector(1e-4, 1.3e-4, (21, 17), orientation=4), 0.05, 0.0007, 0.0011, 0.1, 0.2, wavelength=1.1e-10),
    Poni(Detector(1e-4, 1.3e-4, (21, 17), orientation=1), 0.05, 0.0007, 0.0011, 0.1, 0.2, 3.0, wavelength=1.1e-10),
    Poni(Detector(1e-4, 1.3e-4, (21, 17)), 0.005, 0.0007, 0.0011, rot1=2.6, wavelength=1.1e-10),  # backwards
]


def peer(poni: Poni) -> Any:
    """The same geometry in pyFAI."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("pyFAI", reason="pyFAI is not installed; nothing to compare with")
        from pyFAI.detectors import Detector as PeerDetector
        from pyFAI.integrator.azimuthal import AzimuthalIntegrator as PeerIntegrator

        d = poni.detector
        return PeerIntegrator(
            dist=poni.dist, poni1=poni.poni1, poni2=poni.poni2, rot1=poni.rot1, rot2=poni.rot2, rot3=poni.rot3,
            detector=PeerDetector(d.pixel1, d.pixel2, max_shape=d.shape, orientation=d.orientation),
            wavelength=poni.wavelength,
        )  # fmt: skip


@pytest.mark.parametrize("poni", GEOMETRIES)
def test_angles_and_lengths_are_those_of_pyfai(poni: Poni) -> None:
    other, at = peer(poni), positions(poni)
    q = momentum_transfer(at, poni.wavelength)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_allclose(two_theta(at), other.center_array(unit="2th_rad", scale=False), rtol=1e-10)
        np.testing.assert_allclose(radius(at), other.center_array(unit="r_m", scale=False), rtol=1e-10)
        np.testing.assert_allclose(q, other.center_array(unit="q_A^-1"), rtol=1e-10)
        np.testing.assert_allclose(azimuth(at), other.center_array(unit="chi_rad", scale=False), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("poni", GEOMETRIES)
def test_corrections_are_those_of_pyfai(poni: Poni) -> None:
    other, at = peer(poni), positions(poni)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_allclose(solid_angle(poni), other.solidAngleArray(), rtol=1e-6)
        for factor in (-1.0, 0.0, 0.95):
            np.testing.assert_allclose(polarization(at, factor), other.polarization(factor=factor), rtol=2e-6)


@pytest.mark.parametrize("poni", GEOMETRIES)
def test_corners_are_those_of_pyfai(poni: Poni) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = peer(poni).position_array(corners=True)  # (..., corner, (3, 1, 2))
    ours = corner_positions(poni)[..., [2, 0, 1]]
    # Both go around the pixel; with a turned axis, from another corner on.
    for axis in range(3):
        np.testing.assert_allclose(np.sort(ours[..., axis]), np.sort(expected[..., axis]), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("poni", GEOMETRIES)
def test_rows_of_a_detector_are_rows_of_the_whole(poni: Poni) -> None:
    np.testing.assert_array_equal(two_theta(positions(poni, rows=slice(3, 9))), two_theta(positions(poni))[3:9])
    np.testing.assert_array_equal(solid_angle(poni, slice(3, 9)), solid_angle(poni)[3:9])


@pytest.mark.parametrize("poni", GEOMETRIES)
@pytest.mark.parametrize("name", UNITS)
def test_measure_of_a_position_gives_its_radial_value(poni: Poni, name: str) -> None:
    at = positions(poni)
    expected = {
        "q_A^-1": momentum_transfer(at, poni.wavelength),
        "q_nm^-1": 10 * momentum_transfer(at, poni.wavelength),
        "2th_rad": two_theta(at),
        "2th_deg": np.rad2deg(two_theta(at)),
        "r_m": radius(at),
        "r_mm": 1e3 * radius(at),
    }[name]
    unit = radial_unit(name, poni.wavelength)
    measure = unit.measure(at)
    np.testing.assert_allclose([unit.value_of(m) for m in measure.ravel()], expected.ravel(), rtol=1e-7)
    np.testing.assert_allclose(unit.measure_of(expected), measure, rtol=1e-10)


@pytest.mark.parametrize("name", UNITS)
def test_measure_grows_outside_of_what_is_possible_too(name: str) -> None:
    unit = radial_unit(name, 1e-10)
    values = np.linspace(-unit.scale * 4, unit.scale * 4, 101)
    assert (np.diff(unit.measure_of(values)) > 0).all()


def test_q_without_wavelength_says_what_to_do() -> None:
    with pytest.raises(UsageError, match="add 'Wavelength"):
        radial_unit("q_A^-1", None)
    assert radial_unit("r_mm", None).scale == 1e3


def test_unknown_unit_lists_those_there_are() -> None:
    with pytest.raises(UsageError, match="'parsec' is not one of q_A"):
        radial_unit("parsec", 1e-10)


@pytest.mark.parametrize("factor", [1.1, -2, math.nan])
def test_polarization_factor_is_a_fraction(factor: float) -> None:
    with pytest.raises(UsageError, match="between -1"):
        polarization(positions(GEOMETRIES[0]), factor)
