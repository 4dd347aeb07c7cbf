"""Peaks of panels anywhere in the array: compiled is plain, and equal tiles are what the tiled search finds."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from glimt.kernels.panel_peaks import PanelPeakfinder8
from glimt.kernels.peak_table import PeakTable
from glimt.kernels.peakfinder8 import PanelLayout, Peakfinder8, Peakfinder8Parameters
from glimt.kernels.radius_map import flat_radius_map
from glimt.model.panel_placement import PanelPlacement

DTYPES = ("uint16", "int32", "float32")


def _frame(random: np.random.Generator, dtype: str, shape: tuple[int, int]) -> npt.NDArray[Any]:
    frame = random.poisson(random.choice([0.05, 0.9, 5.0]), shape) * 1.0
    for _ in range(shape[0] * shape[1] // 25):
        slow, fast = (random.integers(0, n) for n in shape)
        frame[slow : slow + random.integers(1, 4), fast : fast + random.integers(1, 4)] += random.integers(5, 150)
    if dtype == "float32":
        frame[random.random(shape) < 0.03] = random.choice([np.nan, np.inf])
    return frame.astype(dtype)


def _rule(random: np.random.Generator) -> Peakfinder8Parameters:
    return Peakfinder8Parameters(
        float(random.choice([2.0, 6.0])), float(random.choice([2.0, 5.0])), int(random.integers(1, 3)), 30,
        int(random.integers(1, 4)), int(random.choice([1, 3, 500])),
    )  # fmt: skip


def _same(ours: PeakTable, theirs: PeakTable) -> None:
    assert ours.n_found == theirs.n_found
    assert ours.peaks["n_pixels"].tolist() == theirs.peaks["n_pixels"].tolist()
    for name in ("fs", "ss", "intensity", "max_intensity"):
        np.testing.assert_allclose(ours.peaks[name], theirs.peaks[name], rtol=1e-6, atol=1e-6, err_msg=name)


@st.composite
def layouts(draw: st.DrawFn) -> list[PanelPlacement]:
    """Cut a frame of (36, 40) into panels by rows and columns, with or without gaps, in any order."""
    rows = sorted(draw(st.sets(st.integers(0, 36), min_size=2, max_size=4)))
    columns = sorted(draw(st.sets(st.integers(0, 40), min_size=2, max_size=4)))
    gap = draw(st.integers(0, 2))
    places = [
        PanelPlacement(a, c, (b - a - gap, d - c - gap))
        for a, b in pairwise(rows)
        for c, d in pairwise(columns)
        if b - a > gap and d - c > gap
    ]
    return draw(st.permutations(places)) if places else [PanelPlacement(3, 4, (30, 20))]


@settings(deadline=None, max_examples=150)
@given(layouts(), st.sampled_from(DTYPES), st.integers(0, 2**32 - 1))
def test_compiled_panels_have_the_peaks_of_plain_ones(places: list[PanelPlacement], dtype: str, seed: int) -> None:
    random, shape = np.random.default_rng(seed), (36, 40)
    radius, rule = flat_radius_map(shape, (random.uniform(-3, 36), random.uniform(-3, 40))), _rule(random)
    mask = random.random(shape) < 0.05
    compiled, plain = (
        PanelPeakfinder8(radius, places, rule, mask=mask, min_res=1.0, compiled=way) for way in (True, False)
    )
    for _ in range(2):  # buffers of the first frame do not show in the second
        frame = _frame(random, dtype, shape)
        ours, theirs = compiled.find(frame), plain.find(frame)
        _same(ours, theirs)
        assert ours.panel_number is not None
        assert theirs.panel_number is not None
        assert ours.panel_number.tolist() == theirs.panel_number.tolist()
        for on, peak in zip(ours.panel_number, ours.peaks, strict=True):
            place = places[on]
            assert place.slow_start <= peak["ss"] <= place.slow_stop - 1
            assert place.fast_start <= peak["fs"] <= place.fast_stop - 1


tilings = st.tuples(st.integers(1, 20), st.integers(1, 20), st.integers(1, 3), st.integers(1, 3)).map(
    lambda n: PanelLayout(*n)
)


@settings(deadline=None, max_examples=150)
@given(tilings, st.sampled_from(DTYPES), st.integers(0, 2**32 - 1))
def test_equal_tiles_are_what_the_tiled_search_finds(layout: PanelLayout, dtype: str, seed: int) -> None:
    random, shape = np.random.default_rng(seed), layout.frame_shape
    radius, rule = flat_radius_map(shape, (shape[0] / 2, shape[1] / 3), truncated=True), _rule(random)
    mask = random.random(shape) < 0.05
    places = [
        PanelPlacement(row * layout.asic_ny, column * layout.asic_nx, (layout.asic_ny, layout.asic_nx))
        for row in range(layout.nasics_y)
        for column in range(layout.nasics_x)
    ]
    tiled = Peakfinder8(radius, rule, layout=layout, mask=mask)
    panels = PanelPeakfinder8(radius, places, rule, mask=mask)
    for _ in range(2):
        frame = _frame(random, dtype, shape)
        _same(panels.find(frame), tiled.find(frame))


def test_the_random_frames_have_peaks() -> None:
    """Guard of the tests above: frames without peaks would prove nothing."""
    random, n_found = np.random.default_rng(3), 0
    places = [PanelPlacement(0, 0, (20, 40)), PanelPlacement(22, 3, (14, 30))]
    for _ in range(20):
        rule = _rule(random)
        radius = flat_radius_map((36, 40), (18, 20))
        n_found += PanelPeakfinder8(radius, places, rule).find(_frame(random, "uint16", (36, 40))).n_found
    assert n_found > 40
