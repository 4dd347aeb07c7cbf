"""Regions and values followed: measured at full resolution, divided, split."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from glimt.model.followed_region import FollowedRegion
from glimt.pipeline.region_curves import Newest, Now, RegionCurves

BOX = {"name": "box", "kind": "rectangle", "image": "/image", "bounds": [1, 3, 2, 5]}


class Run:
    """What a reader of a run would hold."""

    def __init__(self) -> None:
        self.held: dict[str, Newest] = {}
        self.numbers: dict[str, float] = {}
        self.version = 0
        self.excluded: npt.NDArray[np.bool_] | None = None
        self.curves = RegionCurves()

    def show(self, event: int, **content: Any) -> None:
        self.version += 1
        for name, value in content.items():
            array = np.asarray(value)
            if array.shape == ():
                self.numbers[f"/{name}"] = float(array)
            self.held[f"/{name}"] = Newest(array, self.version, float(self.version), event)

    def measure(self) -> bool:
        return self.curves.measure(Now(self.held, self.numbers, lambda _: self.excluded), histograms=True)

    def follow(self, **region: Any) -> None:
        self.curves.use([msgspec.convert({**BOX, "id": "r1", **region}, FollowedRegion)])

    @property
    def point(self) -> dict[str, Any]:
        return self.curves.curves["r1"].point

    @property
    def values(self) -> list[float]:
        return [float(value) for value in self.curves.curves["r1"].series.points[:, 2]]


def test_each_version_of_an_image_is_a_point_divided_by_the_number_of_the_same_reading() -> None:
    run = Run()
    run.follow(denominator="/i0")
    image = np.arange(100, dtype=np.uint16).reshape(10, 10)
    run.show(4, image=image, i0=2.0)
    assert run.measure()
    assert not run.measure()
    run.show(5, image=image * 2, i0=4.0)
    run.measure()
    total = image[1:3, 2:5].sum()
    assert run.values == [total / 2.0, total * 2 / 4.0]
    assert run.point["sum"] == total * 2
    assert run.point["n_pixels"] == 6
    assert run.point["event_number"] == 5
    assert sum(run.point["histogram"]["counts"]) == 6
    assert run.curves.curves["r1"].series.points[:, 1].tolist() == [4, 5]


def test_a_denominator_that_is_zero_or_missing_gives_no_value_and_says_so() -> None:
    run = Run()
    run.follow(denominator="/i0")
    run.show(1, image=np.ones((10, 10)), i0=0.0)
    run.measure()
    assert math.isnan(run.point["value"])
    run.follow(denominator="/nothing")
    run.measure()
    assert math.isnan(run.point["value"])
    assert "no number /nothing" in run.point["problem"]


def test_masked_pixels_are_left_out() -> None:
    run = Run()
    run.follow(quantity="mean")
    image = np.ones((10, 10), np.uint16)
    image[1, 2] = 65535
    run.excluded = image == 65535
    run.show(1, image=image)
    run.measure()
    assert (run.point["value"], run.point["n_pixels"]) == (1.0, 5)


def test_a_region_that_moves_begins_a_new_curve_and_one_that_is_renamed_does_not() -> None:
    run = Run()
    run.follow()
    run.show(1, image=np.ones((10, 10)))
    run.measure()
    run.follow(name="other")
    assert len(run.values) == 1
    run.follow(bounds=[0, 1, 0, 1])
    assert run.values == []
    run.measure()
    assert run.values == [1.0]


@pytest.mark.parametrize("image", [np.zeros(5), np.array(3.0), np.zeros((0, 0)), np.array([["a"]], object)])
def test_a_region_on_what_is_no_image_says_so(image: npt.NDArray[Any]) -> None:
    run = Run()
    run.follow()
    run.show(1, image=image)
    run.measure()
    assert run.point["problem"]


def test_a_value_is_followed_from_point_to_point_and_split_by_another() -> None:
    run = Run()
    split = {"on": "/laser", "above": 0.5}
    run.follow(kind="value", bounds=None, image="/signal", split=split)
    for i in range(6):
        run.show(i, signal=float(i), laser=float(i % 2))
        run.measure()
    assert run.values == [0, 1, 2, 3, 4, 5]
    assert run.point["split"]["on"]["mean"] == 3.0
    assert run.point["split"]["off"]["mean"] == 2.0


def test_a_curve_of_one_value_an_event_is_divided_and_binned_event_by_event() -> None:
    run = Run()
    split = {"on": "/laser", "delay": "/delay", "low": 0, "high": 2, "n_bins": 2}
    run.follow(
        kind="value", bounds=None, image="/signal", denominator="/i0", events="/number", split=split
    )  # fmt: skip
    run.show(
        9,
        signal=[2.0, 4.0, 9.0, 8.0], i0=[1.0, 2.0, 3.0, 0.0], laser=[1, 1, 1, 1], delay=[0.5, 0.5, 1.5, 1.5],
        number=[11, 12, 13, 14],
    )  # fmt: skip
    run.measure()
    np.testing.assert_array_equal(run.values, [2.0, 2.0, 3.0, np.nan])
    assert run.curves.curves["r1"].series.points[:, 1].tolist() == [11, 12, 13, 14]
    assert run.point["split"]["bins"]["on"]["mean"] == [2.0, 3.0]
    run.show(10, i0=[1.0])
    run.measure()
    assert "/i0 has to be 4 numbers" in run.point["problem"]


@pytest.mark.parametrize("dtype", ["?", "u1", ">i2", "i8", "f2", ">f8", "c8"])
def test_images_of_every_type_are_measured(dtype: str) -> None:
    run = Run()
    run.follow()
    run.show(1, image=np.ones((10, 10), dtype))
    run.measure()
    assert (run.point["problem"], run.point["sum"], sum(run.point["histogram"]["counts"])) == ("", 6.0, 6)
