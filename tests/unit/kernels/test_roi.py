from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from glimt.kernels.roi import RoiIntegrator
from glimt.kernels.roi_shapes import PolygonRoi, RingRoi, Roi
from glimt.model.errors import UsageError

FRAME = np.arange(20, dtype=np.uint16).reshape(4, 5)


def test_rectangle_is_half_open() -> None:
    found = RoiIntegrator((4, 5), [Roi(1, 3, 2, 4)]).integrate(FRAME)
    assert found.total.tolist() == [7 + 8 + 12 + 13]
    assert found.n_pixels.tolist() == [4]
    assert found.mean.tolist() == [10.0]


def test_rectangle_off_the_frame_is_cut() -> None:
    found = RoiIntegrator((4, 5), [Roi(-5, 1, -5, 2), Roi(3, 99, 4, 99), Roi(7, 9, 0, 5), Roi(-9, -5, 0, 5)])
    sums = found.integrate(FRAME)
    assert sums.total.tolist() == [1, 19, 0, 0]
    assert sums.n_pixels.tolist() == [2, 1, 0, 0]


def test_polygon_like_a_rectangle_holds_the_same_pixels() -> None:
    corners = ((1.0, 2.0), (1.0, 4.0), (3.0, 4.0), (3.0, 2.0))
    rectangle, polygon = RoiIntegrator((4, 5), [Roi(1, 3, 2, 4), PolygonRoi(corners)]).integrate(FRAME).total
    assert rectangle == polygon


def test_polygons_that_share_an_edge_share_no_pixel() -> None:
    left = PolygonRoi(((0.0, 0.0), (4.0, 0.0), (4.0, 2.5), (0.0, 2.5)))
    right = PolygonRoi(((0.0, 2.5), (4.0, 2.5), (4.0, 5.0), (0.0, 5.0)))
    covered = [polygon.covers((4, 5)) for polygon in (left, right)]
    assert (covered[0] ^ covered[1]).all()


def test_polygon_that_crosses_itself_leaves_out_what_is_inside_twice() -> None:
    star = PolygonRoi(tuple((20 + 18 * np.cos(a), 20 + 18 * np.sin(a)) for a in np.arange(5) * 4 * np.pi / 5))
    covered = star.covers((40, 40))
    assert not covered[20, 20]
    assert covered[20:37, 20].any()


def test_ring_is_half_open_too() -> None:
    ring = RingRoi(2.5, 2.5, 1.0, 2.0).covers((5, 5))
    assert ring.sum() == 8
    assert not ring[2, 2]
    assert ring[1, 2]
    assert not ring[0, 2]
    assert RingRoi(2.5, 2.5, 0.0, 2.0).covers((5, 5)).sum() == 9


def test_masked_and_missing_pixels_are_left_out() -> None:
    mask = FRAME == 7
    frame = FRAME.astype(np.float32)
    frame[1, 3] = np.nan
    rois = [Roi(1, 2, 2, 5), Roi(1, 2, 2, 3)]
    found = RoiIntegrator((4, 5), rois, mask=mask).integrate(frame)
    assert found.total.tolist() == [9, 0]
    assert found.n_pixels.tolist() == [1, 0]
    assert found.mean[0] == 9
    assert np.isnan(found.mean[1])


def test_sums_of_large_counts_do_not_overflow() -> None:
    frame = np.full((1000, 1000), 2**32 - 1, np.uint32)
    assert RoiIntegrator(frame.shape, [Roi(0, 1000, 0, 1000)]).integrate(frame).total[0] == 10**6 * (2**32 - 1)
    assert RoiIntegrator((1, 2), [Roi(0, 1, 0, 2)]).integrate(np.array([[-3, 1]])).total.tolist() == [-2]


def test_no_regions_give_no_sums() -> None:
    assert RoiIntegrator((4, 5), []).integrate(FRAME).total.size == 0


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: Roi(2, 1, 0, 5), "ends before it starts"),
        (lambda: Roi(0, 1, 0, 2.5), "fast_max is 2.5; a rectangle ends between pixels"),  # type: ignore[arg-type] # wrong
        (lambda: Roi(0, 10**9, 0, 2), "slow_max is 1e\\+09"),
        (lambda: PolygonRoi(((0, 0), (1, 1))), "3 to 10000 corners"),
        (lambda: PolygonRoi(((0, 0), (1, 1), (2, np.nan))), "not finite"),
        (lambda: PolygonRoi("abc"), "not .slow, fast. pairs"),  # type: ignore[arg-type] # wrong
        (lambda: PolygonRoi(((0, 0),) * 10001), "3 to 10000 corners"),
        (lambda: RingRoi(0, 0, 2, 1), "outer radius 1 px is below 2 px"),
        (lambda: RingRoi(0, np.nan, 1, 2), "center_fast_px is nan"),
        (lambda: RingRoi(0, 0, -1, 2), "radius_min_px is -1"),
        (lambda: RoiIntegrator((4, 5), ["x"]), "'x' is no region of interest"),  # type: ignore[list-item] # wrong
        (lambda: RoiIntegrator((4, 5), [Roi(0, 1, 0, 1)] * 5000), "5000 regions"),
        (lambda: RoiIntegrator((4, 5), [], mask=np.zeros((5, 4))), "mask has shape"),
        (lambda: RoiIntegrator((4, 5), []).integrate(FRAME.T), "frame has shape"),
    ],
)
def test_what_makes_no_sense_is_refused(make: Any, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        make()
