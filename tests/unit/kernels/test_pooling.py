"""Images made small: pooled so that no spot is lost."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from glimt.kernels.pooling import Pooled, clipped, limits, pool, thin_curves


def plain(part: npt.NDArray[Any], out: npt.NDArray[np.bool_], factors: tuple[int, int]) -> npt.NDArray[Any]:
    """Return the largest valid value of each cell, NaN of none."""
    rows, columns = (-(-n // f) for n, f in zip(part.shape, factors, strict=True))
    found = np.full((rows, columns), np.nan)
    for i, j in np.ndindex(rows, columns):
        cell = np.s_[i * factors[0] : (i + 1) * factors[0], j * factors[1] : (j + 1) * factors[1]]
        known = part[cell][~out[cell]].astype(np.float64)
        known = known[~np.isnan(known)]
        if known.size:
            found[i, j] = known.max()
    return found


@given(
    arrays(
        st.sampled_from([np.uint8, np.int16, np.uint16, np.float32]),
        st.tuples(st.integers(1, 13), st.integers(1, 17)),
        elements={"min_value": 0, "max_value": 100},
    ),
    st.tuples(st.integers(1, 8), st.integers(1, 8)),
    st.integers(0, 2**31),
)
def test_each_pixel_is_the_largest_valid_one_of_its_cell(
    image: npt.NDArray[Any], size: tuple[int, int], seed: int
) -> None:
    excluded = np.random.default_rng(seed).random(image.shape) < 0.3
    found = pool(image, size=size, excluded=excluded)
    assert found.pixels.dtype == image.dtype
    assert found.pixels.shape[0] <= size[0]
    assert found.pixels.shape[1] <= size[1]
    told = found.pixels.astype(np.float64)
    if found.invalid is not None:
        told[found.pixels == found.invalid] = np.nan
    np.testing.assert_array_equal(told, plain(image, excluded, found.factors))


def test_a_single_bright_pixel_survives_and_is_where_it_was() -> None:
    image = np.zeros((2048, 2000), np.uint16)
    image[1001, 777] = 9
    found = pool(image, size=(512, 512))
    assert found.factors == (4, 4)
    assert np.argwhere(found.pixels == 9).tolist() == [[1001 // 4, 777 // 4]]
    assert found.invalid is None


def test_a_part_is_cut_out_and_zoomed_to_the_pixel() -> None:
    image = np.arange(100, dtype=np.int32).reshape(10, 10)
    found = pool(image, rows=(2, 5), columns=(-4, 3), size=(512, 512))
    assert (found.rows, found.columns, found.factors) == ((2, 5), (0, 3), (1, 1))
    np.testing.assert_array_equal(found.pixels, image[2:5, :3])


@pytest.mark.parametrize(
    ("asked", "n", "told"),
    [(None, 5, (0, 5)), ((7, 9), 5, (4, 5)), ((3, 3), 5, (3, 4)), ((-(2**50), 2**50), 5, (0, 5)), ((0, 0), 0, (0, 0))],
)
def test_ranges_are_clipped_to_the_array(asked: tuple[int, int] | None, n: int, told: tuple[int, int]) -> None:
    assert clipped(asked, n) == told


def test_the_mean_leaves_out_excluded_pixels_and_nan() -> None:
    image = np.array([[1.0, 3.0, np.nan, np.nan], [5.0, 100.0, np.nan, np.nan]])
    excluded = image == 100.0
    found = pool(image, size=(1, 2), how="mean", excluded=excluded)
    np.testing.assert_array_equal(found.pixels, [[3.0, np.nan]])


def test_limits_are_percentiles_of_what_is_valid() -> None:
    pixels = np.full((10, 10), 65535, np.uint16)
    pixels[:5] = 7
    assert limits(Pooled(pixels, (0, 10), (0, 10), (1, 1), 65535)) == (7.0, 7.0)
    assert limits(Pooled(np.full((3, 3), np.nan), (0, 3), (0, 3), (1, 1), None)) == (0.0, 1.0)


def test_a_thinned_curve_keeps_every_extreme_in_order() -> None:
    curve = np.sin(np.arange(10_000) / 50.0)
    curve[1234], curve[8765], curve[4000:4010] = 9.0, -9.0, np.nan
    found, taken = thin_curves(curve, 200)
    assert len(found) == 200
    assert (np.diff(taken) >= 0).all()
    np.testing.assert_array_equal(found, curve[taken])
    assert (np.nanmax(found), np.nanmin(found)) == (9.0, -9.0)


def test_several_curves_are_thinned_at_the_same_places_and_short_ones_are_not() -> None:
    curves = np.arange(3000.0).reshape(3, 1000)
    found, taken = thin_curves(curves, 100)
    assert found.shape == (3, 100)
    assert (taken[0], taken[-1]) == (0, 999)
    found, taken = thin_curves(curves[0, :5], 100)
    assert found.tolist() == [0, 1, 2, 3, 4]
    assert taken.tolist() == [0, 1, 2, 3, 4]
