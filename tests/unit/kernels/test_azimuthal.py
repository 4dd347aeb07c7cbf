from __future__ import annotations

import itertools
import math
import pickle
import warnings
from collections import defaultdict
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from glimt.kernels.azimuthal import AzimuthalIntegrator
from glimt.kernels.azimuthal_result import AzimuthalResult
from glimt.model.errors import UsageError
from glimt.model.geometry import Detector, Poni

SHAPE = (61, 53)
PONI = Poni(Detector(1e-4, 1.3e-4, SHAPE), 0.02, 0.0031, 0.0027, 0.1, -0.2, 0.3, 1.1e-10)
EPS32 = 1.0 + float(np.finfo(np.float32).eps)


def _rotated(*rotations: float) -> Poni:
    rot1, rot2, rot3 = rotations
    return Poni(PONI.detector, PONI.dist, PONI.poni1, PONI.poni2, rot1, rot2, rot3, PONI.wavelength)


def _image(dtype: Any = np.uint16, seed: int = 1) -> npt.NDArray[Any]:
    return np.random.default_rng(seed).poisson(50, SHAPE).astype(dtype)


def _sigma(result: AzimuthalResult) -> npt.NDArray[np.float64]:
    assert result.sigma is not None
    return result.sigma


def _mask() -> npt.NDArray[np.bool_]:
    mask = np.random.default_rng(2).random(SHAPE) < 0.1
    mask[20:24] = True
    return mask


def _peer(poni: Poni) -> Any:
    pytest.importorskip("pyFAI", reason="pyFAI is not installed; nothing to compare with")
    from pyFAI.detectors import Detector as PeerDetector
    from pyFAI.integrator.azimuthal import AzimuthalIntegrator as PeerIntegrator

    d = poni.detector
    return PeerIntegrator(
        dist=poni.dist, poni1=poni.poni1, poni2=poni.poni2, rot1=poni.rot1, rot2=poni.rot2, rot3=poni.rot3,
        detector=PeerDetector(d.pixel1, d.pixel2, max_shape=d.shape, orientation=d.orientation),
        wavelength=poni.wavelength,
    )  # fmt: skip


@pytest.mark.parametrize("unit", ["q_A^-1", "q_nm^-1", "2th_deg", "r_mm"])
@pytest.mark.parametrize("rotations", [(0.0, 0.0, 0.0), (0.1, -0.2, 0.3), (0.5, 0.3, -1.0)])
@pytest.mark.parametrize("engine", ["histogram", "csr"])
def test_every_bin_is_that_of_pyfai(unit: str, rotations: tuple[float, ...], engine: str) -> None:
    poni, frame = _rotated(*rotations), _image()
    low, high = AzimuthalIntegrator(poni, 1, unit=unit).radial_edges
    low, high = low * 0.99, high * 1.01  # pyFAI loses a pixel that lies on the last edge
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = _peer(poni)
        for corrected, factor, mask in itertools.product((False, True), (None, 0.95), (None, _mask())):
            ours = AzimuthalIntegrator(
                poni, 70, unit=unit, radial_range=(low, high), solid_angle=corrected, polarization_factor=factor,
                mask=mask, empty=0.0,
            )  # fmt: skip
            expected = peer.integrate1d(
                frame, 70, unit=unit, radial_range=(low, high / EPS32), correctSolidAngle=corrected, mask=mask,
                polarization_factor=factor, method=("no", engine, "cython"), error_model="poisson",
            )  # fmt: skip
            result = ours.integrate(frame)
            np.testing.assert_array_equal(result.n_pixels, expected.count)
            np.testing.assert_allclose(ours.radial_axis, expected.radial, rtol=1e-9)
            np.testing.assert_allclose(result.intensity, expected.intensity, rtol=1e-6)
            np.testing.assert_allclose(_sigma(result), expected.sigma, rtol=1e-6)


def test_cake_is_that_of_pyfai() -> None:
    frame, mask = _image(), _mask()
    low, high = AzimuthalIntegrator(PONI, 1).radial_edges
    ours = AzimuthalIntegrator(
        PONI, 12, azimuth_bins=np.linspace(-180, 180, 9), radial_range=(low * 0.99, high * 1.01), mask=mask,
        polarization_factor=0.9, empty=0.0,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = _peer(PONI).integrate2d(
            frame, 12, 8, unit="q_A^-1", radial_range=(low * 0.99, high * 1.01 / EPS32), mask=mask,
            azimuth_range=(-180, 180 / EPS32), polarization_factor=0.9, method=("no", "histogram", "cython"),
        )  # fmt: skip
    result = ours.integrate(frame)
    assert result.intensity.shape == (8, 12)
    np.testing.assert_array_equal(result.n_pixels, expected.count)
    np.testing.assert_allclose(result.intensity, expected.intensity, rtol=1e-6)
    assert ours.azimuth_axis is not None
    np.testing.assert_allclose(ours.azimuth_axis, expected.azimuthal, rtol=1e-6)


def _brute_force(poni: Poni, frame: npt.NDArray[Any], edges: Any, turns: Any, n: int) -> dict[tuple[int, int], float]:
    """Share every pixel among bins of 2theta [deg] and azimuth [deg], one sub-pixel at a time."""
    shares: dict[tuple[int, int], float] = defaultdict(float)
    rotation = poni.rotation()
    for slow, fast, j, k in itertools.product(range(frame.shape[0]), range(frame.shape[1]), range(n), range(n)):
        p1 = (slow + (j + 0.5) / n) * poni.detector.pixel1 - poni.poni1
        p2 = (fast + (k + 0.5) / n) * poni.detector.pixel2 - poni.poni2
        t1, t2, t3 = rotation @ (p1, p2, poni.dist)
        radial = np.searchsorted(edges, math.degrees(math.atan2(math.hypot(t1, t2), t3)), side="right") - 1
        turn = np.searchsorted(turns, math.degrees(math.atan2(t1, t2)) % 360.0, side="right") - 1
        if 0 <= radial < len(edges) - 1 and 0 <= turn < len(turns) - 1:
            shares[int(turn), int(radial)] += float(frame[slow, fast]) / n**2
    return shares


@pytest.mark.parametrize("n_splitting", [1, 2, 3, 5])
def test_split_pixels_are_shared_by_sub_pixel(n_splitting: int) -> None:
    poni = Poni(Detector(1e-3, 2e-3, (9, 8)), 0.02, 0.0031, 0.0047, 0.1, -0.2, 0.3)
    frame = np.random.default_rng(5).integers(0, 1000, (9, 8), dtype=np.uint16)
    edges, turns = [2.0, 9.0, 12.5, 20.0, 31.0], [0.0, 50.0, 180.0, 200.0, 300.0]
    ours = AzimuthalIntegrator(
        poni, edges, azimuth_bins=turns, unit="2th_deg", n_splitting=n_splitting, solid_angle=False
    )
    expected = np.zeros((4, 4))
    for place, share in _brute_force(poni, frame, edges, turns, n_splitting).items():
        expected[place] = share
    assert expected.any()
    np.testing.assert_allclose(ours.integrate(frame).signal, expected, rtol=1e-12)
    pixels = np.zeros((4, 4))
    for place, share in _brute_force(poni, np.ones_like(frame), edges, turns, n_splitting).items():
        pixels[place] = share
    np.testing.assert_allclose(ours.integrate(frame).n_pixels, pixels, rtol=1e-12)


def test_no_pixel_is_lost_in_the_automatic_range() -> None:
    for unit, split in itertools.product(["q_A^-1", "2th_rad", "r_m"], [0.0, 0.7, 2.6]):
        poni = _rotated(split, 0.1, 0.2)
        result = AzimuthalIntegrator(poni, 37, unit=unit).integrate(_image())
        assert result.n_pixels.sum() == SHAPE[0] * SHAPE[1]


def test_sectors_together_are_the_whole_ring() -> None:
    frame = _image()
    for n_splitting, each in itertools.product((1, 3), (False, True)):
        whole = AzimuthalIntegrator(PONI, 30, n_splitting=n_splitting, correct_pixels=each).integrate(frame)
        cake = AzimuthalIntegrator(PONI, 30, azimuth_bins=17, n_splitting=n_splitting, correct_pixels=each).integrate(
            frame
        )
        np.testing.assert_allclose(cake.over_azimuth().intensity, whole.intensity, rtol=1e-7)  # float32 weights
        np.testing.assert_allclose(cake.over_azimuth().n_pixels, whole.n_pixels, rtol=1e-12)


def test_both_ways_of_correcting_recover_a_flat_scatterer() -> None:
    flat = AzimuthalIntegrator(PONI, 30, polarization_factor=0.9)
    # A frame that looks as corrections say a uniform scatterer looks.
    from glimt.kernels.pixel_positions import polarization, positions, solid_angle

    frame = 100.0 * solid_angle(PONI) * polarization(positions(PONI), 0.9)
    each = AzimuthalIntegrator(PONI, 30, polarization_factor=0.9, correct_pixels=True)
    split = AzimuthalIntegrator(PONI, 30, polarization_factor=0.9, correct_pixels=True, n_splitting=3)
    for integrator in (flat, each, split):
        np.testing.assert_allclose(integrator.integrate(frame).intensity, 100.0, rtol=1e-6)


@pytest.mark.parametrize("n_splitting", [1, 2])
@pytest.mark.parametrize("each", [False, True])
def test_all_types_of_pixels_give_the_same_numbers(n_splitting: int, each: bool) -> None:
    integrator = AzimuthalIntegrator(PONI, 30, n_splitting=n_splitting, correct_pixels=each)
    expected = integrator.integrate(_image(np.float64)).intensity
    for name in ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", ">u2", ">i4", ">f4"):
        np.testing.assert_allclose(integrator.integrate(_image(np.dtype(name))).intensity, expected, rtol=1e-12)


def test_largest_counts_are_summed_exactly() -> None:
    frame = np.full(SHAPE, 2**32 - 1, np.uint32)
    result = AzimuthalIntegrator(PONI, 4, solid_angle=False).integrate(frame)
    np.testing.assert_array_equal(result.signal, result.n_pixels * (2**32 - 1))
    negative = AzimuthalIntegrator(PONI, 4, solid_angle=False).integrate(np.full(SHAPE, -(2**31), np.int32))
    np.testing.assert_array_equal(negative.intensity, -(2.0**31))
    np.testing.assert_array_equal(_sigma(negative), 0.0)


def test_bool_frames_and_views_of_any_layout_are_taken() -> None:
    integrator = AzimuthalIntegrator(PONI, 10)
    frame = _image()
    expected = integrator.integrate(frame).signal
    twice = np.zeros((SHAPE[0] * 2, SHAPE[1] * 2), frame.dtype)
    twice[::2, ::2] = frame
    read_only = frame.copy()
    read_only.setflags(write=False)
    for same in (twice[::2, ::2], np.asfortranarray(frame), read_only, frame.tolist()):
        np.testing.assert_array_equal(integrator.integrate(same).signal, expected)
    np.testing.assert_array_equal(
        integrator.integrate(frame > 50).signal, integrator.integrate((frame > 50).astype(int)).signal
    )


@pytest.mark.parametrize("n_splitting", [1, 2])
@pytest.mark.parametrize("each", [False, True])
def test_nan_and_mask_of_a_frame_do_what_a_constant_mask_does(n_splitting: int, each: bool) -> None:
    mask, frame = _mask(), _image(np.float32)
    options: dict[str, Any] = {"n_splitting": n_splitting, "correct_pixels": each, "polarization_factor": 0.9}
    expected = AzimuthalIntegrator(PONI, 30, mask=mask, **options).integrate(frame)
    holes = np.where(mask, np.float32(np.nan), frame)
    integrator = AzimuthalIntegrator(PONI, 30, **options)
    half = mask.copy()
    half[:30] = False
    for result in (
        integrator.integrate(holes),
        integrator.integrate(frame, mask=mask),
        integrator.integrate(frame.astype(np.uint16), mask=mask),
        integrator.integrate(holes, mask=half),
    ):
        for name in ("intensity", "sigma", "signal", "variance", "norm", "n_pixels"):
            np.testing.assert_allclose(getattr(result, name), getattr(expected, name), rtol=1e-9, err_msg=name)


def test_bins_without_pixels_are_nan_or_what_was_asked_for() -> None:
    edges = [0.0, 1e-6, 2.0, 50.0, 60.0]
    frame = _image()
    result = AzimuthalIntegrator(PONI, edges).integrate(frame)
    np.testing.assert_array_equal(np.isnan(result.intensity), [True, False, False, True])
    np.testing.assert_array_equal(np.isnan(_sigma(result)), [True, False, False, True])
    np.testing.assert_array_equal(result.norm[[0, 3]], 0.0)
    zero = AzimuthalIntegrator(PONI, edges, empty=0.0).integrate(frame)
    np.testing.assert_array_equal(zero.intensity[[0, 3]], 0.0)
    nothing = AzimuthalIntegrator(PONI, edges).integrate(np.full(SHAPE, np.nan))
    assert np.isnan(nothing.intensity).all()
    np.testing.assert_array_equal(nothing.norm, 0.0)
    assert np.isnan(AzimuthalIntegrator(PONI, 5, mask=np.ones(SHAPE)).integrate(frame).intensity).all()


def test_infinite_pixels_spoil_their_bins_only() -> None:
    frame = _image(np.float32)
    frame[0, 0] = np.inf
    result = AzimuthalIntegrator(PONI, 30).integrate(frame)
    assert np.isinf(result.intensity).sum() == 1
    frame[0, 1] = -np.inf
    result = AzimuthalIntegrator(PONI, 1, sigma=False).integrate(frame)
    assert np.isnan(result.intensity).all()


def test_pixels_that_polarization_leaves_dark_are_left_out() -> None:
    # 90 degrees sideways, horizontally polarized: nothing is scattered there, whatever is counted is background.
    poni = Poni(Detector(1e-4, 1e-4, (1, 3)), 0.1, 0.5e-4, 1.5e-4, rot1=math.pi / 2)
    result = AzimuthalIntegrator(
        poni, [80.0, 100.0], unit="2th_deg", polarization_factor=1.0, solid_angle=False, correct_pixels=True
    ).integrate(np.array([[1, 0, 1]]))
    assert np.isfinite(result.intensity).all()


def test_sigma_is_the_error_of_counts() -> None:
    frame = _image()
    result = AzimuthalIntegrator(PONI, 10, solid_angle=False).integrate(frame)
    np.testing.assert_allclose(_sigma(result), np.sqrt(result.signal) / result.n_pixels)
    assert AzimuthalIntegrator(PONI, 10, sigma=False).integrate(frame).sigma is None
    many = [
        AzimuthalIntegrator(PONI, 10, correct_pixels=True).integrate(_image(seed=seed)).intensity for seed in range(200)
    ]
    predicted = _sigma(AzimuthalIntegrator(PONI, 10, correct_pixels=True).integrate(frame))
    np.testing.assert_allclose(np.std(many, axis=0), predicted, rtol=0.25)


def test_result_and_axes_are_the_callers_own() -> None:
    integrator = AzimuthalIntegrator(PONI, 10, azimuth_bins=3)
    first = integrator.integrate(_image())
    kept = first.intensity.copy()
    for name in ("intensity", "sigma", "signal", "variance", "norm", "n_pixels"):
        getattr(first, name)[:] = -1
    integrator.norm[:] = -1
    np.testing.assert_array_equal(integrator.integrate(_image()).intensity, kept)


def test_integrator_travels_to_another_process() -> None:
    integrator = AzimuthalIntegrator(PONI, 10, n_splitting=2)
    there = pickle.loads(pickle.dumps(integrator))
    np.testing.assert_array_equal(there.integrate(_image()).intensity, integrator.integrate(_image()).intensity)


def test_more_bins_than_16_bits_can_number() -> None:
    frame = _image()
    fine = AzimuthalIntegrator(PONI, 700, azimuth_bins=100)
    assert fine.integrate(frame).signal.sum() == frame.sum()
    assert fine.integrate(frame).n_pixels.sum() == frame.size


def test_shape_comes_from_the_mask_if_the_geometry_has_none() -> None:
    poni = Poni(Detector(1e-4, 1e-4), 0.1, 0.0, 0.0)
    assert AzimuthalIntegrator(poni, 5, unit="r_mm", mask=np.zeros((4, 5))).shape == (4, 5)
    with pytest.raises(UsageError, match="with_shape"):
        AzimuthalIntegrator(poni, 5, unit="r_mm")


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"mask": np.zeros((5, 5))}, r"mask has shape \(5, 5\), the detector \(61, 53\)"),
        ({"mask": np.full(SHAPE, "x")}, "mask has type"),
        ({"n_splitting": 0}, "cannot be split 0 times"),
        ({"n_splitting": 65}, "cannot be split 65 times"),
        ({"n_splitting": 2.0}, "cannot be split"),
        ({"n_splitting": True}, "cannot be split"),
        ({"unit": "q"}, "is not one of"),
        ({"radial_bins": 0}, "0 radial bins"),
        ({"radial_bins": 10**9}, "1000000000 radial bins"),
        ({"radial_bins": "many"}, "neither a number of bins nor a list"),
        ({"radial_bins": [1.0]}, "two or more"),
        ({"radial_bins": [1.0, 1.0]}, "have to grow"),
        ({"radial_bins": [1.0, math.nan]}, "have to grow"),
        ({"radial_bins": [[1.0, 2.0]]}, "two or more"),
        ({"radial_bins": 4.0}, "two or more"),
        ({"radial_range": (2.0, 1.0)}, "have to grow"),
        ({"radial_range": (1.0, 1.0 + 1e-15), "radial_bins": 100}, "too narrow"),
        ({"azimuth_bins": 0}, "0 azimuthal bins"),
        ({"azimuth_bins": [0.0, 361.0]}, "one turn or less"),
        ({"azimuth_bins": [-1e9, -1e9 + 10]}, "one turn or less"),
        ({"azimuth_bins": 10**5, "radial_bins": 10**5}, "10000000000 bins in all"),
        ({"polarization_factor": 2.0}, "between -1"),
    ],
)
def test_argument_that_makes_no_sense_is_explained(options: dict[str, Any], what: str) -> None:
    arguments: dict[str, Any] = {"radial_bins": 10, **options}
    with pytest.raises(UsageError, match=what):
        AzimuthalIntegrator(PONI, arguments.pop("radial_bins"), **arguments)


def test_frame_of_another_shape_or_kind_is_refused() -> None:
    integrator = AzimuthalIntegrator(PONI, 10)
    with pytest.raises(UsageError, match=r"frame has shape \(53, 61\), the detector \(61, 53\)"):
        integrator.integrate(_image().T)
    with pytest.raises(UsageError, match="frame has type"):
        integrator.integrate(np.full(SHAPE, 1j))
    with pytest.raises(UsageError, match="mask has shape"):
        integrator.integrate(_image(), mask=np.zeros(3))


def test_detector_of_one_pixel_needs_a_range() -> None:
    poni = Poni(Detector(1e-4, 1e-4, (1, 1)), 0.1, 0.0, 0.0)
    with pytest.raises(UsageError, match="give the radial range"):
        AzimuthalIntegrator(poni, 5, unit="r_mm")
    result = AzimuthalIntegrator(poni, 1, unit="r_mm", radial_range=(0.0, 1.0)).integrate([[7]])
    assert result.n_pixels.tolist() == [1.0]


def test_azimuth_starts_along_the_fast_axis_and_grows_towards_the_slow_axis() -> None:
    poni = Poni(Detector(1.0e-3, 1.0e-3, (3, 3)), 0.1, 1.5e-3, 1.5e-3)
    frame = np.array([[6, 5, 4], [7, 0, 3], [8, 1, 2]])
    sectors = AzimuthalIntegrator(
        poni, [0.5, 2.0], azimuth_bins=np.arange(-22.5, 338, 45), unit="r_mm", solid_angle=False
    )
    assert sectors.integrate(frame).signal.ravel().tolist() == [3, 2, 1, 8, 7, 6, 5, 4]
    quarters = AzimuthalIntegrator(poni, [0.5, 2.0], azimuth_bins=4, unit="r_mm", solid_angle=False)
    assert quarters.integrate(frame).signal.ravel().tolist() == [3 + 2, 1 + 8, 7 + 6, 5 + 4]
