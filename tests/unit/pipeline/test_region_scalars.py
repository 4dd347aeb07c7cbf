"""Regions divided, split and binned by scalars of streams: by those of the event that the image is of."""

from __future__ import annotations

import math

import msgspec
import numpy as np

from glimt.model.followed_region import FollowedRegion
from glimt.pipeline.region_curves import Newest, Now, RegionCurves

CURRENT, LASER, DELAY = "/streams/i0/current", "/streams/laser/value", "/streams/stage/delay"
SPLIT = {"on": LASER, "delay": DELAY, "low": 0.0, "high": 2.0, "n_bins": 2}
NEWEST = {CURRENT: 100.0, LASER: 0.0, DELAY: 0.5}


def measured(*scalars: dict[str, float]) -> RegionCurves:
    """Return the curve of a region after some images of ones, each with the scalars of its event."""
    curves = RegionCurves()
    region = {"id": "r1", "name": "box", "kind": "rectangle", "image": "/image", "bounds": [0, 2, 0, 3]}
    curves.use([msgspec.convert({**region, "denominator": CURRENT, "split": SPLIT}, FollowedRegion)])
    for version, found in enumerate(scalars, start=1):
        held = {"/image": Newest(np.ones((4, 4)), version, 0.0, version, scalars=found)}
        curves.measure(Now(held, NEWEST, lambda _: None), histograms=False)
    return curves


def test_the_scalar_of_the_images_event_comes_before_the_newest() -> None:
    curve = measured({CURRENT: 2.0, LASER: 1.0, DELAY: 1.5}, {CURRENT: 3.0, LASER: 0.0, DELAY: 0.5}).curves["r1"]
    columns = curve.series.points[:, [2, 6, 7, 8]].tolist()
    assert columns == [[3.0, 2.0, 1.0, 1.5], [2.0, 3.0, 0.0, 0.5]]
    assert curve.point["split"]["on"]["mean"] == 3.0
    assert curve.point["split"]["off"]["mean"] == 2.0
    assert curve.point["problem"] == ""


def test_an_event_without_the_scalar_gives_no_value_rather_than_that_of_another_event() -> None:
    point = measured({CURRENT: math.nan, LASER: 1.0, DELAY: 1.0}).curves["r1"].point
    assert math.isnan(point["value"])
    assert point["sum"] == 6.0


def test_without_any_the_newest_number_is_taken() -> None:
    assert measured({}).curves["r1"].point["value"] == 6.0 / 100.0


def test_a_scalar_that_is_followed_is_divided_by_those_of_its_own_event() -> None:
    curves = RegionCurves()
    region = {"id": "r1", "name": "motor", "kind": "value", "image": DELAY, "denominator": CURRENT}
    curves.use([msgspec.convert(region, FollowedRegion)])
    held = {DELAY: Newest(np.array(6.0), 1, 0.0, 5, scalars={CURRENT: 2.0, DELAY: math.nan})}
    curves.measure(Now(held, NEWEST, lambda _: None), histograms=False)
    assert curves.curves["r1"].series.points[:, [1, 2, 3, 6]].tolist() == [[5.0, 3.0, 6.0, 2.0]]
