"""The compiled loops of the resolution limits do what the plain ones do, and never fall over."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from glimt.kernels.resolution_ice import ice_rings, on_ice_ring
from glimt.kernels.resolution_limits import MIN_SPOTS, resolution_limits


@st.composite
def tables(draw: st.DrawFn) -> tuple[Any, Any, Any]:
    n = draw(st.one_of(st.integers(0, 60), st.sampled_from([79, 80, 81, 120, 399, 400, 401, 700])))
    random = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    d_star = np.cbrt(random.uniform(1e-4, 1.0, n))
    if draw(st.booleans()):  # few distinct resolutions, as on a coarse detector
        d_star = d_star.round(draw(st.integers(1, 3))) + 0.1
    intensity = 1 + random.poisson(random.exponential(draw(st.sampled_from([0.5, 3.0, 1000.0])), n))
    if draw(st.booleans()):
        intensity = intensity * np.exp(-3 * d_star**2)
    ice = random.random(n) < draw(st.sampled_from([0.0, 0.1, 0.9, 1.0]))
    return d_star, intensity.astype(np.float64), ice


@given(tables())
def test_compiled_limits_are_the_plain_ones(table: tuple[Any, Any, Any]) -> None:
    plain, compiled = (dataclasses.astuple(resolution_limits(*table, compiled=way)) for way in (False, True))
    assert compiled == pytest.approx(plain, rel=1e-12)


@given(
    st.integers(0, 30).flatmap(
        lambda n: st.tuples(
            hnp.arrays(np.float64, n), hnp.arrays(np.float64, n), hnp.arrays(np.bool_, n), st.booleans()
        )
    )
)
def test_any_numbers_give_limits_or_minus_one(case: tuple[Any, Any, Any, bool]) -> None:
    d_star, intensity, ice, compiled = case
    limits = resolution_limits(d_star, intensity, ice, compiled=compiled)
    for name, value in dataclasses.asdict(limits).items():
        assert value == -1.0 or (0 <= value <= 1 if name.startswith("noisiness") else value > 0), name


@given(tables(), st.randoms(use_true_random=False))
def test_limits_lie_among_the_spots(table: tuple[Any, Any, Any], random: Any) -> None:
    d_star, intensity, ice = table
    limits = resolution_limits(d_star, intensity, ice)
    if d_star.size < MIN_SPOTS:
        assert set(dataclasses.astuple(limits)) == {-1.0}
        return
    shortest, longest = 1 / d_star.max(), 1 / d_star.min()
    for limit in (limits.estimated_d_min, limits.d_min_distl_method_1, limits.d_min_distl_method_2):
        assert limit == -1.0 or shortest * (1 - 1e-9) <= limit <= longest * (1 + 1e-9)


@given(hnp.arrays(np.float64, st.integers(0, 20), elements=st.floats(0, 3)), st.floats(1e-4, 0.1))
def test_ice_is_what_is_near_any_ring(d_star_sq: Any, width: float) -> None:
    rings = ice_rings(5.0)
    plain = [any(math.fabs(value - ring) < width / 2 for ring in rings) for value in d_star_sq]
    assert on_ice_ring(d_star_sq, width=width).tolist() == plain
