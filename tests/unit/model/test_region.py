"""Regions that people draw, and the parameter that they are."""

from __future__ import annotations

import numpy as np
import pytest

from glimt.kernels.roi import RoiIntegrator
from glimt.kernels.roi_region import roi_of
from glimt.model.errors import ParameterError
from glimt.model.parameters import RoiParameter
from glimt.model.region import Region, regions_from_json, regions_to_json
from glimt.pipeline.parameter_set import ParameterSet

REGIONS = [
    Region(name="box", kind="rectangle", image="/image", bounds=(1, 3, 2, 5)),
    Region(name="Dreieck ∆", kind="polygon", vertices=((0.0, 0.0), (0.0, 8.0), (8.0, 0.0))),
    Region(name="ring", kind="ring", center=(4.0, 4.0), r_min=1.0, r_max=3.0),
]


def test_regions_are_the_same_after_json() -> None:
    assert regions_from_json(regions_to_json(REGIONS)) == REGIONS
    assert regions_from_json(b" ") == []


def test_kernels_add_up_the_regions_that_were_drawn() -> None:
    sums = RoiIntegrator((8, 8), [roi_of(region) for region in REGIONS]).integrate(np.ones((8, 8)))
    assert sums.n_pixels.tolist()[0] == 6
    assert 26 <= sums.n_pixels[1] <= 36
    assert sums.n_pixels[2] == 28


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{}", "these are no regions"),
        ('[{"name": "a", "kind": "circle"}]', "these are no regions"),
        ('[{"name": "", "kind": "rectangle", "bounds": [1, 2, 3, 4]}]', "1 to 60 characters"),
        ('[{"name": "a", "kind": "rectangle", "bounds": [5, 2, 3, 4]}]', "ends before it starts"),
        ('[{"name": "a", "kind": "rectangle", "bounds": [1, 2, 3, 4], "r_min": 1}]', "a rectangle has bounds"),
        ('[{"name": "a", "kind": "rectangle", "bounds": [1, 2, 3, 99999999999]}]', "not finite or beyond"),
        ('[{"name": "a", "kind": "polygon", "vertices": [[1, 2], [3, 4]]}]', "3 to 1000"),
        ('[{"name": "a", "kind": "ring", "center": [1, 2], "r_min": 5, "r_max": 4}]', "0 <= r_min <= r_max"),
        (regions_to_json([REGIONS[0], REGIONS[0]]).decode(), "two regions have the name 'box'"),
        ("[" * 10_000, "these are no regions"),
    ],
)
def test_what_is_no_region_says_what_is_wrong(text: str, reason: str) -> None:
    with pytest.raises(ParameterError, match=reason):
        regions_from_json(text)


def test_too_many_regions_are_refused() -> None:
    many = [Region(name=str(i), kind="rectangle", bounds=(0, 1, 0, 1)) for i in range(201)]
    with pytest.raises(ParameterError, match="at most 200"):
        regions_from_json(regions_to_json(many))


def test_the_parameter_gives_a_worker_the_regions() -> None:
    parameters = ParameterSet([RoiParameter(name="rois", description="drawn")], {"rois": regions_to_json(REGIONS)})
    assert parameters.values["rois"].value == REGIONS
    parameters.update({"rois": b""})
    assert parameters.values["rois"].value == []
    with pytest.raises(ParameterError, match="parameter 'rois' takes a list of regions"):
        parameters.update({"rois": b"[1]"})
    assert parameters.values["rois"].value == []


def test_the_parameter_describes_itself_as_plain_values() -> None:
    described = ParameterSet([RoiParameter(name="rois", default=REGIONS[:1])]).describe()
    assert described[0]["dtype"] == "roi"
    assert described[0]["default"] == [
        {"name": "box", "kind": "rectangle", "image": "/image", "bounds": (1, 3, 2, 5)},
    ]


def test_a_default_that_is_no_list_of_regions_is_refused() -> None:
    with pytest.raises(ParameterError, match="takes a list of regions"):
        RoiParameter(name="rois", default=["box"])  # type: ignore[list-item]  # that is what is refused
