"""The compiled loops of azimuthal integration do what the plain ones do."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glimt.kernels import azimuthal_plain
from glimt.kernels.azimuthal import AzimuthalIntegrator
from glimt.kernels.bin_edges import azimuth_edges, radial_edges
from glimt.kernels.frame_pixels import frame_pixels
from glimt.kernels.pixel_bins import PixelBins, find_pixel_bins
from glimt.kernels.radial_units import UNITS, radial_unit
from glimt.model.geometry import Detector, Poni


@pytest.fixture(scope="module")
def compiled() -> Any:
    from glimt.kernels import azimuthal_compiled

    return azimuthal_compiled


@st.composite
def geometries(draw: st.DrawFn) -> Poni:
    shape = draw(st.tuples(st.integers(1, 9), st.integers(2, 11)))
    # Multiples of half a pixel put pixels exactly onto edges, axes and each other's circles.
    foot = st.one_of(st.integers(-4, 24).map(lambda n: n * 0.5e-4), st.floats(-1e-3, 2e-3))
    angle = st.one_of(st.sampled_from([0.0, math.pi / 2, math.pi]), st.floats(-4, 4))
    detector = Detector(1e-4, draw(st.sampled_from([1e-4, 1.7e-4])), shape, orientation=draw(st.integers(1, 4)))
    dist = draw(st.floats(1e-5, 1.0))
    return Poni(detector, dist, draw(foot), draw(foot), draw(angle), draw(angle), draw(angle), 1e-10)


azimuths = st.one_of(
    st.none(),
    st.integers(1, 13),
    st.sampled_from([[-180.0, -90.0, 0.0, 90.0, 180.0], [-30.0, 30.0], [350.0, 370.0, 400.0], [45.0, 405.0]]),
)


def _canonical(bins: PixelBins) -> list[tuple[int, ...]]:
    if bins.pixels is None or bins.counts is None:
        return [tuple(bins.bins.tolist())]
    return sorted(zip(bins.pixels.tolist(), bins.bins.tolist(), bins.counts.tolist(), strict=True))


@settings(deadline=None, max_examples=150)
@given(geometries(), st.sampled_from(UNITS), st.integers(1, 30), azimuths, st.integers(1, 4), st.randoms())
def test_compiled_bin_search_finds_the_same_bins(
    compiled: Any, poni: Poni, unit_name: str, n_radial: int, azimuth: Any, n_splitting: int, random: Any
) -> None:
    unit = radial_unit(unit_name, poni.wavelength)
    low, high = sorted([random.random(), random.random() + 1e-3])
    radial = radial_edges(
        frame_pixels(poni), unit, n_radial, (low * unit.scale * 1e-2, (high + 1e-3) * unit.scale * 1e-2)
    )
    azimuthal = None if azimuth is None else azimuth_edges(azimuth)
    n_pixels = poni.shape[0] * poni.shape[1]
    excluded = np.array([random.random() < 0.2 for _ in range(n_pixels)])
    found = [
        find_pixel_bins(
            frame_pixels(poni), unit, radial, azimuthal, excluded=excluded, n_splitting=n_splitting, loops=loops
        )
        for loops in (compiled, azimuthal_plain)
    ]
    assert found[0].bins.dtype == found[1].bins.dtype
    assert _canonical(found[0]) == _canonical(found[1])


@settings(deadline=None, max_examples=100)
@given(
    geometries(),
    st.sampled_from(["u1", "u2", "u4", "i4", "f4", "f8"]),
    azimuths,
    st.integers(1, 3),
    st.booleans(),
    st.sampled_from([None, -1.0, 0.5, 1.0]),
    st.integers(0, 2**32 - 1),
)
def test_compiled_integration_gives_the_same_numbers(
    poni: Poni, dtype: str, azimuth: Any, n_splitting: int, each: bool, factor: float | None, seed: int
) -> None:
    random = np.random.default_rng(seed)
    limits = np.iinfo(dtype) if dtype[0] in "ui" else np.iinfo(np.int16)
    frame = random.integers(limits.min, limits.max, poni.shape, endpoint=True).astype(dtype)
    if dtype[0] == "f":
        frame[random.random(poni.shape) < random.choice([0.0, 0.3])] = np.nan
    mask = random.random(poni.shape) < 0.2
    frame_mask = random.random(poni.shape) < 0.2 if random.random() < 0.5 else None
    results = [
        AzimuthalIntegrator(
            poni, 8, azimuth_bins=azimuth, unit="2th_deg", radial_range=(0.0, 100.0), mask=mask,
            n_splitting=n_splitting, correct_pixels=each, polarization_factor=factor, compiled=compiled,
        ).integrate(frame, mask=frame_mask)
        for compiled in (True, False)
    ]  # fmt: skip
    scale = max(1.0, float(np.nanmax(np.abs(frame), initial=0.0))) * frame.size
    for name in ("signal", "norm", "n_pixels"):
        ours, plain = (getattr(result, name) for result in results)
        tolerance = 1e-12 * scale * (1 if name != "signal" or not each else _largest_weight(poni, factor))
        np.testing.assert_allclose(ours, plain, rtol=1e-10, atol=tolerance, err_msg=name)
    if not each and dtype[0] in "ui" and n_splitting == 1:
        np.testing.assert_array_equal(results[0].signal, results[1].signal)
    for name in ("intensity", "sigma"):
        ours, plain = (getattr(result, name) for result in results)
        np.testing.assert_array_equal(np.isnan(ours), np.isnan(plain))


def _largest_weight(poni: Poni, factor: float | None) -> float:
    from glimt.kernels.pixel_positions import polarization, positions, solid_angle

    correction = solid_angle(poni) * (1.0 if factor is None else polarization(positions(poni), factor))
    return float(1.0 / correction[correction > 1e-30].min()) if (correction > 1e-30).any() else 1.0
