from __future__ import annotations

import itertools
import math
import pickle
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from glimt.kernels.azimuthal import AzimuthalIntegrator
from glimt.kernels.frame_pixels import frame_pixels
from glimt.kernels.positioned_pixels import PositionedPixels, from_pyfai
from glimt.model.detector_geometry import DetectorGeometry, Panel
from glimt.model.errors import UsageError
from glimt.model.geometry import Detector, Poni
from glimt.model.panel_placement import PanelPlacement

SHAPE = (44, 71)
EPS32 = 1.0 + float(np.finfo(np.float32).eps)


def _panel(origin: tuple[float, float, float], turn: float, tilt: float, shape: tuple[int, int]) -> Panel:
    """Return a panel turned in its plane and then tilted about the vertical [rad]."""
    fast = np.array([math.cos(turn), math.sin(turn), 0.0])
    slow = np.array([-math.sin(turn), math.cos(turn), 0.0])
    about = np.array([[math.cos(tilt), 0, math.sin(tilt)], [0, 1, 0], [-math.sin(tilt), 0, math.cos(tilt)]])
    return Panel(origin, tuple(about @ fast), tuple(about @ slow), (0.11, 0.13), shape)


def _detector(**changes: Any) -> DetectorGeometry:
    """Return three panels beside and above each other, with gaps, of which one is tilted and one turned around."""
    panels = [
        _panel((-4.4, -2.3, 20.0), 0.02, 0.0, (20, 33)),
        _panel((0.3, -2.2, 20.0), -0.01, -0.3, (20, 35)),
        _panel((4.0, 3.0, 20.0), math.pi + 0.1, 0.1, (21, 60)),
    ]
    places = [PanelPlacement(0, 0, (20, 33)), PanelPlacement(0, 36, (20, 35)), PanelPlacement(23, 5, (21, 60))]
    given: dict[str, Any] = {"placements": places, "frame_shape": SHAPE}
    return DetectorGeometry(panels, 1.1, **given | changes)


def _corners(geometry: DetectorGeometry) -> npt.NDArray[np.float64]:
    """Return corners (slow, fast, 4, 3) [m] along axes 1 (vertical), 2 (horizontal), 3 (beam), pixel by pixel."""
    corners = np.full((*SHAPE, 4, 3), np.nan)
    for panel, place in zip(geometry.panels, geometry.placements, strict=True):
        for slow, fast in itertools.product(range(panel.shape[0]), range(panel.shape[1])):
            for n, (a, b) in enumerate(((0, 0), (1, 0), (1, 1), (0, 1))):
                x, y, z = (
                    np.array(panel.origin_mm)
                    + (slow + a) * panel.pixel_size_mm[0] * np.array(panel.slow)
                    + (fast + b) * panel.pixel_size_mm[1] * np.array(panel.fast)
                ) * 1e-3
                corners[place.slow_start + slow, place.fast_start + fast, n] = y, x, z
    return corners


def _peer(geometry: DetectorGeometry) -> Any:
    pytest.importorskip("pyFAI", reason="pyFAI is not installed; nothing to compare with")
    from pyFAI.detectors import Detector as PeerDetector
    from pyFAI.integrator.azimuthal import AzimuthalIntegrator as PeerIntegrator

    detector = PeerDetector(0.11e-3, 0.13e-3, max_shape=SHAPE)
    detector.IS_CONTIGUOUS, detector.IS_FLAT, detector.uniform_pixel = False, False, False
    corners = _corners(geometry)
    beside = np.isnan(corners).any(axis=(2, 3))
    corners[beside] = np.array([[0, 0, 0.02], [1e-4, 0, 0.02], [1e-4, 1e-4, 0.02], [0, 1e-4, 0.02]])
    as_nexus = np.ascontiguousarray(corners[..., [2, 0, 1]], np.float32)
    detector._pixel_corners = as_nexus
    detector.mask = beside.astype(np.int8)
    return PeerIntegrator(dist=0.0, poni1=0.0, poni2=0.0, detector=detector, wavelength=1.1e-10)


def _frame(dtype: Any = np.uint16) -> npt.NDArray[Any]:
    return np.random.default_rng(1).poisson(50, SHAPE).astype(dtype)


def _mask() -> npt.NDArray[np.bool_]:
    return np.random.default_rng(2).random(SHAPE) < 0.1


@pytest.mark.parametrize("unit", ["q_A^-1", "2th_deg", "r_mm"])
def test_every_bin_of_panels_is_that_of_pyfai(unit: str) -> None:
    geometry, frame = _detector(), _frame()
    low, high = AzimuthalIntegrator(geometry, 1, unit=unit).radial_edges
    low, high = low * 0.99, high * 1.01
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = _peer(geometry)
        for corrected, factor, mask in itertools.product((False, True), (None, 0.95), (None, _mask())):
            ours = AzimuthalIntegrator(
                geometry, 60, unit=unit, radial_range=(low, high), solid_angle=corrected, polarization_factor=factor,
                mask=mask, empty=0.0,
            )  # fmt: skip
            expected = peer.integrate1d(
                frame, 60, unit=unit, radial_range=(low, high / EPS32), correctSolidAngle=corrected,
                mask=peer.detector.mask if mask is None else mask | peer.detector.mask.astype(bool),
                polarization_factor=factor, method=("no", "histogram", "cython"), error_model="poisson",
            )  # fmt: skip
            result = ours.integrate(frame)
            assert result.sigma is not None
            assert result.n_pixels.sum() > 2000
            np.testing.assert_array_equal(result.n_pixels, expected.count)
            np.testing.assert_allclose(result.intensity, expected.intensity, rtol=1e-5)
            np.testing.assert_allclose(result.sigma, expected.sigma, rtol=1e-5)


def test_sectors_of_panels_are_those_of_pyfai() -> None:
    geometry, frame = _detector(), _frame()
    low, high = AzimuthalIntegrator(geometry, 1).radial_edges
    ours = AzimuthalIntegrator(
        geometry, 9, azimuth_bins=np.linspace(-180, 180, 9), radial_range=(low * 0.99, high * 1.01), empty=0.0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = _peer(geometry)
        expected = peer.integrate2d(
            frame, 9, 8, unit="q_A^-1", radial_range=(low * 0.99, high * 1.01 / EPS32), mask=peer.detector.mask,
            azimuth_range=(-180, 180 / EPS32), method=("no", "histogram", "cython"),
        )  # fmt: skip
    result = ours.integrate(frame)
    np.testing.assert_array_equal(result.n_pixels, expected.count)
    np.testing.assert_allclose(result.intensity, expected.intensity, rtol=1e-5)


@pytest.mark.parametrize("n_splitting", [1, 3])
@pytest.mark.parametrize("azimuth", [None, 5])
def test_pixels_taken_over_from_pyfai_fall_into_the_same_bins_as_panels(n_splitting: int, azimuth: Any) -> None:
    geometry, frame = _detector(), _frame()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = _peer(geometry)
        pixels = from_pyfai(peer)
    options: dict[str, Any] = {
        "radial_range": (0.5, 1.5), "azimuth_bins": azimuth, "n_splitting": n_splitting, "polarization_factor": 0.9,
    }  # fmt: skip
    expected = AzimuthalIntegrator(geometry, 40, **options).integrate(frame)
    for compiled in (True, False):
        ours = AzimuthalIntegrator(pixels, 40, mask=peer.detector.mask, compiled=compiled, **options).integrate(frame)
        np.testing.assert_allclose(ours.n_pixels, expected.n_pixels, atol=1e-9)
        np.testing.assert_allclose(ours.intensity, expected.intensity, rtol=1e-5)


def test_hexagonal_pixels_are_integrated_as_pyfai_does() -> None:
    pytest.importorskip("pyFAI", reason="pyFAI is not installed; nothing to compare with")
    from pyFAI.detectors import detector_factory
    from pyFAI.integrator.azimuthal import AzimuthalIntegrator as PeerIntegrator

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        detector = detector_factory("Pixirad1")
        peer = PeerIntegrator(dist=0.05, poni1=0.01, poni2=0.015, rot1=0.1, detector=detector, wavelength=1e-10)
        frame = np.random.default_rng(3).poisson(20, detector.shape).astype(np.uint16)
        low, high = AzimuthalIntegrator(from_pyfai(peer), 1).radial_edges
        low, high = low * 0.99, high * 1.01
        expected = peer.integrate1d(
            frame, 80, unit="q_A^-1", radial_range=(low, high / EPS32), polarization_factor=0.9,
            method=("no", "histogram", "cython"),
        )  # fmt: skip
        pixels = from_pyfai(peer)
    ours = AzimuthalIntegrator(pixels, 80, radial_range=(low, high), polarization_factor=0.9, empty=0.0)
    result = ours.integrate(frame)
    np.testing.assert_array_equal(result.n_pixels, expected.count)
    np.testing.assert_allclose(result.intensity, expected.intensity, rtol=1e-5)
    with pytest.raises(UsageError, match="hexagonal ones"):
        AzimuthalIntegrator(pixels, 80, n_splitting=2)


def test_one_panel_gives_what_its_poni_file_gives() -> None:
    poni = Poni(Detector(1e-4, 1.3e-4, (31, 27), orientation=2), 0.02, 0.0011, 0.0017, 0.1, -0.2, 0.3, 1.1e-10)
    frame = np.random.default_rng(4).poisson(30, (31, 27)).astype(np.uint32)
    options: dict[str, Any] = {"azimuth_bins": 7, "radial_range": (0.1, 0.9), "polarization_factor": 0.8}
    expected = AzimuthalIntegrator(poni, 20, **options).integrate(frame)
    ours = AzimuthalIntegrator(DetectorGeometry.from_poni(poni), 20, **options).integrate(frame)
    np.testing.assert_array_equal(ours.n_pixels, expected.n_pixels)
    np.testing.assert_allclose(ours.intensity, expected.intensity, rtol=1e-6)


@pytest.mark.parametrize("n_splitting", [1, 2])
def test_pixels_that_belong_to_no_panel_are_left_out(n_splitting: int) -> None:
    geometry = _detector()
    frame = np.full(SHAPE, 1000, np.uint16)
    for place in geometry.placements:
        frame[place.area] = 7
    integrator = AzimuthalIntegrator(geometry, 30, solid_angle=False, n_splitting=n_splitting)
    result = integrator.integrate(frame)
    np.testing.assert_allclose(result.intensity[result.n_pixels > 0], 7.0)
    n_pixels = sum(place.shape[0] * place.shape[1] for place in geometry.placements)
    assert result.n_pixels.sum() == pytest.approx(n_pixels, rel=0.01 if n_splitting > 1 else 0)
    half = _mask()
    masked = AzimuthalIntegrator(geometry, 30, mask=half, n_splitting=n_splitting, solid_angle=False).integrate(frame)
    later = integrator.integrate(frame, mask=half)
    np.testing.assert_allclose(later.signal, masked.signal, rtol=1e-12)
    np.testing.assert_allclose(later.n_pixels, masked.n_pixels, atol=1e-12)


@pytest.mark.parametrize("n_splitting", [1, 3])
@pytest.mark.parametrize("azimuth", [None, 6])
def test_plain_and_compiled_panels_are_the_same(n_splitting: int, azimuth: Any) -> None:
    results = [
        AzimuthalIntegrator(
            _detector(), 30, azimuth_bins=azimuth, n_splitting=n_splitting, compiled=compiled
        ).integrate(_frame(np.float32))
        for compiled in (True, False)
    ]
    np.testing.assert_allclose(results[0].n_pixels, results[1].n_pixels, atol=1e-12)
    np.testing.assert_allclose(results[0].signal, results[1].signal, rtol=1e-10)


def test_solid_angle_among_panels_counts_distance_and_size_of_pixels() -> None:
    near = Panel((-1.0, -1.0, 10.0), (1, 0, 0), (0, 1, 0), (0.1, 0.1), (20, 20))
    far = Panel((-1.0, 2.0, 20.0), (1, 0, 0), (0, 1, 0), (0.2, 0.1), (20, 20))
    places = [PanelPlacement(0, 0, (20, 20)), PanelPlacement(20, 0, (20, 20))]
    pixels = frame_pixels(DetectorGeometry([near, far], 1.0, placements=places))
    angle, among = pixels.solid_angle("incidence"), pixels.solid_angle("panels")
    np.testing.assert_array_equal(among[:20], angle[:20])
    np.testing.assert_allclose(among[20:], angle[20:] * 0.5, rtol=1e-6)  # twice the area, twice as far
    position = np.array([-1.0 + 0.05, 2.0 + 0.1, 20.0])
    assert angle[20, 0] == pytest.approx((20.0 / np.linalg.norm(position)) ** 3)


def test_azimuth_goes_from_horizontal_to_vertical_also_for_a_beam_along_minus_z() -> None:
    panel = Panel((-1.5, -1.5, -100.0), (1, 0, 0), (0, 1, 0), (1.0, 1.0), (3, 3))
    geometry = DetectorGeometry([panel], 1.0, beam=(0, 0, -1))
    frame = np.array([[6, 7, 8], [5, 0, 1], [4, 3, 2]])  # row 0 is below, column 2 along +x
    result = AzimuthalIntegrator(
        geometry, [0.5, 2.0], azimuth_bins=np.arange(-22.5, 338, 45), unit="r_mm", solid_angle=False
    ).integrate(frame)
    assert result.signal.ravel().tolist() == [1, 2, 3, 4, 5, 6, 7, 8]


def test_what_is_no_geometry_is_refused() -> None:
    panels = [_panel((0, 0, 20), 0, 0, (3, 3))] * 2
    with pytest.raises(UsageError, match="where in a frame the 2 panels are"):
        AzimuthalIntegrator(DetectorGeometry(panels, 1.0), 5)
    with pytest.raises(UsageError, match="str is no geometry"):
        AzimuthalIntegrator("detector.poni", 5)  # type: ignore[arg-type]  # what a user may try
    with pytest.raises(UsageError, match="str is no pyFAI geometry"):
        from_pyfai("detector.poni")
    with pytest.raises(UsageError, match="positions have shape"):
        PositionedPixels(np.zeros((3, 3)), None, np.zeros((3, 3), np.float32))
    with pytest.raises(UsageError, match="solid angles have shape"):
        PositionedPixels(np.zeros((3, 3, 3)), None, np.zeros((3, 2), np.float32))
    with pytest.raises(UsageError, match="corners have shape"):
        PositionedPixels(np.zeros((3, 3, 3)), np.zeros((3, 3, 6, 3)), np.zeros((3, 3), np.float32))
    with pytest.raises(UsageError, match="solid_angle is 'yes'"):
        AzimuthalIntegrator(_detector(), 5, solid_angle="yes")  # type: ignore[arg-type]  # what a user may try


def test_pixels_without_a_place_belong_nowhere() -> None:
    centers = np.ones((4, 5, 3))
    centers[..., 1] = np.arange(5)
    centers[1, 2] = np.nan
    pixels = PositionedPixels(centers, None, np.ones((4, 5), np.float32), 1e-10)
    result = AzimuthalIntegrator(pixels, 4, unit="r_m", polarization_factor=0.5).integrate(np.ones((4, 5)))
    assert result.n_pixels.sum() == 19
    with pytest.raises(UsageError, match="which panel"):
        pixels.solid_angle("panels")


def test_integrator_of_panels_travels_to_another_process() -> None:
    integrator = AzimuthalIntegrator(_detector(), 10)
    there = pickle.loads(pickle.dumps(integrator))
    np.testing.assert_array_equal(there.integrate(_frame()).signal, integrator.integrate(_frame()).signal)
