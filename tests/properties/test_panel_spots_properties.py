"""Automatic thresholds and spots of panels: compiled is plain, on any frame."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from glimt.kernels.global_threshold import LEVELS, count_above_levels, estimate_global_threshold
from glimt.kernels.panel_spots import PanelSpotFinder
from glimt.kernels.strong_pixels import StrongPixelFinder
from glimt.model.panel_placement import PanelPlacement

DTYPES = ("uint8", "uint16", "uint32", "int32", "int64", "float32", "float64")


def _frame(seed: int, dtype: str, shape: tuple[int, int]) -> Any:
    random = np.random.default_rng(seed)
    frame = random.poisson(random.choice([0.0, 0.3, 5.0, 700.0]), shape) * 1.0
    frame[random.random(shape) < 0.1] = random.integers(0, 5000)
    if np.dtype(dtype).kind != "u":
        frame[random.random(shape) < 0.05] = -3
    if np.dtype(dtype).kind == "f":
        frame = frame * random.choice([1.0, 0.37])
        frame[random.random(shape) < 0.05] = random.choice([np.nan, np.inf, -np.inf])
        return frame.astype(dtype)
    return np.minimum(frame, np.iinfo(dtype).max).astype(dtype)


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 2**32 - 1), st.sampled_from(DTYPES), st.tuples(st.integers(1, 20), st.integers(1, 20)))
def test_compiled_counting_counts_the_same(seed: int, dtype: str, shape: tuple[int, int]) -> None:
    frame = _frame(seed, dtype, shape)
    compiled, plain = (count_above_levels(frame, compiled=way) for way in (True, False))
    np.testing.assert_array_equal(compiled, plain)
    assert estimate_global_threshold(frame) in LEVELS


@st.composite
def layouts(draw: st.DrawFn) -> tuple[tuple[int, int], list[PanelPlacement]]:
    """Cut a frame into panels by rows and columns, with or without gaps, and leave some out."""
    rows = sorted(draw(st.sets(st.integers(0, 24), min_size=2, max_size=4)))
    columns = sorted(draw(st.sets(st.integers(0, 30), min_size=2, max_size=4)))
    gap = draw(st.integers(0, 2))
    places = [
        PanelPlacement(a, c, (b - a - gap, d - c - gap))
        for a, b in pairwise(rows)
        for c, d in pairwise(columns)
        if b - a > gap and d - c > gap
    ]
    kept = [place for place in places if draw(st.integers(0, 4))] or [PanelPlacement(0, 0, (1, 1))]
    return (26, 31), kept


@settings(deadline=None, max_examples=60)
@given(
    layouts(),
    st.integers(0, 2**32 - 1),
    st.sampled_from(["uint16", "int32", "float32"]),
    st.sampled_from(["dispersion", "dispersion_extended"]),
    st.sampled_from([0.0, 12.0, "auto"]),
)
def test_compiled_panels_have_the_pixels_of_plain_ones_and_of_each_panel_alone(
    layout: Any, seed: int, dtype: str, threshold: Any, least: Any
) -> None:
    shape, places = layout
    random = np.random.default_rng(seed)
    frame, mask = _frame(seed, dtype, shape), random.random(shape) < 0.05
    options: dict[str, Any] = {"threshold": threshold, "sigma_background": 3.0}
    compiled, plain = (
        PanelSpotFinder(
            shape, places, mask=mask, max_strong_fraction=1.0, global_threshold=least, compiled=way, **options
        ).find(frame)
        for way in (True, False)
    )
    np.testing.assert_array_equal(compiled.pixels, plain.pixels)
    np.testing.assert_array_equal(compiled.labels, plain.labels)
    np.testing.assert_array_equal(compiled["panel_number"], plain["panel_number"])
    np.testing.assert_allclose(compiled["intensity"], plain["intensity"])
    limit = estimate_global_threshold(frame[places[0].area]) if least == "auto" else least
    expected = set()
    for place in places:
        finder = StrongPixelFinder(place.shape, mask=mask[place.area], max_strong_fraction=1.0, **options)
        slow, fast = np.divmod(finder.find(frame[place.area], global_threshold=float(limit)), place.shape[1])
        expected |= set(((slow + place.slow_start) * shape[1] + fast + place.fast_start).tolist())
    assert set(compiled.pixels.tolist()) == expected
