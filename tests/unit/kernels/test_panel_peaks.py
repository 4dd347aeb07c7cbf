from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from glimt.kernels.panel_peaks import PanelPeakfinder8
from glimt.kernels.peakfinder8 import Peakfinder8, Peakfinder8Parameters
from glimt.kernels.radius_map import flat_radius_map
from glimt.model.errors import UsageError
from glimt.model.panel_placement import PanelPlacement

SHAPE = (90, 110)
PLACES = (PanelPlacement(0, 0, (90, 50)), PanelPlacement(5, 52, (40, 58)), PanelPlacement(50, 60, (40, 30)))
RADIUS = flat_radius_map(SHAPE, (45.0, 55.0))
RULE = Peakfinder8Parameters(6.0, 5.0, 2, 20, 3)


def _background() -> npt.NDArray[np.uint16]:
    return np.minimum(np.random.default_rng(1).poisson(0.9, SHAPE), 5).astype(np.uint16)


def _found(frame: npt.NDArray[Any], **options: Any) -> list[tuple[int, float, float, int]]:
    table = PanelPeakfinder8(RADIUS, PLACES, options.pop("rule", RULE), **options).find(frame)
    assert table.panel_number is not None
    return [
        (int(on), float(peak["fs"]), float(peak["ss"]), int(peak["n_pixels"]))
        for on, peak in zip(table.panel_number, table.peaks, strict=True)
    ]


def test_peaks_are_told_in_the_frame_with_their_panel() -> None:
    frame = _background()
    for ss, fs in ((10, 80), (20, 20), (60, 70), (70, 30)):
        frame[ss, fs : fs + 2] = 60
    assert _found(frame) == [(0, 20.5, 20, 2), (0, 30.5, 70, 2), (1, 80.5, 10, 2), (2, 70.5, 60, 2)]


def test_peaks_end_where_their_panel_ends_and_borders_start_none() -> None:
    frame = _background()
    frame[20, 48:54] = 60  # over the edge of panel 0, a gap, and the edge of panel 1
    assert _found(frame) == [(0, 48.5, 20, 2), (1, 52.5, 20, 2)]
    frame = _background()
    frame[49, 65:68] = frame[50, 65:68] = 60  # on no panel, and the first row of panel 2
    frame[89, 5:8] = frame[5, 70:73] = 60  # the last row of panel 0, the first of panel 1
    assert _found(frame) == []


def test_what_is_on_no_panel_changes_nothing() -> None:
    frame = _background()
    frame[20, 20:22] = frame[60, 70:73] = 60
    quiet = _found(frame)
    assert len(quiet) == 2
    frame[:, 50:52] = frame[45:50, 52:] = frame[:5, 52:] = 60_000
    assert _found(frame) == quiet


def test_statistics_are_those_of_all_panels() -> None:
    frame = _background()
    mask = np.ones(SHAPE, np.bool_)
    for place in PLACES:
        mask[place.area] = False
    finder, whole = PanelPeakfinder8(RADIUS, PLACES, RULE), Peakfinder8(RADIUS, RULE, mask=mask)
    finder.find(frame)
    whole.find(frame)
    assert finder.background is not None
    assert whole.background is not None
    np.testing.assert_array_equal(finder.background.mean, whole.background.mean)
    np.testing.assert_array_equal(finder.background.threshold, whole.background.threshold)


def test_peaks_beyond_the_limit_are_counted() -> None:
    frame = _background()
    for ss, fs in ((10, 80), (20, 20), (60, 70), (70, 30)):
        frame[ss, fs : fs + 2] = 60
    for most in (1, 2, 3):
        rule = Peakfinder8Parameters(6.0, 5.0, 2, 20, 3, max_num_peaks=most)
        table = PanelPeakfinder8(RADIUS, PLACES, rule).find(frame)
        assert (len(table), table.n_found) == (most, 4)
        assert table.peaks["fs"].tolist() == [20.5, 30.5, 80.5][:most]
        assert table.panel_number is not None
        assert table.panel_number.tolist() == [0, 0, 1][:most]


def test_masked_pixels_and_radii_are_left_out() -> None:
    frame, mask = _background(), np.zeros(SHAPE, np.bool_)
    frame[20, 20:22] = frame[60, 70:73] = 60
    mask[15:25] = True
    assert [peak[0] for peak in _found(frame, mask=mask)] == [2]
    assert _found(frame, mask=np.ones(SHAPE)) == []
    assert [peak[0] for peak in _found(frame, min_res=30)] == [0]


def test_an_empty_frame_of_any_type_has_no_peaks() -> None:
    for dtype in ("u1", "u2", "u4", "i2", "i4", "f4", "f8"):
        assert _found(np.zeros(SHAPE, dtype)) == []
    assert _found(np.full(SHAPE, np.nan)) == []


def test_arguments_that_make_no_sense_are_told() -> None:
    with pytest.raises(UsageError, match="panel 0 reaches to"):
        PanelPeakfinder8(RADIUS[:50], PLACES, RULE)
    with pytest.raises(UsageError, match="panels 0 and 1 share pixels"):
        PanelPeakfinder8(RADIUS, (PLACES[0], PLACES[0]), RULE)
    with pytest.raises(UsageError, match="the mask has shape"):
        PanelPeakfinder8(RADIUS, PLACES, RULE, mask=np.zeros((3, 3)))
    with pytest.raises(UsageError, match="no panels"):
        PanelPeakfinder8(RADIUS, (), RULE)
    with pytest.raises(UsageError, match=r"the frame has shape \(2, 2\)"):
        PanelPeakfinder8(RADIUS, PLACES, RULE).find(np.zeros((2, 2)))
