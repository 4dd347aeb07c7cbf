from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from glimt.kernels.peak_table import PEAK_TYPE
from glimt.kernels.peakfinder8 import PanelLayout, Peakfinder8, Peakfinder8Parameters
from glimt.kernels.radius_map import flat_radius_map
from glimt.model.errors import UsageError

SHAPE = (90, 110)
RADIUS = flat_radius_map(SHAPE, (45.0, 55.0))
RULE = Peakfinder8Parameters(6.0, 5.0, 2, 20, 3)


def _background(seed: int = 1, dtype: Any = np.uint16) -> npt.NDArray[Any]:
    return np.minimum(np.random.default_rng(seed).poisson(0.9, SHAPE), 5).astype(dtype)


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i4", "f4", "f8", "i2", "u8"])
def test_peak_is_found_where_it_is(dtype: str) -> None:
    frame = _background(dtype=dtype)
    frame[30, 40], frame[30, 41] = 60, 20
    found = Peakfinder8(RADIUS, RULE).find(frame)
    assert found.peaks.dtype == PEAK_TYPE
    (peak,) = found.peaks
    assert (peak["fs"], peak["ss"], peak["n_pixels"]) == (40.25, 30.0, 2)
    assert 76 < peak["intensity"] < 80
    assert 57 < peak["max_intensity"] < 60
    assert peak["snr"] > 20


def test_pixels_that_touch_by_a_corner_are_one_peak() -> None:
    frame = _background()
    frame[20, 20] = frame[21, 21] = frame[22, 20] = 30
    (peak,) = Peakfinder8(RADIUS, RULE).find(frame).peaks
    assert peak["n_pixels"] == 3


def test_number_of_pixels_includes_both_limits() -> None:
    frame = _background()
    for n, column in ((1, 10), (2, 25), (3, 40), (4, 55)):
        frame[50, column : column + n] = 50
    found = Peakfinder8(RADIUS, Peakfinder8Parameters(6.0, 5.0, 2, 3, 3)).find(frame)
    assert found.peaks["n_pixels"].tolist() == [2, 3]


def test_threshold_itself_is_not_above_the_threshold() -> None:
    frame = _background()
    frame[40, 30:32] = 15
    assert len(Peakfinder8(RADIUS, Peakfinder8Parameters(15.0, 3.0, 2, 20, 3)).find(frame)) == 0
    assert len(Peakfinder8(RADIUS, Peakfinder8Parameters(14.0, 3.0, 2, 20, 3)).find(frame)) == 1


def test_masked_pixels_make_no_peak_and_no_background() -> None:
    frame, mask = _background(), np.zeros(SHAPE, np.bool_)
    frame[30, 40:43] = 60
    alone = Peakfinder8(RADIUS, RULE).find(frame)
    frame[28:34, 37:40], mask[28:34, 37:40] = 65535, True
    frame[60:70, 60:70], mask[60:70, 60:70] = 65535, True
    masked = Peakfinder8(RADIUS, RULE, mask=mask).find(frame)
    assert masked.peaks[["fs", "ss", "n_pixels"]].tolist() == alone.peaks[["fs", "ss", "n_pixels"]].tolist()
    mask[30, 41] = True
    assert len(Peakfinder8(RADIUS, RULE, mask=mask).find(frame)) == 0


def test_everything_masked_gives_an_empty_table() -> None:
    found = Peakfinder8(RADIUS, RULE, mask=np.ones(SHAPE)).find(_background())
    assert (len(found), found.n_found) == (0, 0)


def test_only_the_asked_radii_are_searched() -> None:
    frame = _background()
    for column in (60, 75, 90):
        frame[45, column : column + 2] = 50
    found = Peakfinder8(RADIUS, RULE, min_res=10, max_res=30).find(frame)
    assert found.peaks["fs"].tolist() == [75.5]


def test_peaks_and_backgrounds_end_at_the_panel() -> None:
    frame, layout = _background(), PanelLayout(55, 45, 2, 2)
    frame[20, 53:57] = 60
    assert Peakfinder8(RADIUS, RULE).find(frame).peaks["n_pixels"].tolist() == [4]
    found = Peakfinder8(RADIUS, RULE, layout=layout).find(frame)
    # A panel's outermost pixels start no peak, but the next ones reach them.
    assert found.peaks[["fs", "ss", "n_pixels"]].tolist() == [(53.5, 20.0, 2), (55.5, 20.0, 2)]


def test_peaks_come_panel_by_panel() -> None:
    frame, layout = _background(), PanelLayout(55, 45, 2, 2)
    for ss, fs in ((10, 80), (20, 20), (60, 90), (70, 30)):
        frame[ss, fs : fs + 2] = 60
    whole = Peakfinder8(RADIUS, RULE).find(frame).peaks["ss"].tolist()
    panels = Peakfinder8(RADIUS, RULE, layout=layout).find(frame).peaks["ss"].tolist()
    assert (whole, panels) == ([10, 20, 60, 70], [20, 10, 70, 60])


def test_border_of_a_panel_starts_no_peak() -> None:
    frame = _background()
    frame[0, 20:23] = frame[30:33, 0] = frame[-1, 50:53] = 60
    assert len(Peakfinder8(RADIUS, RULE).find(frame)) == 0


def test_peaks_beyond_the_limit_are_counted() -> None:
    frame = _background()
    for column in range(10, 100, 10):
        frame[45, column : column + 2] = 60
    found = Peakfinder8(RADIUS, Peakfinder8Parameters(6.0, 5.0, 2, 20, 3, max_num_peaks=4)).find(frame)
    assert (len(found), found.n_found) == (4, 9)
    assert found.peaks["fs"].tolist() == [10.5, 20.5, 30.5, 40.5]


def test_pixel_brighter_than_the_peak_nearby_forbids_it() -> None:
    """A maximum in the background means that the threshold, not the peak, makes the difference."""
    radius = np.zeros(SHAPE)
    radius[:, 50:] = 1  # two bins: faint on the left, bright on the right
    frame = _background()
    frame[:, 50:] = 200 + np.random.default_rng(2).poisson(100, (90, 60))
    frame[30, 46:48] = 40
    assert len(Peakfinder8(radius, RULE).find(frame)) == 0
    frame[30, 46:48], frame[30, 30:32] = 0, 40
    assert len(Peakfinder8(radius, RULE).find(frame)) == 1


def test_missing_pixels_are_in_no_peak() -> None:
    frame = _background(dtype=np.float32)
    frame[30, 40:42], frame[30, 42], frame[31, 40], frame[29, 41] = 60, np.nan, np.inf, -np.inf
    (peak,) = Peakfinder8(RADIUS, RULE).find(frame).peaks
    assert peak["n_pixels"] == 2
    assert np.isfinite(peak["intensity"])


def test_parameters_may_change_between_frames() -> None:
    frame = _background()
    frame[30, 40:42] = 60
    finder = Peakfinder8(RADIUS, RULE)
    assert len(finder.find(frame)) == 1
    finder.parameters = Peakfinder8Parameters(100.0)
    assert len(finder.find(frame)) == 0
    finder.parameters = RULE
    assert len(finder.find(frame)) == 1


def test_background_of_the_last_frame_is_told() -> None:
    finder = Peakfinder8(RADIUS, RULE)
    finder.find(_background())
    assert finder.background is not None
    assert 0.8 < float(np.median(finder.background.mean)) < 1.0
    assert (finder.background.threshold >= 6.0).all()


def test_tiny_frames_have_no_peaks() -> None:
    for shape in ((1, 1), (1, 9), (2, 2), (3, 3)):
        found = Peakfinder8(np.zeros(shape), RULE).find(np.full(shape, 50, np.uint16))
        assert len(found) == 0


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"adc_threshold": -1.0}, "adc_threshold is -1"),
        ({"adc_threshold": np.nan}, "adc_threshold is nan"),
        ({"minimum_snr": "x"}, "minimum_snr is 'x'"),
        ({"min_pixel_count": 0}, "min_pixel_count is 0"),
        ({"min_pixel_count": 9, "max_pixel_count": 8}, "max_pixel_count is 8; a whole number from 9"),
        ({"local_bg_radius": 2.5}, "local_bg_radius is 2.5"),
        ({"local_bg_radius": 10**6}, "local_bg_radius is 1000000"),
        ({"max_num_peaks": 0}, "max_num_peaks is 0"),
    ],
)
def test_parameter_out_of_range_is_refused(options: dict[str, Any], what: str) -> None:
    with pytest.raises(UsageError, match=what):
        Peakfinder8Parameters(**{"adc_threshold": 6.0, **options})


def test_arguments_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match=r"panels make a frame of \(90, 100\), the radius map has \(90, 110\)"):
        Peakfinder8(RADIUS, RULE, layout=PanelLayout(50, 45, 2, 2))
    with pytest.raises(UsageError, match="asic_nx is 0"):
        PanelLayout(0, 45)
    with pytest.raises(UsageError, match="mask has shape"):
        Peakfinder8(RADIUS, RULE, mask=np.zeros((2, 2)))
    with pytest.raises(UsageError, match="frame has shape"):
        Peakfinder8(RADIUS, RULE).find(np.zeros((2, 2)))
