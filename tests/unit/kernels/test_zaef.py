from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from glimt.kernels.peakfinder8 import PanelLayout
from glimt.kernels.zaef import ZaefParameters, ZaefPeakFinder
from glimt.model.errors import UsageError

SHAPE = (80, 100)
RULE = ZaefParameters(threshold=20.0, min_squared_gradient=100.0, min_snr=5.0)


def _frame(*places: tuple[float, float], dtype: Any = np.uint16) -> npt.NDArray[Any]:
    """Return Gaussian spots of 2000 counts over a background of 2."""
    y, x = np.indices(SHAPE)
    frame = np.full(SHAPE, 2.0)
    for ss, fs in places:
        frame += 2000 / (2 * np.pi) * np.exp(-((y - ss) ** 2 + (x - fs) ** 2) / 2)
    return np.random.default_rng(1).poisson(frame).astype(dtype)


@pytest.mark.parametrize("dtype", ["u2", "u4", "i4", "f4", "f8", "i8"])
def test_spots_are_found_where_they_are(dtype: str) -> None:
    places = [(20.3, 30.7), (50.0, 60.0), (60.5, 20.4)]
    found = ZaefPeakFinder(SHAPE, RULE).find(_frame(*places, dtype=dtype))
    assert found.n_found == len(found) == 3
    for peak, (ss, fs) in zip(found.peaks, places, strict=True):
        assert abs(peak["ss"] - ss) < 0.1
        assert abs(peak["fs"] - fs) < 0.1
        assert abs(peak["intensity"] - 2000) < 200
        assert 30 < peak["snr"] < 50
        assert peak["n_pixels"] == 49  # pixels within 4 px


def test_spots_nearer_than_two_radii_are_one() -> None:
    rule = ZaefParameters(20.0, 100.0, 0.1)  # each is in the other's ring, which makes both uncertain
    assert len(ZaefPeakFinder(SHAPE, rule).find(_frame((40, 30), (40, 37)))) == 1
    assert len(ZaefPeakFinder(SHAPE, rule).find(_frame((40, 30), (40, 40)))) == 2


def test_bad_pixel_in_disc_or_ring_forbids_the_peak() -> None:
    frame = _frame((40, 50))
    for at, n in (((40, 52), 0), ((46, 50), 0), ((40, 58), 1)):
        mask = np.zeros(SHAPE, np.bool_)
        mask[at] = True
        assert len(ZaefPeakFinder(SHAPE, RULE, mask=mask).find(frame)) == n
        missing = frame.astype(np.float32)
        missing[at] = np.nan
        assert len(ZaefPeakFinder(SHAPE, RULE).find(missing)) == n


def test_ring_that_leaves_the_panel_forbids_the_peak() -> None:
    assert len(ZaefPeakFinder(SHAPE, RULE).find(_frame((5, 50), (40, 96)))) == 0
    frame = _frame((40, 47), (40, 25))
    found = ZaefPeakFinder(SHAPE, RULE, layout=PanelLayout(50, 80, 2, 1)).find(frame)
    assert np.rint(found.peaks["fs"]).tolist() == [25]


def test_threshold_gradient_and_snr_each_reject() -> None:
    frame = _frame((40, 50))
    for rule in (
        ZaefParameters(5000.0, 100.0, 5.0),
        ZaefParameters(20.0, 1e6, 5.0),
        ZaefParameters(20.0, 100.0, 500.0),
    ):
        assert len(ZaefPeakFinder(SHAPE, rule).find(frame)) == 0


def test_search_ends_with_the_most_peaks() -> None:
    frame = _frame((20, 20), (20, 40), (20, 60), (40, 20))
    rule = ZaefParameters(20.0, 100.0, 5.0, max_num_peaks=2)
    found = ZaefPeakFinder(SHAPE, rule).find(frame)
    assert np.rint(found.peaks["fs"]).tolist() == [20, 40]


def test_second_frame_does_not_remember_the_first() -> None:
    finder, frame = ZaefPeakFinder(SHAPE, RULE), _frame((40, 50), (20, 20))
    first = finder.find(frame)
    finder.find(_frame((41, 50)))
    assert finder.find(frame).peaks.tolist() == first.peaks.tolist()


def test_nothing_is_found_in_masked_or_tiny_frames() -> None:
    assert len(ZaefPeakFinder(SHAPE, RULE, mask=np.ones(SHAPE)).find(_frame((40, 50)))) == 0
    for shape in ((1, 1), (1, 40), (3, 3)):
        assert len(ZaefPeakFinder(shape, RULE).find(np.full(shape, 99, np.uint16))) == 0


def test_frame_of_nothing_but_slopes_gives_peaks_two_radii_apart() -> None:
    frame = np.random.default_rng(3).integers(0, 60000, (200, 200), dtype=np.uint16)
    rule = ZaefParameters(0.0, 0.0, 0.0, (1.0, 1.0, 1.0))
    peaks = ZaefPeakFinder((200, 200), rule).find(frame).peaks
    assert len(peaks) > 1000
    apart = np.hypot(np.subtract.outer(peaks["ss"], peaks["ss"]), np.subtract.outer(peaks["fs"], peaks["fs"]))
    assert apart[np.triu_indices(len(peaks), 1)].min() >= 2.0


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"threshold": -1}, "threshold is -1"),
        ({"min_snr": np.nan}, "min_snr is nan"),
        ({"radii_px": (4.0, 5.0)}, "radii_px is"),
        ({"radii_px": (4.0, 3.0, 7.0)}, "do not grow"),
        ({"radii_px": (0.0, 3.0, 7.0)}, "a radius"),
        ({"radii_px": (4.0, 5.0, 1e9)}, "a radius"),
        ({"max_num_peaks": 0}, "max_num_peaks"),
        ({"adu_per_photon": -1.0}, "adu_per_photon"),
    ],
)
def test_parameter_out_of_range_is_refused(options: dict[str, Any], what: str) -> None:
    with pytest.raises(UsageError, match=what):
        ZaefParameters(**options)


def test_arguments_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match="panels make a frame"):
        ZaefPeakFinder(SHAPE, RULE, layout=PanelLayout(7, 7))
    with pytest.raises(UsageError, match="frame has shape"):
        ZaefPeakFinder(SHAPE, RULE).find(np.zeros((2, 2)))
