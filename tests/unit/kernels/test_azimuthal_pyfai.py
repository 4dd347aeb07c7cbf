"""Each unit, sector, polarization and mask gives what pyFAI gives, to 1e-5 in every bin that has pixels."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from glimt.kernels.azimuthal import AzimuthalIntegrator
from glimt.kernels.radial_units import UNITS
from glimt.model.geometry import Detector, Poni

SHAPE = (151, 187)
N_BINS = 60
MOST_DIFFERENT = 1e-5
EPS32 = 1.0 + float(np.finfo(np.float32).eps)
"""pyFAI widens the ranges of cakes by this, which moves the edges of all bins."""
PONI = Poni(Detector(172e-6, 172e-6, SHAPE), 0.06, 0.0121, 0.0179, 0.07, -0.11, 0.4, wavelength=1e-10)

pytestmark = pytest.mark.filterwarnings("ignore")  # pyFAI warns of what it will call otherwise some day


def _frame() -> npt.NDArray[Any]:
    return np.random.default_rng(11).poisson(40, SHAPE).astype(np.uint32)


def _mask() -> npt.NDArray[np.bool_]:
    mask = np.random.default_rng(12).random(SHAPE) < 0.08
    mask[70:79] = True
    mask[:, 90:93] = True
    return mask


@pytest.fixture(scope="module")
def peer() -> Any:
    """pyFAI's integrator of the same detector; one for all tests, because it keeps what it made for a geometry."""
    pytest.importorskip("pyFAI", reason="pyFAI is not installed; nothing to compare with")
    from pyFAI.detectors import Detector as PeerDetector
    from pyFAI.integrator.azimuthal import AzimuthalIntegrator as PeerIntegrator

    d = PONI.detector
    return PeerIntegrator(
        dist=PONI.dist, poni1=PONI.poni1, poni2=PONI.poni2, rot1=PONI.rot1, rot2=PONI.rot2, rot3=PONI.rot3,
        detector=PeerDetector(d.pixel1, d.pixel2, max_shape=d.shape, orientation=d.orientation),
        wavelength=PONI.wavelength,
    )  # fmt: skip


def _range(unit: str) -> tuple[float, float]:
    """Return limits that are no pixel's own value: single precision decides differently there."""
    low, high = AzimuthalIntegrator(PONI, 1, unit=unit).radial_edges
    return float(low * 0.99), float(high * 1.01)


def _assert_same(ours: npt.ArrayLike, theirs: npt.ArrayLike, n_pixels: npt.ArrayLike) -> None:
    filled = np.asarray(n_pixels) > 0
    assert filled.any()
    np.testing.assert_allclose(np.asarray(ours)[filled], np.asarray(theirs)[filled], rtol=MOST_DIFFERENT)


CASES = [
    pytest.param(factor, masked, corrected, id=f"polarization {factor}, mask {masked}, solid angle {corrected}")
    for factor, masked, corrected in itertools.product((None, 1.0, 0.95, 0.0, -0.5), (False, True), (False, True))
]


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize(("factor", "masked", "corrected"), CASES)
def test_a_curve_is_that_of_pyfai(peer: Any, unit: str, factor: float | None, masked: bool, corrected: bool) -> None:
    frame, mask, (low, high) = _frame(), _mask() if masked else None, _range(unit)
    ours = AzimuthalIntegrator(
        PONI, N_BINS, unit=unit, radial_range=(low, high), mask=mask, polarization_factor=factor, solid_angle=corrected
    )
    expected = peer.integrate1d(
        frame, N_BINS, unit=unit, radial_range=(low, high), mask=mask, polarization_factor=factor,
        correctSolidAngle=corrected, method=("no", "csr", "cython"), error_model="poisson",
    )  # fmt: skip
    result = ours.integrate(frame)
    assert result.sigma is not None
    np.testing.assert_array_equal(result.n_pixels, expected.count)
    np.testing.assert_allclose(ours.radial_axis, expected.radial, rtol=MOST_DIFFERENT)
    _assert_same(result.intensity, expected.intensity, expected.count)
    _assert_same(result.sigma, expected.sigma, expected.count)


@pytest.mark.parametrize("sector", [(-33.0, 41.0), (80.0, 147.5), (-170.0, -95.0)])
@pytest.mark.parametrize("unit", UNITS)
def test_a_sector_is_that_of_pyfai(peer: Any, unit: str, sector: tuple[float, float]) -> None:
    frame, mask, (low, high) = _frame(), _mask(), _range(unit)
    ours = AzimuthalIntegrator(
        PONI,
        N_BINS,
        unit=unit,
        azimuth_bins=list(sector),
        radial_range=(low, high),
        mask=mask,
        polarization_factor=0.95,
    )
    expected = peer.integrate1d(
        frame, N_BINS, unit=unit, radial_range=(low, high), azimuth_range=sector, mask=mask, polarization_factor=0.95,
        method=("no", "histogram", "cython"), error_model="poisson",
    )  # fmt: skip
    result = ours.integrate(frame)
    assert result.sigma is not None
    np.testing.assert_array_equal(np.ravel(result.n_pixels), expected.count)
    _assert_same(np.ravel(result.intensity), expected.intensity, expected.count)
    _assert_same(np.ravel(result.sigma), expected.sigma, expected.count)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize(("factor", "masked", "corrected"), CASES)
def test_sectors_are_those_of_pyfai(peer: Any, unit: str, factor: float | None, masked: bool, corrected: bool) -> None:
    frame, mask, (low, high) = _frame(), _mask() if masked else None, _range(unit)
    ours = AzimuthalIntegrator(
        PONI, 14, unit=unit, azimuth_bins=np.linspace(-180, 180, 10), radial_range=(low, high), mask=mask,
        polarization_factor=factor, solid_angle=corrected,
    )  # fmt: skip
    expected = peer.integrate2d(
        frame, 14, 9, unit=unit, radial_range=(low, high / EPS32), azimuth_range=(-180, 180 / EPS32), mask=mask,
        polarization_factor=factor, correctSolidAngle=corrected, method=("no", "histogram", "cython"),
        error_model="poisson",
    )  # fmt: skip
    result = ours.integrate(frame)
    assert result.intensity.shape == (9, 14)
    assert result.sigma is not None
    np.testing.assert_array_equal(result.n_pixels, expected.count)
    _assert_same(result.intensity, expected.intensity, expected.count)
    _assert_same(result.sigma, expected.sigma, expected.count)
