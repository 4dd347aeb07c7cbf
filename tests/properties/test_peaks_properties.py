"""The compiled peak searches and radial statistics do what the plain ones do."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from glimt.kernels.peakfinder8 import PanelLayout, Peakfinder8, Peakfinder8Parameters
from glimt.kernels.radial_statistics import RadialStatistics
from glimt.kernels.radius_map import RadialBins, flat_radius_map
from glimt.kernels.zaef import ZaefParameters, ZaefPeakFinder

TYPES = ["u1", "u2", "u4", "i4", "f4", "f8"]


def _frame(shape: tuple[int, int], dtype: str, random: np.random.Generator) -> npt.NDArray[Any]:
    """Return background, peaks, gaps and saturated pixels; negative and missing ones if the type has them."""
    frame = random.poisson(random.choice([0.05, 0.9, 5, 40]), shape).astype(np.float64)
    for _ in range(random.integers(0, 1 + shape[0] * shape[1] // 30)):
        slow, fast = (random.integers(0, n) for n in shape)
        frame[slow : slow + random.integers(1, 4), fast : fast + random.integers(1, 4)] += random.integers(5, 150)
    largest = np.iinfo(dtype).max if dtype[0] in "ui" else 1e6
    frame[random.random(shape) < random.choice([0.0, 0.02])] = largest
    if dtype[0] in "if" and random.random() < 0.5:
        frame -= random.integers(0, 30)
    if dtype[0] == "f":
        frame += random.normal(0, 1, shape) if random.random() < 0.7 else 0
        frame[random.random(shape) < 0.02] = random.choice([np.nan, np.inf, -np.inf])
    if random.random() < 0.3:
        frame[: shape[0] // 2] = np.minimum(largest, 0)
    return np.minimum(frame, largest).astype(dtype)


def _mask(shape: tuple[int, int], random: np.random.Generator) -> npt.NDArray[np.bool_]:
    mask: npt.NDArray[np.bool_] = random.random(shape) < random.choice([0.0, 0.1, 1.0], p=[0.4, 0.55, 0.05])
    return mask


shapes = st.one_of(
    st.tuples(st.integers(1, 24), st.integers(1, 24)), st.sampled_from([(1, 1), (1, 130), (70, 1), (67, 65)])
)
seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=300)
@given(
    shapes, st.sampled_from(TYPES), st.sampled_from([0.0, 0.5, 1.0, 4.0, 6.5, 20.0, 300.0, 1e6]),
    st.sampled_from([0.0, 1.0, 3.0, 5.0]), st.integers(1, 6), seeds,
)  # fmt: skip
@example((3, 3), "u4", 1e6, 5.0, 5, 0)
def test_radial_statistics_are_those_of_clipping_all_pixels_again_and_again(
    shape: tuple[int, int], dtype: str, threshold: float, snr: float, n_iterations: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    radius = flat_radius_map(shape, (random.uniform(-3, shape[0]), random.uniform(-3, shape[1])))
    bins = RadialBins(radius, mask=_mask(shape, random), max_radius_px=random.choice([0.0, 8.0]))
    compiled, plain = RadialStatistics(bins), RadialStatistics(bins, compiled=False)
    for _ in range(2):  # buffers of the first frame do not show in the second
        frame = _frame(shape, dtype, random)
        ours, theirs = (
            each.background(frame, minimum_snr=snr, threshold=threshold, n_iterations=n_iterations)
            for each in (compiled, plain)
        )
        if dtype[0] in "ui" and float(np.abs(frame.astype(np.float64)).max()) < 1e6:
            for name in ("mean", "sigma", "threshold", "n_pixels"):
                np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), name)
        elif n_iterations == 1:
            np.testing.assert_array_equal(ours.n_pixels, theirs.n_pixels)
            np.testing.assert_allclose(ours.mean, theirs.mean, rtol=1e-9, atol=1e-9)
            scale = max(1.0, float(np.abs(ours.mean).max()))
            np.testing.assert_allclose(ours.sigma, theirs.sigma, rtol=1e-5, atol=1e-6 * scale)
        listed = compiled.listed[: compiled.n_listed]
        used = bins.bins < bins.n_bins
        assert set(np.flatnonzero(used & (frame.ravel() > threshold))) <= set(listed.tolist())
        assert (np.diff(listed.astype(np.int64)) > 0).all()
        assert used[listed].all()


layouts = st.tuples(st.integers(1, 22), st.integers(1, 22), st.integers(1, 3), st.integers(1, 3)).map(
    lambda n: PanelLayout(*n)
)


@settings(max_examples=250)
@given(layouts, st.sampled_from(TYPES), st.sampled_from([0.0, 2.0, 6.0, 25.0]), seeds)
def test_peakfinder8_finds_the_same_peaks(layout: PanelLayout, dtype: str, threshold: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    shape = layout.frame_shape
    least = int(random.integers(1, 4))
    parameters = Peakfinder8Parameters(
        threshold, float(random.choice([0.0, 2.0, 5.0])), least, least + int(random.integers(0, 20)),
        int(random.integers(1, 5)), int(random.choice([1, 3, 500])),
    )  # fmt: skip
    radius = flat_radius_map(shape, (shape[0] / 2, shape[1] / 3), truncated=True)
    mask = _mask(shape, random)
    compiled, plain = (
        Peakfinder8(radius, parameters, layout=layout, mask=mask, min_res=2.0, compiled=c) for c in (True, False)
    )
    for _ in range(2):
        frame = _frame(shape, dtype, random)
        ours, theirs = compiled.find(frame), plain.find(frame)
        assert ours.n_found == theirs.n_found
        assert len(ours) == min(ours.n_found, parameters.max_num_peaks)
        assert ours.peaks["n_pixels"].tolist() == theirs.peaks["n_pixels"].tolist()
        for name in ("fs", "ss", "intensity", "max_intensity"):
            np.testing.assert_allclose(ours.peaks[name], theirs.peaks[name], rtol=1e-6, atol=1e-6, err_msg=name)


@settings(max_examples=200)
@given(layouts, st.sampled_from(TYPES), st.sampled_from([0.0, 3.0, 20.0]), seeds)
def test_zaef_finds_the_same_peaks(layout: PanelLayout, dtype: str, threshold: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    radii = [(1.0, 1.0, 2.0), (2.0, 2.5, 3.5), (1.5, 3.0, 3.0)][random.integers(0, 3)]
    parameters = ZaefParameters(
        threshold, float(random.choice([0.0, 20.0, 400.0])), float(random.choice([0.0, 2.0])), radii
    )
    mask = _mask(layout.frame_shape, random)
    compiled, plain = (
        ZaefPeakFinder(layout.frame_shape, parameters, layout=layout, mask=mask, compiled=c) for c in (True, False)
    )
    for _ in range(2):
        frame = _frame(layout.frame_shape, dtype, random)
        ours, theirs = compiled.find(frame), plain.find(frame)
        assert ours.n_found == theirs.n_found
        for name in ("fs", "ss", "intensity", "max_intensity", "snr"):
            np.testing.assert_allclose(ours.peaks[name], theirs.peaks[name], rtol=1e-6, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("dtype", TYPES)
def test_the_random_frames_have_peaks(dtype: str) -> None:
    """Guard of the tests above: frames without peaks would prove nothing."""
    random = np.random.default_rng(7)
    layout = PanelLayout(40, 40)
    found = [0, 0]
    radius = flat_radius_map((40, 40), (20, 20))
    for _ in range(30):
        frame = _frame((40, 40), dtype, random)
        found[0] += len(Peakfinder8(radius, Peakfinder8Parameters(3.0, 2.0, 1, 30, 3)).find(frame))
        found[1] += len(
            ZaefPeakFinder((40, 40), ZaefParameters(3.0, 20.0, 2.0, (2.0, 2.5, 3.5)), layout=layout).find(frame)
        )
    assert min(found) > 20
