from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from glimt.kernels.components import label_components
from glimt.kernels.resolution import SpotResolution
from glimt.kernels.resolution_ice import ice_rings
from glimt.kernels.spot_filters import SpotFilter
from glimt.kernels.spots import SPOT, UNITS, SpotFinder
from glimt.model.detector_geometry import DetectorGeometry, Panel
from glimt.model.errors import UsageError

SHAPE = (60, 80)


def _frame() -> npt.NDArray[np.uint16]:
    frame = np.zeros(SHAPE, np.uint16)
    frame[10, 20:23] = 40, 80, 40
    frame[11, 21] = 40
    frame[30, 50] = 500
    return frame


def _rows(**fields: Any) -> npt.NDArray[Any]:
    n = max(np.size(values) for values in fields.values())
    rows = np.zeros(n, SPOT)
    rows["n_pixels"] = 5
    for name, values in fields.items():
        rows[name] = values
    rows["peak_fast"], rows["peak_slow"] = rows["x"].astype(int), rows["y"].astype(int)
    return rows


def _resolution() -> SpotResolution:
    """Return the resolutions of a detector whose beam is at x = 40, y = 30."""
    panel = Panel((-8.0, -6.0, 12.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.2, 0.2), SHAPE)
    return SpotResolution(DetectorGeometry([panel], 1.0))


def test_a_spot_has_the_centroid_sum_and_extent_of_its_pixels() -> None:
    table = SpotFinder(SHAPE, filter=SpotFilter(min_spot_size=3)).find(_frame())
    assert len(table) == table.n_spots == 1
    spot = table.rows[0]
    assert (spot["x"], spot["y"]) == (21.5, 10.7)
    assert (spot["intensity"], spot["variance"], spot["n_pixels"]) == (200.0, 200.0, 4)
    assert (spot["peak"], spot["peak_fast"], spot["peak_slow"]) == (80.0, 21, 10)
    assert (spot["fast_start"], spot["fast_stop"], spot["slow_start"], spot["slow_stop"]) == (20, 23, 10, 12)


def test_pixels_of_spots_that_are_taken_away_stay_in_the_list() -> None:
    table = SpotFinder(SHAPE, filter=SpotFilter(min_spot_size=3)).find(_frame())
    single = table.pixels == 30 * SHAPE[1] + 50
    assert table.n_strong == 5
    assert table.labels[single].tolist() == [-1]
    assert (table.labels[~single] == 0).all()
    everything = SpotFinder(SHAPE, filter=SpotFilter(min_spot_size=1)).find(_frame())
    assert everything["n_pixels"].tolist() == [4, 1]
    assert everything.where(np.array([False, True]))["n_pixels"].tolist() == [1]


def test_a_frame_without_spots_gives_an_empty_table_with_all_fields() -> None:
    table = SpotFinder(SHAPE).find(np.zeros(SHAPE, np.uint16))
    assert len(table) == table.n_strong == 0
    assert table["intensity"].sum() == 0.0
    assert set(UNITS) == set(table.rows.dtype.names or ())


def test_a_field_that_does_not_exist_is_an_error_that_lists_the_others() -> None:
    table = SpotFinder(SHAPE).find(_frame())
    with pytest.raises(UsageError, match="no field 'hkl'; they have x, y, intensity"):
        table["hkl"]
    with pytest.raises(UsageError, match="1 spots"):
        table.where(np.array([True, False]))


@pytest.mark.parametrize(("connectivity", "n_expected"), [(4, 3), (8, 1)])
def test_corners_connect_only_if_asked_to(connectivity: int, n_expected: int) -> None:
    pixels = [0 * 5 + 1, 1 * 5 + 2, 2 * 5 + 1]
    assert label_components(pixels, (4, 5), connectivity=connectivity)[1] == n_expected


def test_the_end_of_a_row_does_not_touch_the_start_of_the_next() -> None:
    for connectivity in (4, 8):
        assert label_components([4, 5], (3, 5), connectivity=connectivity)[1] == 2
        assert label_components([4, 10], (3, 5), connectivity=connectivity)[1] == 2


def test_arms_that_meet_late_are_one_component() -> None:
    comb = np.zeros((4, 7), np.bool_)
    comb[:3, ::2] = True
    comb[3] = True
    labels, n = label_components(np.flatnonzero(comb), comb.shape)
    assert n == 1
    assert (labels == 0).all()


@pytest.mark.parametrize("pixels", [[3, 2], [1, 1], [-1, 2], [5, 20], [[1, 2]], [0.5]])
def test_pixel_lists_out_of_order_or_frame_are_refused(pixels: Any) -> None:
    with pytest.raises(UsageError, match="pixel"):
        label_components(pixels, (4, 5))


def test_connectivity_is_four_or_eight() -> None:
    with pytest.raises(UsageError, match="connectivity is 6"):
        label_components([1], (4, 5), connectivity=6)
    with pytest.raises(UsageError, match="connectivity is 6"):
        SpotFinder(SHAPE, connectivity=6)


def test_size_limits_are_inclusive() -> None:
    rows = _rows(n_pixels=[2, 3, 10, 11], x=[1.5] * 4, y=[1.5] * 4)
    assert SpotFilter(min_spot_size=3, max_spot_size=10).keep(rows).tolist() == [False, True, True, False]


def test_spots_whose_peak_is_far_from_their_centroid_go() -> None:
    rows = _rows(x=[10.5, 10.5], y=[20.5, 20.5])
    rows["peak_fast"] = [12, 13]
    assert SpotFilter(max_separation=2.0).keep(rows).tolist() == [True, False]
    assert SpotFilter(max_separation=None).keep(rows).tolist() == [True, True]


def test_resolution_limits_are_inclusive_and_the_beam_itself_is_infinite() -> None:
    resolution = _resolution()
    x, y = np.array([40.0, 45.0, 60.0, 75.0]), np.full(4, 30.0)
    d = resolution.d_spacing(x, y)
    assert np.isinf(d[0])
    rows = _rows(x=x, y=y)
    assert SpotFilter(d_min=d[2], d_max=d[1], resolution=resolution).keep(rows).tolist() == [False, True, True, False]
    assert SpotFilter(d_min=d[2], resolution=resolution).keep(rows).tolist() == [True, True, True, False]


def test_spots_on_an_ice_ring_go() -> None:
    resolution = _resolution()
    x = np.linspace(40.0, 79.9, 4000)
    rows = _rows(x=x, y=np.full(x.size, 30.0))
    d_star_sq = resolution.d_star(rows["x"], rows["y"]) ** 2
    near = np.abs(d_star_sq[:, np.newaxis] - ice_rings(float(d_star_sq.max()) + 1)).min(axis=1) < 0.002
    kept = SpotFilter(ice_width=0.004, resolution=resolution, max_separation=None).keep(rows)
    assert near.any()
    np.testing.assert_array_equal(kept, ~near)


def test_spots_in_an_untrusted_region_go() -> None:
    untrusted = np.zeros(SHAPE, np.bool_)
    untrusted[10, 21] = True
    assert len(SpotFinder(SHAPE, filter=SpotFilter(untrusted=untrusted)).find(_frame())) == 0
    with pytest.raises(UsageError, match=r"untrusted has shape \(60, 80\), the frame \(5, 5\)"):
        SpotFinder((5, 5), filter=SpotFilter(untrusted=untrusted))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"min_spot_size": 0}, "min_spot_size is 0"),
        ({"min_spot_size": 9, "max_spot_size": 8}, "min_spot_size 9 is above max_spot_size 8"),
        ({"max_separation": -1}, "max_separation is -1"),
        ({"d_min": 3.0}, "give resolution"),
        ({"ice_width": 0.004}, "give resolution"),
        ({"d_min": 3.0, "d_max": 2.0, "resolution": object()}, "are they swapped"),
        ({"d_min": 0.0, "resolution": object()}, "d_min is 0"),
        ({"untrusted": np.zeros(5)}, "untrusted has shape"),
        ({"untrusted": np.zeros((5, 5, 5))}, "untrusted has shape"),
    ],
)
def test_filters_that_make_no_sense_are_named(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        SpotFilter(**arguments)
