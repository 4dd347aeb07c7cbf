from __future__ import annotations

import copy
import itertools
import json
import math
import pickle
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from glimt.compat import azint
from glimt.compat.azint import unpacking
from glimt.model.errors import DecodeError, UsageError

PONI_TEXT = """\
# Nota: C-Order, 1 refers to the Y axis, 2 to the X axis
poni_version: 2
Detector: Detector
Detector_config: {"pixel1": 1.0e-4, "pixel2": 1.0e-4, "max_shape": [40, 50]}
Distance: 0.05
Poni1: 2.1e-3
Poni2: 2.6e-3
Rot1: 0.0
Rot2: 0.0
Rot3: 0.0
Wavelength: 1.0e-10
"""


@pytest.fixture
def poni_file(tmp_path: Path) -> str:
    path = tmp_path / "test.poni"
    path.write_text(PONI_TEXT)
    return str(path)


def tutorial() -> Any:
    """The integrator of the dranspose tutorial, built as it says."""
    pixel_size = 0.75e-6
    det = azint.detector.Detector(pixel_size, pixel_size, (10, 10))
    poni = azint.Poni(
        det,
        dist=30 * pixel_size,
        poni1=5 * pixel_size,
        poni2=5 * pixel_size,
        rot1=0,
        rot2=0,
        rot3=0,
        wavelength=1e-10,
    )
    return azint.AzimuthalIntegrator(poni, 4, 5, unit="q", solid_angle=True)


def _by_hand(image: npt.NDArray[Any]) -> tuple[list[float], list[float]]:
    """Integrate the tutorial's image one sub-pixel at a time, by azint's published formula [lengths in pixels]."""

    def q(slow: float, fast: float) -> float:
        return 4 * math.pi / 1.0 * math.sin(0.5 * math.atan2(math.hypot(slow - 5, fast - 5), 30))

    centers = [q(i + 0.5, j + 0.5) for i, j in itertools.product(range(10), range(10))]
    edges = np.linspace(min(centers), max(centers), 6)
    signal, number = np.zeros(5), np.zeros(5)
    for i, j, k, n in itertools.product(range(10), range(10), range(4), range(4)):
        place = int(np.searchsorted(edges, q(i + (k + 0.5) / 4, j + (n + 0.5) / 4), side="right")) - 1
        if 0 <= place < 5:
            omega = (30 / math.sqrt(30**2 + (i + 0.5 - 5) ** 2 + (j + 0.5 - 5) ** 2)) ** 3
            signal[place] += image[i, j] / omega / 16
            number[place] += 1 / 16
    return (signal / number).tolist(), (0.5 * (edges[1:] + edges[:-1])).tolist()


def test_tutorial_gets_the_numbers_that_the_formula_gives() -> None:
    ai = tutorial()
    image = np.random.default_rng(3).poisson(20, (10, 10)).astype(np.uint16)
    I, _ = ai.integrate(image)  # noqa: E741, N806  # the tutorial's own line
    intensity, axis = _by_hand(image)
    np.testing.assert_allclose(I, intensity, rtol=1e-6)
    np.testing.assert_allclose(ai.radial_axis, axis, rtol=1e-12)
    assert I.dtype == np.float32
    assert I.shape == (5,)
    assert _ is None


def test_axis_and_intensity_are_plain_arrays_that_travel_and_can_be_written_to() -> None:
    ai = tutorial()
    I, _ = ai.integrate(np.ones((10, 10), np.uint16))  # noqa: E741, N806
    assert type(ai.radial_axis) is np.ndarray
    assert ai.radial_axis.dtype == np.float64
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(ai.radial_axis)), ai.radial_axis)
    assert len(json.loads(json.dumps(ai.radial_axis.tolist()))) == 5
    I[:] = 0
    assert ai.integrate(np.ones((10, 10)))[0].min() > 0.9


@pytest.mark.parametrize("azimuth_bins", [None, 6])
def test_two_and_four_targets_both_unpack(poni_file: str, azimuth_bins: int | None) -> None:
    ai = azint.AzimuthalIntegrator(poni_file, 2, 20, azimuth_bins, error_model="poisson")
    image = np.random.default_rng(3).poisson(20, (40, 50))
    radial, sigma, cake, cake_sigma = ai.integrate(image)
    assert radial.shape == sigma.shape == (20,)
    old, old_sigma = ai.integrate(image)
    if azimuth_bins is None:
        assert cake is cake_sigma is None
        np.testing.assert_array_equal(old, radial)
        np.testing.assert_array_equal(old_sigma, sigma)
    else:
        assert cake.shape == cake_sigma.shape == (6, 20)
        np.testing.assert_array_equal(old, cake)
        np.testing.assert_array_equal(old_sigma, cake_sigma)


class Holder:
    first: Any = None
    second: Any = None


def _generator(results: Any) -> Iterator[Any]:
    for first, _second in results:
        yield first


def _unpack_in_all_ways(result: azint.IntegrationResult) -> None:
    first, second = result
    assert (first, second) == (1, 2)
    [first, second] = result
    (first, second), third = result, 3
    assert (first, second, third) == (1, 2, 3)
    holder, table = Holder(), {}
    holder.first, table["second"] = result
    assert (holder.first, table["second"]) == (1, 2)
    for first, _ in [result, result]:
        assert first == 1
    assert [first for first, _ in [result]] == [1]
    assert list(_generator([result])) == [1]
    assert (lambda: [a + b for a, b in map(lambda x: x, [result])])() == [3]  # noqa: C417
    one, two, three, four = result
    assert (one, two, three, four) == (1, 2, None, 4)
    one, *rest = result
    assert rest == [2, None, 4]
    assert list(result) == [*result] == [1, 2, None, 4]
    assert tuple(result) == (1, 2, None, 4)
    assert (lambda *values: values)(*result) == (1, 2, None, 4)
    assert (len(result), result[0], result[-1], result[2:]) == (4, 1, 4, (None, 4))
    with pytest.raises(ValueError, match="too many values"):
        one, two, three = result


def test_unpacking_follows_the_number_of_targets_however_it_is_written() -> None:
    for _ in range(200):  # CPython rewrites instructions once they are hot
        _unpack_in_all_ways(azint.IntegrationResult((1, 2, None, 4)))


def test_unpacking_works_under_a_tracer() -> None:
    def trace(*_: Any) -> Any:
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        _unpack_in_all_ways(azint.IntegrationResult((1, 2, None, 4)))
    finally:
        sys.settrace(before)


def test_unpacking_at_module_level_and_in_exec() -> None:
    names: dict[str, Any] = {"result": azint.IntegrationResult((1, 2, None, 4))}
    exec("a, b = result", names)
    exec("c, d, e, f = result", names)
    assert [names[name] for name in "abcdef"] == [1, 2, 1, 2, None, 4]


def test_where_the_caller_cannot_be_seen_there_are_four(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(sys, "_getframe")
    assert list(azint.IntegrationResult((1, 2, None, 4))) == [1, 2, None, 4]
    one, two, three, four = azint.IntegrationResult((1, 2, None, 4))
    assert (one, two, three, four) == (1, 2, None, 4)


def test_result_survives_copies_and_pickles_with_all_four() -> None:
    result = azint.IntegrationResult((1, 2, None, 4))
    for same in (pickle.loads(pickle.dumps(result)), copy.copy(result), copy.deepcopy(result)):
        assert type(same) is azint.IntegrationResult
        assert list(same) == [1, 2, None, 4]


@pytest.mark.parametrize("version", ["3.12", "3.13", "3.14"])
def test_unpacking_on_other_interpreters(version: str) -> None:
    if shutil.which(f"python{version}") is None:
        pytest.skip(f"there is no python{version} here")
    found = subprocess.run([f"python{version}", "--version"], capture_output=True, check=False)
    if found.returncode or version.encode() not in found.stdout:
        pytest.skip(f"there is no python{version} here")
    script = (
        Path(unpacking.__file__).read_text()
        + """
def check():
    for _ in range(3000):
        result = IntegrationResult((1, 2, None, 4))
        a, b = result
        c, d, e, f = result
        g, *h = result
        assert (a, b, c, d, e, f, g, h, list(result)) == (1, 2, 1, 2, None, 4, 1, [2, None, 4], [1, 2, None, 4])
check()
"""
    )
    done = subprocess.run([f"python{version}", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_poni_file_dictionary_and_object_say_the_same(poni_file: str) -> None:
    image = np.random.default_rng(3).poisson(20, (40, 50))
    keys = {
        "detector": "Detector", "detector_config": '{"pixel1": 1e-4, "pixel2": 1e-4, "max_shape": [40, 50]}',
        "distance": "0.05", "poni1": "2.1e-3", "poni2": "2.6e-3", "rot1": "0", "rot2": "0", "rot3": "0",
        "wavelength": "1e-10",
    }  # fmt: skip
    expected = azint.AzimuthalIntegrator(poni_file, 2, 20).integrate(image)[0]
    for poni in (Path(poni_file), keys, azint.Poni.from_file(poni_file), azint.Poni.from_dict(keys)):
        np.testing.assert_array_equal(azint.AzimuthalIntegrator(poni, 2, 20).integrate(image)[0], expected)


def test_uniform_image_integrates_to_one_everywhere(poni_file: str) -> None:
    image = np.ones((40, 50), np.uint16)
    for error_model in (None, "poisson"):
        res, _ = azint.AzimuthalIntegrator(poni_file, 4, 30, error_model=error_model, solid_angle=False).integrate(
            image
        )
        np.testing.assert_allclose(res, 1.0, rtol=1e-6)


def test_sums_and_norm_as_old_azint_returned_them(poni_file: str) -> None:
    image = np.ones((40, 50), np.uint16)
    ai = azint.AzimuthalIntegrator(poni_file, 4, 30, 36, solid_angle=False, error_model="poisson")
    res, errors, norm = ai.integrate(image, normalized=False)
    assert errors is not None
    assert res.shape == errors.shape == norm.shape == (36, 30)
    np.testing.assert_allclose(res.sum(axis=0) / norm.sum(axis=0), 1.0, rtol=1e-6)
    np.testing.assert_array_equal(norm, ai.norm_2d)
    np.testing.assert_allclose(ai.norm_1d, norm.sum(axis=0), rtol=1e-6)


def test_sums_as_current_azint_returns_them(poni_file: str) -> None:
    image = np.random.default_rng(3).poisson(20, (40, 50))
    sums = azint.AzimuthalIntegrator(poni_file, 4, 30, 36, error_model="poisson", normalized=False)
    means = azint.AzimuthalIntegrator(poni_file, 4, 30, 36, error_model="poisson")
    one, sigma, cake, cake_sigma = sums.integrate(image)
    mean, mean_sigma, mean_cake, mean_cake_sigma = means.integrate(image)
    np.testing.assert_allclose(mean, one / sums.norm_1d, rtol=1e-6)
    np.testing.assert_allclose(mean_sigma, sigma / sums.norm_1d, rtol=1e-6)
    assert sums.norm_2d is not None
    used = sums.norm_2d > 0
    np.testing.assert_allclose(mean_cake[used], cake[used] / sums.norm_2d[used], rtol=1e-6)
    np.testing.assert_allclose(mean_cake_sigma[used], cake_sigma[used] / sums.norm_2d[used], rtol=1e-6)


def test_edges_of_ones_own_give_axes_in_their_middle(poni_file: str) -> None:
    q, phi = [0.0, 0.1, 0.2, 0.3, 0.4], [0.0, 90.0, 180.0, 270.0, 360]
    ai = azint.AzimuthalIntegrator(poni_file, 4, q, phi, solid_angle=False)
    np.testing.assert_allclose(ai.radial_axis, [0.05, 0.15, 0.25, 0.35])
    assert ai.azimuth_axis is not None
    np.testing.assert_allclose(ai.azimuth_axis, [45, 135, 225, 315])
    assert ai.output_shape == [4, 4]
    assert azint.AzimuthalIntegrator(poni_file, 4, 10).azimuth_axis is None


def test_two_theta_is_in_degrees(poni_file: str) -> None:
    ai = azint.AzimuthalIntegrator(poni_file, 1, 30, unit="2th")
    largest = math.degrees(math.atan2(math.hypot(21 - 0.5, 26 - 0.5) * 1e-4, 0.05))
    half_a_bin = 0.5 * (ai.radial_axis[1] - ai.radial_axis[0])
    assert ai.radial_axis[-1] + half_a_bin == pytest.approx(largest)


def test_mask_marks_bad_pixels_with_one_in_all_its_forms(poni_file: str, tmp_path: Path) -> None:
    image = np.random.default_rng(3).poisson(20, (40, 50)).astype(np.float32)
    mask = (np.random.default_rng(4).random((40, 50)) < 0.3).astype(np.int8)
    np.save(tmp_path / "mask.npy", mask)
    expected = azint.AzimuthalIntegrator(poni_file, 2, 20).integrate(np.where(mask, np.nan, image))[0]
    from_file = azint.AzimuthalIntegrator(poni_file, 2, 20, mask=str(tmp_path / "mask.npy"))
    assert from_file.mask_path == str(tmp_path / "mask.npy")
    for ai in (azint.AzimuthalIntegrator(poni_file, 2, 20, mask=mask), from_file):
        np.testing.assert_allclose(ai.integrate(image)[0], expected, rtol=1e-6)
    for no_mask in (None, ""):
        ai = azint.AzimuthalIntegrator(poni_file, 2, 20, mask=no_mask)
        np.testing.assert_allclose(ai.integrate(image, mask)[0], expected, rtol=1e-6)


def test_shape_and_pixel_size_as_they_were_given_before_poni_files_had_them(poni_file: str, tmp_path: Path) -> None:
    image = np.random.default_rng(3).poisson(20, (40, 50))
    old = tmp_path / "old.poni"
    old.write_text("PixelSize1: 5e-5\nPixelSize2: 5e-5\n" + PONI_TEXT[PONI_TEXT.index("Distance") :])
    ai = azint.AzimuthalIntegrator(
        str(old), shape=(40, 50), pixel_size=1e-4, n_splitting=2, radial_bins=20, mask=np.zeros((40, 50), bool)
    )
    expected = azint.AzimuthalIntegrator(poni_file, 2, 20).integrate(image)[0]
    np.testing.assert_array_equal(ai.integrate(image)[0], expected)


def test_empty_bins_are_zero(poni_file: str) -> None:
    intensity, sigma = azint.AzimuthalIntegrator(poni_file, 1, [0.0, 1.0, 90.0, 91.0], error_model="poisson").integrate(
        np.ones((40, 50))
    )
    assert intensity[2] == sigma[2] == 0


def test_image_of_another_size_is_azints_runtime_error(poni_file: str) -> None:
    ai = azint.AzimuthalIntegrator(poni_file, 1, 20)
    with pytest.raises(RuntimeError, match="image has 6 pixels, the detector has 2000"):
        ai.integrate(np.zeros((2, 3)))
    with pytest.raises(RuntimeError, match="mask has 6 pixels"):
        ai.integrate(np.zeros((40, 50)), np.zeros((2, 3)))
    flat = np.random.default_rng(1).poisson(4, 2000)
    np.testing.assert_array_equal(ai.integrate(flat)[0], ai.integrate(flat.reshape(40, 50))[0])


@pytest.mark.parametrize(
    ("options", "error", "what"),
    [
        ({"unit": "parsec"}, RuntimeError, "allowed units: q, 2th"),
        ({"error_model": "azimuthal"}, RuntimeError, "only poisson"),
        ({"mask": np.zeros((5, 5))}, UsageError, "mask has shape"),
        ({"mask": "mask.tif"}, RuntimeError, "only .npy files"),
        ({"mask": "nowhere.npy"}, RuntimeError, "cannot be read"),
        ({"n_splitting": (40, 50)}, UsageError, "cannot be split"),
        ({"poni": 5}, RuntimeError, "geometry is a int"),
        ({"poni": "nowhere.poni"}, UsageError, "cannot be read"),
        ({"poni": {"detector": "Eiger4M"}}, DecodeError, "distance, poni1"),
    ],
)
def test_argument_that_makes_no_sense_is_explained(
    options: dict[str, Any], error: type[Exception], what: str, poni_file: str
) -> None:
    arguments = {"poni": poni_file, "n_splitting": 1, "radial_bins": 10, **options}
    with pytest.raises(error, match=what):
        azint.AzimuthalIntegrator(**arguments)


def test_mask_file_with_a_pickle_inside_is_not_opened(poni_file: str, tmp_path: Path) -> None:
    np.save(tmp_path / "evil.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(RuntimeError, match="cannot be read"):
        azint.AzimuthalIntegrator(poni_file, 1, 10, mask=str(tmp_path / "evil.npy"))


def test_detectors_are_known_by_name_and_can_be_overridden() -> None:
    eiger = azint.detector.Detector.factory("Eiger2_4M")
    assert (eiger.pixel1, eiger.pixel2, eiger.shape) == (75e-6, 75e-6, (2162, 2068))
    half = azint.detector.Detector.factory("Eiger2_4M", {"max_shape": [10, 20]})
    assert half.shape == (10, 20)
    with pytest.raises(UsageError, match="'Nose' is not known"):
        azint.detector.Detector.factory("Nose")
    with pytest.raises(UsageError, match="lacks pixel1, pixel2"):
        azint.detector.Detector.factory("Detector", {"max_shape": [10, 20]})


def test_corners_of_pixels_go_around_them() -> None:
    corners = azint.detector.Detector(1e-4, 2e-4, (3, 4)).pixel_corners
    assert corners.shape == (3, 4, 4, 3)
    assert corners.dtype == np.float32
    np.testing.assert_allclose(corners[1, 2, :, 1], [1e-4, 2e-4, 2e-4, 1e-4])
    np.testing.assert_allclose(corners[1, 2, :, 2], [4e-4, 4e-4, 6e-4, 6e-4])
    with pytest.raises(UsageError, match="pixel_corners"):
        azint.detector.Detector(1e-4, 2e-4, (3, 4), corners)
