from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from glimt.kernels.image_quality import ImageQuality, ImageQualityAnalyzer
from glimt.kernels.resolution_ice import ice_rings
from glimt.kernels.resolution_limits import ResolutionLimits, resolution_limits
from glimt.model.detector_geometry import DetectorGeometry, Panel
from glimt.model.errors import UsageError

PANEL = Panel((-50.0, -50.0, 100.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.1, 0.1), (1000, 1000))
GEOMETRY = DetectorGeometry([PANEL], 1.0)
SPOT = np.dtype([("x", "f4"), ("y", "f4"), ("intensity", "f8")])
BOTH = pytest.mark.parametrize("compiled", [False, True])


def _d_star(n: int, *, low: float = 0.1, high: float = 0.7, seed: int = 3) -> Any:
    """1/d as a crystal has them: as many spots as there is room in reciprocal space."""
    return np.cbrt(np.random.default_rng(seed).uniform(low**3, high**3, n))


@BOTH
def test_no_spots_have_no_quality(compiled: bool) -> None:
    assert ImageQualityAnalyzer(GEOMETRY, compiled=compiled).analyze(np.zeros(0, SPOT)) == ImageQuality()
    assert ImageQuality() == ImageQuality(0, 0, 0, 0.0, -1.0, -1.0, -1.0, -1.0, -1.0)


@BOTH
def test_ten_spots_tell_no_resolution_and_eleven_do(compiled: bool) -> None:
    analyzer = ImageQualityAnalyzer(GEOMETRY, filter_ice=False, compiled=compiled)
    ten, eleven = (analyzer.analyze_resolutions(_d_star(n), np.full(n, 50.0)) for n in (10, 11))
    assert (ten.n_spots_total, ten.d_min_distl_method_1) == (10, -1.0)
    assert eleven.d_min_distl_method_1 > 0
    assert 0 <= eleven.noisiness_method_1 <= 1


def test_ice_counts_for_the_total_only() -> None:
    ring = float(np.sqrt(ice_rings(0.2)[3]))
    d_star = np.array([0.2, 0.3, ring, ring])
    intensity = [10.0, 20.0, 1000.0, 1000.0]
    quality = ImageQualityAnalyzer(GEOMETRY).analyze_resolutions(d_star, intensity)
    assert (quality.n_spots_total, quality.n_spots_no_ice, quality.total_intensity) == (4, 2, 30.0)
    unfiltered = ImageQualityAnalyzer(GEOMETRY, filter_ice=False).analyze_resolutions(d_star, intensity)
    assert (unfiltered.n_spots_no_ice, unfiltered.total_intensity) == (4, 2030.0)


def test_spots_of_low_resolution_are_counted_beyond_four_angstrom() -> None:
    quality = ImageQualityAnalyzer(GEOMETRY).analyze_resolutions([0.1, 0.24999, 0.25, 0.3], np.ones(4))
    assert quality.n_spots_4A == 2


def test_limits_of_resolution_include_their_ends() -> None:
    analyzer = ImageQualityAnalyzer(GEOMETRY, d_min=2.0, d_max=4.0, filter_ice=False)
    assert analyzer.analyze_resolutions([0.2, 0.25, 0.3, 0.5, 0.6], np.ones(5)).n_spots_total == 3


def test_what_is_no_spot_is_not_counted() -> None:
    spots = np.zeros(5, SPOT)
    spots["x"], spots["y"], spots["intensity"] = [500, np.nan, 100, 100, 100], [500, 100, np.inf, 100, 100], 1.0
    spots["intensity"][3] = np.nan
    quality = ImageQualityAnalyzer(GEOMETRY).analyze(spots)
    assert (quality.n_spots_total, quality.total_intensity) == (1, 1.0)


@BOTH
def test_spots_without_intensity_count_but_tell_no_resolution(compiled: bool) -> None:
    d_star, intensity = _d_star(60), np.random.default_rng(1).integers(5, 500, 60).astype(float)
    with_dark = np.concatenate((d_star, [0.9, 0.95])), np.concatenate((intensity, [0.0, -3.0]))
    analyzer = ImageQualityAnalyzer(GEOMETRY, filter_ice=False, compiled=compiled)
    without, told = analyzer.analyze_resolutions(d_star, intensity), analyzer.analyze_resolutions(*with_dark)
    assert told.n_spots_total == 62
    assert told.total_intensity == intensity.sum() - 3
    assert told.estimated_d_min == without.estimated_d_min
    assert told.d_min_distl_method_1 == without.d_min_distl_method_1


@BOTH
def test_crystal_that_ends_sharply_is_seen_to_end_there(compiled: bool) -> None:
    d_star = _d_star(800, high=0.6)
    random = np.random.default_rng(5)
    intensity = 1 + random.poisson(4000 * np.exp(-9.0 * d_star**2) * random.exponential(1, 800))
    limits = resolution_limits(d_star, intensity, np.zeros(800, np.bool_), compiled=compiled)
    assert limits.estimated_d_min == pytest.approx(1 / 0.6, rel=0.05)
    assert limits.d_min_distl_method_2 == pytest.approx(1 / 0.6, rel=0.05)


@BOTH
def test_few_stray_spots_beyond_the_crystal_do_not_count_for_distl(compiled: bool) -> None:
    d_star = np.concatenate((_d_star(760, high=0.4), _d_star(40, low=0.4, high=0.9)))
    limits = resolution_limits(d_star, np.full(800, 9.0), np.zeros(800, np.bool_), compiled=compiled)
    assert limits.d_min_distl_method_1 == pytest.approx(1 / 0.4, rel=0.05)
    assert limits.d_min_distl_method_2 == pytest.approx(1 / 0.4, rel=0.15)


@BOTH
@pytest.mark.parametrize("n", [11, 12, 30])
def test_spots_of_one_resolution_have_no_shells(compiled: bool, n: int) -> None:
    limits = resolution_limits(np.full(n, 0.4), np.full(n, 9.0), np.zeros(n, np.bool_), compiled=compiled)
    assert limits.estimated_d_min == limits.d_min_distl_method_2 == limits.noisiness_method_2 == -1.0
    assert limits.d_min_distl_method_1 == pytest.approx(2.5)
    assert limits.noisiness_method_1 == 1.0


@BOTH
def test_ice_alone_has_no_estimate(compiled: bool) -> None:
    limits = resolution_limits(_d_star(40), np.full(40, 9.0), np.ones(40, np.bool_), compiled=compiled)
    assert limits.estimated_d_min == -1.0


@BOTH
def test_extreme_numbers_give_numbers(compiled: bool) -> None:
    d_star = np.array([1e-300, 1e-12, 1e-3, 0.1, 0.2, 0.3, 0.4, 0.5, 1.0, 2.0, 1e3, 1e6, 1e20])
    intensity = np.geomspace(1e-300, 1e300, d_star.size)
    limits = resolution_limits(d_star, intensity, np.zeros(d_star.size, np.bool_), compiled=compiled)
    assert isinstance(limits, ResolutionLimits)


def test_table_of_an_unknown_kind_is_refused() -> None:
    analyzer = ImageQualityAnalyzer(GEOMETRY)
    with pytest.raises(UsageError, match="needs"):
        analyzer.analyze(np.zeros(3, [("x", "f4"), ("y", "f4")]))
    with pytest.raises(UsageError, match="needs"):
        analyzer.analyze(np.zeros(3))
    with pytest.raises(UsageError, match="needs"):
        analyzer.analyze(np.zeros((3, 2), SPOT))
    with pytest.raises(UsageError, match="the panels are 0 to 0"):
        analyzer.analyze(np.ones(1, [*SPOT.descr, ("panel_number", "i2")]))
    with pytest.raises(UsageError, match="both are"):
        analyzer.analyze_resolutions([0.1, 0.2], [1.0])
    with pytest.raises(UsageError, match="are all"):
        resolution_limits([0.1], [1.0], [True, False])


@pytest.mark.parametrize("options", [{"d_min": 3.0, "d_max": 2.0}, {"d_min": float("nan")}, {"ice_ring_width": 0.0}])
def test_options_that_make_no_sense_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        ImageQualityAnalyzer(GEOMETRY, **options)  # type: ignore[arg-type]  # each option takes a float
