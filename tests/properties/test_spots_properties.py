"""Compiled spot finding finds what the plain one does, on any frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from glimt.kernels.components import label_components
from glimt.kernels.spot_filters import SpotFilter
from glimt.kernels.spots import SpotFinder
from glimt.kernels.strong_pixels import StrongPixelFinder

SHAPES = st.one_of(
    st.sampled_from([(1, 1), (1, 9), (9, 1), (2, 2), (3, 40)]), st.tuples(st.integers(1, 37), st.integers(1, 41))
)
DTYPES = ("uint8", "uint16", "uint32", "int32", "float32", "float64", "int16", "uint64")


def _spotted(random: np.random.Generator, shape: tuple[int, int], mean: float) -> npt.NDArray[np.float64]:
    frame = random.poisson(mean, shape).astype(np.float64)
    slow, fast = np.mgrid[: shape[0], : shape[1]]
    for _ in range(random.integers(0, 5)):
        y, x = random.random(2) * shape
        height, width = np.exp(random.uniform(0, 10)), random.uniform(0.5, 1.6)
        spot = height * np.exp(-((slow - y) ** 2 + (fast - x) ** 2) / (2 * width**2))
        frame += random.poisson(spot)
    return frame


@st.composite
def frames(draw: st.DrawFn) -> npt.NDArray[Any]:
    """Counts with spots; sometimes saturated, negative, huge, NaN or infinite ones among them."""
    shape, dtype = draw(SHAPES), np.dtype(draw(st.sampled_from(DTYPES)))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    frame = _spotted(random, shape, draw(st.sampled_from([0.02, 0.9, 6.0, 200.0, 5000.0])))
    if dtype.kind == "f" and draw(st.booleans()):
        frame = frame * 1.37 - 0.21
    limits = (0, 255) if dtype.itemsize == 1 else (-(1 << 15), (1 << 15) - 1) if dtype == np.int16 else (0, 1 << 30)
    top = min(limits[1], 65535 if dtype == np.uint16 else limits[1])
    odd: list[float] = []
    if draw(st.integers(0, 3)) == 0:
        odd += [top, top - 1, top, 1 << 24 if top > 1 << 24 else top]
        odd += [-1, -2, -70000 if dtype.itemsize > 2 else -7] if dtype.kind in "if" else []
        odd += [np.nan, np.inf, -np.inf] if dtype.kind == "f" else []
    frame = np.clip(frame, -1 if dtype.kind != "u" else 0, top)
    for value in odd:
        frame[random.random(shape) < random.choice([0.003, 0.05])] = value
    return frame.astype(dtype)


@st.composite
def rules(draw: st.DrawFn) -> dict[str, Any]:
    kernel = draw(st.sampled_from([(3, 3), (3, 3), (1, 1), (2, 4), (5, 2), (1, 6), (9, 9), (25, 3), (25, 25)]))
    window = (2 * kernel[0] + 1) * (2 * kernel[1] + 1)
    return {
        "threshold": draw(st.sampled_from(["dispersion", "dispersion_extended"])),
        "kernel_size": kernel,
        "sigma_background": draw(st.sampled_from([6.0, 6.0, 3.0, 0.0, 1.7])),
        "sigma_strong": draw(st.sampled_from([3.0, 3.0, 0.0, 1.3, 7.0])),
        "min_local": draw(st.sampled_from([2, 2, 0, min(30, window), window])),
        "global_threshold": draw(st.sampled_from([0.0, 0.0, 2.0, 40.0])),
        "trusted_range": draw(st.sampled_from([None, None, (0, 250), (-1, 1e4), (1, 60000.5)])),
        "max_strong_fraction": 1.0,
    }


def _choose(random: np.random.Generator, kind: str, shape: tuple[int, int]) -> Any:
    if kind == "none":
        return None
    if kind == "number":
        return 1.7
    return random.uniform(0.4, 3.0, shape)


def _mask(random: np.random.Generator, shape: tuple[int, int], kind: str) -> npt.NDArray[np.bool_] | None:
    if kind == "none":
        return None
    mask = random.random(shape) < {"sparse": 0.02, "dense": 0.5, "all": 2.0, "gaps": 0.0}[kind]
    if kind == "gaps":
        mask[shape[0] // 3 : shape[0] // 3 + 4] = True
        mask[:, shape[1] // 2 : shape[1] // 2 + 3] = True
    return mask


@settings(max_examples=300)
@given(
    frames(),
    rules(),
    st.sampled_from(["none", "sparse", "dense", "gaps", "all"]),
    st.sampled_from(["none", "none", "number", "map"]),
    st.integers(0, 2**32 - 1),
)
def test_compiled_thresholds_find_the_same_pixels(
    frame: npt.NDArray[Any], rule: dict[str, Any], masked: str, gain: str, seed: int
) -> None:
    random = np.random.default_rng(seed)
    rule |= {"mask": _mask(random, frame.shape, masked), "gain": _choose(random, gain, frame.shape)}
    compiled, plain = (StrongPixelFinder(frame.shape, compiled=which, **rule) for which in (True, False))
    expected = plain.find(frame)
    np.testing.assert_array_equal(compiled.find(frame), expected)
    # A second frame shows whether the first one left anything behind.
    other = np.flip(frame).copy()
    np.testing.assert_array_equal(compiled.find(other), plain.find(other))
    np.testing.assert_array_equal(compiled.find(frame), expected)


@settings(max_examples=100)
@given(SHAPES, st.floats(0, 1), st.sampled_from([4, 8]), st.integers(0, 2**32 - 1))
def test_compiled_labels_are_those_of_a_flood(
    shape: tuple[int, int], density: float, connectivity: int, seed: int
) -> None:
    pixels = np.flatnonzero(np.random.default_rng(seed).random(shape) < density)
    labels, n = label_components(pixels, shape, connectivity=connectivity)
    expected, n_expected = label_components(pixels, shape, connectivity=connectivity, compiled=False)
    assert n == n_expected
    np.testing.assert_array_equal(labels, expected)


@settings(max_examples=100)
@given(frames(), st.sampled_from([4, 8]), st.integers(1, 4), st.sampled_from([None, 0.7123, 1.9371]))
def test_compiled_tables_of_spots_have_the_same_numbers(
    frame: npt.NDArray[Any], connectivity: int, least: int, separation: float | None
) -> None:
    tables = [
        SpotFinder(
            frame.shape, sigma_background=2.0, sigma_strong=1.0, connectivity=connectivity, max_strong_fraction=1.0,
            filter=SpotFilter(min_spot_size=least, max_spot_size=60, max_separation=separation), compiled=compiled,
        ).find(frame)
        for compiled in (True, False)
    ]  # fmt: skip
    ours, plain = tables
    np.testing.assert_array_equal(ours.labels, plain.labels)
    np.testing.assert_array_equal(ours.pixels, plain.pixels)
    for field in ours.rows.dtype.names or ():
        np.testing.assert_allclose(ours[field], plain[field], rtol=1e-12, err_msg=field)
    assert (ours["n_pixels"] >= least).all()
    assert np.bincount(ours.labels[ours.labels >= 0], minlength=len(ours)).tolist() == ours["n_pixels"].tolist()
