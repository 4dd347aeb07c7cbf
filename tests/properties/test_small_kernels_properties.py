"""The compiled small kernels do what the plain ones do."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from glimt.kernels.centroid import CentroidFinder
from glimt.kernels.color_maps import COLOR_MAPS
from glimt.kernels.histogram import ValueHistogram
from glimt.kernels.picture_levels import SCALES
from glimt.kernels.preview import BINNINGS, Preview
from glimt.kernels.projections import AxisProjector, FrameSum
from glimt.kernels.roi import RoiIntegrator
from glimt.kernels.roi_shapes import PolygonRoi, RingRoi, Roi
from glimt.kernels.running import RunningMoments

TYPES = ["u1", "u2", "u4", "i4", "f4", "f8", "i2", "i8", "f2", "?"]

shapes = st.one_of(st.tuples(st.integers(1, 20), st.integers(1, 20)), st.sampled_from([(1, 1), (1, 90), (70, 1)]))
seeds = st.integers(0, 2**32 - 1)
types = st.sampled_from(TYPES)


def _frame(shape: tuple[int, int], dtype: str, random: np.random.Generator) -> npt.NDArray[Any]:
    frame = random.poisson(random.choice([0.1, 3, 30]), shape).astype(np.float64)
    if dtype[0] in "if":
        frame -= random.integers(0, 10)
    if dtype[0] == "f":
        frame += random.normal(0, 1, shape)
        frame[random.random(shape) < random.choice([0, 0.2, 1.0])] = np.nan
    if dtype[0] in "ui":
        limits = np.iinfo(np.int32 if dtype == "i8" else dtype)  # 64 bits are exact only up to 53
        array = frame.astype(dtype)
        array[random.random(shape) < 0.05] = limits.max
        array[random.random(shape) < 0.02] = limits.min
        return array
    return frame.astype(dtype)


def _mask(shape: tuple[int, int], random: np.random.Generator) -> npt.NDArray[np.bool_] | None:
    if random.random() < 0.2:
        return None
    mask: npt.NDArray[np.bool_] = random.random(shape) < random.choice([0.0, 0.2, 1.0])
    return mask


def _roi(shape: tuple[int, int], random: np.random.Generator) -> Roi | PolygonRoi | RingRoi:
    kind = random.integers(0, 3)
    if kind == 0:
        slow, fast = (np.sort(random.integers(-3, n + 4, 2)) for n in shape)
        return Roi(int(slow[0]), int(slow[1]), int(fast[0]), int(fast[1]))
    if kind == 1:
        n = int(random.integers(3, 8))
        return PolygonRoi(
            tuple((random.integers(-4, 2 * shape[0] + 4) / 2, random.uniform(-2, shape[1])) for _ in range(n))
        )
    radii = np.sort(random.uniform(0, 15, 2))
    return RingRoi(random.uniform(-2, shape[0]), random.uniform(-2, shape[1]), radii[0], radii[1])


@settings(max_examples=150)
@given(shapes, types, seeds)
def test_roi_sums(shape: tuple[int, int], dtype: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    rois, mask, frame = [_roi(shape, random) for _ in range(4)], _mask(shape, random), _frame(shape, dtype, random)
    ours, plain = (RoiIntegrator(shape, rois, mask=mask, compiled=c).integrate(frame) for c in (True, False))
    np.testing.assert_allclose(ours.total, plain.total, rtol=1e-12)
    np.testing.assert_array_equal(ours.n_pixels, plain.n_pixels)
    np.testing.assert_allclose(ours.mean, plain.mean, rtol=1e-12)
    for roi, total, n in zip(rois, ours.total, ours.n_pixels, strict=True):
        inside = roi.covers(shape) & (True if mask is None else ~mask) & ~np.isnan(frame.astype(np.float64))
        assert n == inside.sum()
        np.testing.assert_allclose(total, frame[inside].astype(np.float64).sum(), rtol=1e-12)


def _inside_polygon(corners: list[tuple[float, float]], slow: float, fast: float) -> bool:
    inside = False
    for (s1, f1), (s2, f2) in zip(corners, corners[1:] + corners[:1], strict=True):
        if (s1 <= slow) != (s2 <= slow) and fast >= f1 + (slow - s1) * ((f2 - f1) / (s2 - s1)):
            inside = not inside
    return inside


@settings(max_examples=150)
@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.lists(st.tuples(st.integers(-8, 32), st.integers(-8, 32)), min_size=3, max_size=7),
)
def test_polygon_holds_the_pixels_whose_middle_it_surrounds(shape: tuple[int, int], quarters: Any) -> None:
    corners = [(s / 4, f / 4) for s, f in quarters]
    covered = PolygonRoi(tuple(corners)).covers(shape)
    shifted = [(s - 0.5, f - 0.5) for s, f in corners]
    expected = [[_inside_polygon(shifted, s, f) for f in range(shape[1])] for s in range(shape[0])]
    assert covered.tolist() == expected


@settings(max_examples=150)
@given(shapes, types, seeds)
def test_projections(shape: tuple[int, int], dtype: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    mask = _mask(shape, random)
    projectors = [AxisProjector(shape, mask=mask, compiled=c) for c in (True, False)]
    for frame in (_frame(shape, dtype, random), _frame(shape, dtype, random)):
        ours, plain = (projector.project(frame) for projector in projectors)
        for name in ("over_slow", "over_fast", "n_over_slow", "n_over_fast"):
            np.testing.assert_allclose(getattr(ours, name), getattr(plain, name), rtol=1e-12, atol=1e-9, err_msg=name)


@settings(max_examples=100)
@given(shapes, types, seeds, st.integers(0, 4))
def test_sum_and_maximum_of_frames(shape: tuple[int, int], dtype: str, seed: int, cut: int) -> None:
    random = np.random.default_rng(seed)
    frames = [_frame(shape, dtype, random) for _ in range(4)]
    ours, plain = (FrameSum(shape, dtype, compiled=c) for c in (True, False))
    rest = FrameSum(shape, dtype)
    for i, frame in enumerate(frames):
        (ours if i < cut else rest).add(frame)
        plain.add(frame)
    ours.merge(rest)
    assert ours.n_frames == plain.n_frames == 4
    np.testing.assert_allclose(ours.total, plain.total, rtol=1e-12, atol=1e-9)
    np.testing.assert_array_equal(ours.largest, plain.largest)
    np.testing.assert_array_equal(ours.n_missing, plain.n_missing)
    known = np.array(frames, np.float64)
    np.testing.assert_allclose(ours.total, np.nansum(known, axis=0), rtol=1e-12, atol=1e-9)


@settings(max_examples=100)
@given(shapes, st.lists(types, min_size=1, max_size=6), seeds, st.integers(0, 6))
def test_running_moments_do_not_depend_on_how_they_are_merged(
    shape: tuple[int, int], dtypes: list[str], seed: int, cut: int
) -> None:
    random = np.random.default_rng(seed)
    frames = [np.minimum(_frame(shape, dtype, random), 100) for dtype in dtypes if dtype not in {"i8", "i2", "i4"}]
    ours, plain, rest = RunningMoments(shape), RunningMoments(shape, compiled=False), RunningMoments(shape)
    for i, frame in enumerate(frames):
        (ours if i < cut else rest).add(frame)
        plain.add(frame)
    ours.merge(rest)
    assert ours.n_frames == len(frames)
    np.testing.assert_array_equal(ours.count, plain.count)
    np.testing.assert_allclose(ours.mean(), plain.mean(), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(ours.variance(), plain.variance(), rtol=1e-7, atol=1e-7)
    known = np.array(frames, np.float64).reshape(-1, *shape)
    n = (~np.isnan(known)).sum(axis=0)
    mean = np.divide(np.nansum(known, axis=0), n, out=np.full(shape, np.nan), where=n > 0)
    squares = np.nansum((known - mean) ** 2, axis=0)
    variance = np.divide(squares, n - 1, out=np.full(shape, np.nan), where=n > 1)
    np.testing.assert_allclose(ours.mean(), mean, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(ours.variance(), variance, rtol=1e-7, atol=1e-7)


@settings(max_examples=150)
@given(shapes, types, seeds, st.integers(-5, 5), st.integers(1, 40), st.sampled_from([0.37, 1.0, 2.5]))
def test_histograms(shape: tuple[int, int], dtype: str, seed: int, low: int, n_bins: int, width: float) -> None:
    random = np.random.default_rng(seed)
    mask, frame = _mask(shape, random), _frame(shape, dtype, random)
    ours, plain = (
        ValueHistogram(shape, low=low, high=low + n_bins * width, n_bins=n_bins, mask=mask, compiled=c).measure(frame)
        for c in (True, False)
    )
    np.testing.assert_array_equal(ours.counts, plain.counts)
    assert (ours.n_below, ours.n_above, ours.n_nan) == (plain.n_below, plain.n_above, plain.n_nan)
    n_pixels = shape[0] * shape[1] - (0 if mask is None else mask.sum())
    assert ours.counts.sum() + ours.n_below + ours.n_above + ours.n_nan == n_pixels


@settings(max_examples=150)
@given(shapes, types, seeds, st.sampled_from([None, 0.0, 3.5]), st.sampled_from([0.0, 1.5]))
def test_centroids(shape: tuple[int, int], dtype: str, seed: int, threshold: float | None, offset: float) -> None:
    random = np.random.default_rng(seed)
    mask = _mask(shape, random)
    finders = [CentroidFinder(shape, mask=mask, threshold=threshold, offset=offset, compiled=c) for c in (True, False)]
    for frame in (_frame(shape, dtype, random), _frame(shape, dtype, random)):
        ours, plain = (finder.find(frame) for finder in finders)
        assert ours.n_pixels == plain.n_pixels
        largest = float(np.nanmax(np.abs(frame.astype(np.float64)), initial=1.0)) * frame.size
        np.testing.assert_allclose(ours.total, plain.total, rtol=1e-12, atol=1e-12 * largest)
        if plain.total > 1e-3 * largest:  # else the center is a quotient of rounding errors
            np.testing.assert_allclose([ours.slow, ours.fast], [plain.slow, plain.fast], rtol=1e-6, atol=1e-6)


@settings(max_examples=200)
@given(
    shapes, types, seeds, st.integers(1, 9), st.sampled_from(BINNINGS), st.sampled_from(SCALES),
    st.sampled_from(COLOR_MAPS),
)  # fmt: skip
def test_previews(
    shape: tuple[int, int], dtype: str, seed: int, factor: int, binning: str, scale: str, color_map: str
) -> None:
    random = np.random.default_rng(seed)
    mask = _mask(shape, random)
    factor = min(factor, max(shape))
    ours, plain = (
        Preview(shape, factor=factor, binning=binning, scale=scale, color_map=color_map, mask=mask, compiled=c)
        for c in (True, False)
    )
    for frame in (_frame(shape, dtype, random), _frame(shape, dtype, random)):
        np.testing.assert_array_equal(ours.bin(frame), plain.bin(frame))
        np.testing.assert_array_equal(ours.levels(frame, (0.5, 20.0)), plain.levels(frame, (0.5, 20.0)))
        picture = ours.render(frame)
        assert picture.shape == (*ours.picture_shape, 3)
        np.testing.assert_array_equal(picture, plain.render(frame))
