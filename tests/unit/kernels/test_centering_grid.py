from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from glimt.kernels.centering_grid import MAX_STEPS, ScanGrid
from glimt.kernels.centering_regions import connected_regions
from glimt.kernels.centering_wells import Wells
from glimt.model.errors import UsageError

GRIDINFO = {
    "steps_x": "3.0",
    "steps_y": "2",
    "dx_mm": "0.02",
    "dy_mm": 0.04,
    "micronsPerPixelX": "0.5",
    "micronsPerPixelY": 2,
    "snapshot_offsetXPixel": "10.5",
    "snapshot_offsetYPixel": 20,
    "snaked": "1",
    "orientation": "Vertical",
}


@pytest.mark.parametrize(
    ("snaked", "orientation", "by_box"),
    [
        (False, "horizontal", [[0, 3], [1, 4], [2, 5]]),
        (True, "horizontal", [[0, 5], [1, 4], [2, 3]]),
        (False, "vertical", [[0, 1], [2, 3], [4, 5]]),
        (True, "vertical", [[0, 1], [3, 2], [4, 5]]),
    ],
)
def test_images_lie_where_the_beam_was(snaked: bool, orientation: Any, by_box: list[list[int]]) -> None:
    linear = np.arange(6)
    arranged = ScanGrid((3, 2), snaked, orientation).arrange(linear)
    assert arranged.tolist() == by_box
    arranged[:] = -1
    assert linear.tolist() == [0, 1, 2, 3, 4, 5]


def test_boxes_that_a_stopped_scan_did_not_reach_are_nan() -> None:
    arranged = ScanGrid((3, 2), snaked=True).arrange([1, 2, 3, 4])
    assert np.array_equal(arranged, np.array([[1, np.nan], [2, np.nan], [3, 4]]), equal_nan=True)


def test_grid_is_made_from_the_texts_of_a_recipe() -> None:
    grid = ScanGrid.from_gridinfo(GRIDINFO)
    assert grid == ScanGrid((3, 2), True, "vertical", (40.0, 20.0), (10.5, 20.0), (20.0, 40.0))
    assert grid.n_images == 6


@pytest.mark.parametrize(("text", "snaked"), [("0", False), ("false", False), ("true", True), (0, False), (True, True)])
def test_snaked_may_be_a_text(text: Any, snaked: bool) -> None:
    assert ScanGrid.from_gridinfo(GRIDINFO | {"snaked": text}).snaked is snaked


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"steps_x": None}, "gridinfo has no steps_x; it has: steps_x, steps_y"),
        ({"steps_x": "many"}, "steps is 'many'"),
        ({"steps_x": 0}, "both have to be more than 0"),
        ({"steps_x": 2.5}, "2.5 x 2 steps"),
        ({"steps_x": 1e9, "steps_y": 1e9}, "1e\\+09 x 1e\\+09 steps"),
        ({"steps_x": float("nan")}, "steps is nan"),
        ({"dx_mm": 0}, "box_size_px is \\(0, 20\\)"),
        ({"micronsPerPixelY": -1}, "micronsPerPixelY is -1"),
        ({"orientation": "diagonal"}, "orientation is 'diagonal'"),
        ({"snapshot_offsetXPixel": "inf"}, "snapshot_offset_px is inf"),
    ],
)
def test_gridinfo_that_makes_no_sense_is_named(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        ScanGrid.from_gridinfo(GRIDINFO | change)


@pytest.mark.parametrize("gridinfo", [{}, None, [], "grid"])
def test_gridinfo_that_is_not_there_is_named(gridinfo: Any) -> None:
    with pytest.raises(UsageError, match="gridinfo"):
        ScanGrid.from_gridinfo(gridinfo)


def test_largest_grid_is_accepted_and_no_larger() -> None:
    assert ScanGrid((MAX_STEPS, 1)).n_images == MAX_STEPS
    with pytest.raises(UsageError, match="steps"):
        ScanGrid((MAX_STEPS, 2))


def test_wells_of_a_multi_sample_pin_lie_around_their_centers() -> None:
    wells = Wells.from_loop_type("multipin_3x50+10", box_size_um=10.0, sample_ids={1: 101, 3: 103})
    assert wells is not None
    assert wells.limits == ((-1.5, 3.5), (3.5, 8.5), (8.5, 13.5))
    assert [wells.sample_at(x) for x in (-2.0, -1.5, 3.5, 4.0, 8.6, 13.5, 13.6)] == [
        None,
        101,
        101,
        None,
        103,
        103,
        None,
    ]


def test_samples_of_wells_may_come_as_texts() -> None:
    wells = Wells.from_loop_type("multipin_2x50+25", box_size_um=10.0, sample_ids={"1": "101", 2: None})
    assert wells is not None
    assert [wells.sample_at(x) for x in (2.5, 7.5)] == [101, None]


@pytest.mark.parametrize("sample_ids", [{"first": 1}, {1: "crystal"}, {1: float("inf")}, [101]])
def test_samples_without_numbers_are_refused(sample_ids: Any) -> None:
    with pytest.raises(UsageError, match="sample_ids"):
        Wells.from_loop_type("multipin_2x50+25", box_size_um=10.0, sample_ids=sample_ids)


@pytest.mark.parametrize("loop_type", [None, "", "litholoop", "20 um"])
def test_other_loops_have_no_wells(loop_type: Any) -> None:
    assert Wells.from_loop_type(loop_type, box_size_um=10.0) is None


@pytest.mark.parametrize(
    ("loop_type", "box_size_um"),
    [
        ("multipin", 1.0),
        ("multipin_3x50", 1.0),
        ("multipin_3x0+10", 1.0),
        ("multipin_0x50+10", 1.0),
        ("multipin_9999x50+10", 1.0),
        ("multipin_3x50+10\n", 1.0),
        ("multipin_3x50+10", 0.0),
        ("multipin_3x50+10", float("nan")),
        ("multipin_" + "9" * 5000 + "x1+1", 1.0),
    ],
)
def test_multi_sample_pin_that_cannot_be_read_is_named(loop_type: str, box_size_um: float) -> None:
    with pytest.raises(UsageError, match=r"loop type|step of the grid"):
        Wells.from_loop_type(loop_type, box_size_um=box_size_um)


@pytest.mark.parametrize("limits", [(), ((2.0, 1.0),), ((float("nan"), 1.0),)])
def test_wells_without_an_inside_are_refused(limits: Any) -> None:
    with pytest.raises(UsageError, match="well"):
        Wells(limits)


def test_long_winding_region_is_one_region() -> None:
    spiral = np.zeros((41, 41), np.bool_)
    spiral[::2] = True
    spiral[1::4, -1] = True
    spiral[3::4, 0] = True
    (region,) = connected_regions(spiral)
    assert region[0].size == spiral.sum()


def test_no_cell_makes_no_region() -> None:
    assert connected_regions(np.zeros((3, 0), np.bool_)) == []
    assert connected_regions(np.zeros((3, 4, 5), np.bool_)) == []
