from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from glimt.kernels.image_quality import ImageQualityAnalyzer
from glimt.kernels.panel_spots import PanelSpotFinder
from glimt.kernels.resolution import SpotResolution
from glimt.kernels.spot_filters import SpotFilter
from glimt.kernels.spots import SpotFinder
from glimt.model.detector_geometry import DetectorGeometry, Panel
from glimt.model.errors import UsageError
from glimt.model.panel_placement import PanelPlacement
from glimt.pipeline.workers.image_analysis import ImageAnalyzer
from glimt.pipeline.workers.spot_options import SpotOptions

SHAPE = (60, 90)
PLACES = (PanelPlacement(0, 0, (60, 40)), PanelPlacement(0, 40, (30, 50)), PanelPlacement(34, 42, (26, 40)))


def _frame() -> npt.NDArray[np.uint16]:
    frame = np.zeros(SHAPE, np.uint16)
    frame[10, 37:43] = 40, 50, 80, 90, 50, 40  # across the border of panels 0 and 1
    frame[31:33, 60:63] = 900  # on no panel
    frame[50, 50:54] = 60, 70, 80, 60
    return frame


def test_spots_end_where_their_panel_ends() -> None:
    table = PanelSpotFinder(SHAPE, PLACES).find(_frame())
    assert table["panel_number"].tolist() == [0, 1, 2]
    assert table["n_pixels"].tolist() == [3, 3, 4]
    assert table["fast_start"].tolist() == [37, 0, 8]
    assert table["y"].tolist() == [10.5, 10.5, 16.5]
    slow, fast = np.divmod(table.pixels, SHAPE[1])
    assert (np.diff(table.pixels) > 0).all()
    assert list(zip(slow.tolist(), fast.tolist(), table.labels.tolist(), strict=True)) == [
        *((10, x, 0) for x in (37, 38, 39)),
        *((10, x, 1) for x in (40, 41, 42)),
        *((50, x, 2) for x in (50, 51, 52, 53)),
    ]


@pytest.mark.parametrize("threshold", ["dispersion", "dispersion_extended"])
@pytest.mark.parametrize("gain", ["none", "number", "map"])
def test_every_panel_gives_what_a_frame_of_its_own_gives(threshold: Any, gain: str) -> None:
    random = np.random.default_rng(7)
    mask = random.random(SHAPE) < 0.02
    gains = {"none": None, "number": 1.5, "map": random.uniform(0.5, 2, SHAPE)}[gain]
    for dtype in ("u1", "u2", "i4", "f4"):
        frame = random.poisson(2, SHAPE)
        for y, x in random.integers(0, 60, (25, 2)):
            frame[y, x : x + 4] += random.poisson(60, 4)[: SHAPE[1] - x]
        pixels = np.minimum(frame, 250).astype(dtype)
        options: dict[str, Any] = {"threshold": threshold, "max_strong_fraction": 1.0, "sigma_background": 4.0}
        table = PanelSpotFinder(SHAPE, PLACES, mask=mask, gain=gains, **options).find(pixels)
        plain = PanelSpotFinder(SHAPE, PLACES, mask=mask, gain=gains, compiled=False, **options).find(pixels)
        np.testing.assert_array_equal(table.pixels, plain.pixels)
        assert len(table) > 3
        for number, place in enumerate(PLACES):
            own_gain = gains[place.area] if isinstance(gains, np.ndarray) else gains
            alone = SpotFinder(place.shape, mask=mask[place.area], gain=own_gain, **options).find(pixels[place.area])
            rows = table.rows[table["panel_number"] == number]
            for name in ("x", "y", "intensity", "n_pixels", "peak_slow", "slow_stop"):
                np.testing.assert_array_equal(rows[name], alone[name])


def test_filters_know_on_which_panel_a_spot_is() -> None:
    panels = [
        Panel((0.1, 0.1, 10.0 * (n + 1)), (1, 0, 0), (0, 1, 0), (0.1, 0.1), place.shape)
        for n, place in enumerate(PLACES)
    ]
    geometry = DetectorGeometry(panels, 1.0, placements=PLACES, frame_shape=SHAPE)
    resolution = SpotResolution(geometry)
    everything = PanelSpotFinder(SHAPE, PLACES).find(_frame())
    d = resolution.d_spacing(everything["x"], everything["y"], panel_number=everything["panel_number"])
    limit = float(np.sort(d)[1]) * 0.999
    table = PanelSpotFinder(SHAPE, PLACES, filter=SpotFilter(d_min=limit, resolution=resolution)).find(_frame())
    assert table["panel_number"].tolist() == np.flatnonzero(d > limit).tolist()
    untrusted = np.zeros(SHAPE, np.bool_)
    untrusted[45:55, 45:60] = True
    table = PanelSpotFinder(SHAPE, PLACES, filter=SpotFilter(untrusted=untrusted)).find(_frame())
    assert table["panel_number"].tolist() == [0, 1]
    quality = ImageQualityAnalyzer(geometry).analyze(everything.rows)
    assert quality.n_spots_total == 3


def test_frames_without_spots_give_an_empty_table() -> None:
    finder = PanelSpotFinder(SHAPE, PLACES)
    assert len(finder.find(np.zeros(SHAPE, np.uint8))) == 0
    assert len(PanelSpotFinder(SHAPE, PLACES, mask=np.ones(SHAPE)).find(_frame())) == 0
    assert len(finder.find(np.full(SHAPE, np.nan))) == 0


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(UsageError, match="no panels"):
        PanelSpotFinder(SHAPE, [])
    with pytest.raises(UsageError, match="reaches to"):
        PanelSpotFinder((50, 90), PLACES)
    with pytest.raises(UsageError, match="share pixels"):
        PanelSpotFinder(SHAPE, [PLACES[0], PLACES[0]])
    with pytest.raises(UsageError, match="connectivity is 5"):
        PanelSpotFinder(SHAPE, PLACES, connectivity=5)
    with pytest.raises(UsageError, match="gain has shape"):
        PanelSpotFinder(SHAPE, PLACES, gain=np.ones((2, 3)))
    with pytest.raises(UsageError, match="frame has shape"):
        PanelSpotFinder(SHAPE, PLACES).find(np.zeros((3, 3)))
    with pytest.raises(UsageError, match=r"6 pixels of panels 0 to 1 are strong, at most 4 make sense"):
        PanelSpotFinder(SHAPE, PLACES, max_strong_fraction=0.001).find(_frame())


def test_analyzer_takes_frames_of_modules() -> None:
    panels = [Panel((1.0, 1.0 + 4 * n, 50.0), (1, 0, 0), (0, 1, 0), (0.1, 0.1), (30, 45)) for n in range(2)]
    places = [PanelPlacement(30 * n, 0, (30, 45)) for n in range(2)]
    geometry = DetectorGeometry(panels, 1.0, placements=places)
    frame = np.random.default_rng(3).poisson(1, (60, 45)).astype(np.uint16)
    frame[10:12, 10:13] = frame[40:43, 20:22] = 200
    frame[29:31, 5:8] = 300  # two spots, as it crosses the border
    for auto in (0.0, "auto"):
        options = SpotOptions(algorithm="dispersion", global_threshold=auto, max_separation=None)
        analyzer = ImageAnalyzer(geometry, options=options)
        table = analyzer.find_spots(frame.reshape(2, 30, 45))
        assert table["panel_number"].tolist() == [0, 0, 1, 1]
        assert analyzer.analyze(frame).n_spots_total == 4
    with pytest.raises(UsageError, match="frame has shape"):
        analyzer.analyze(frame.reshape(3, 20, 45)[:2])
    with pytest.raises(UsageError, match="give placements"):
        ImageAnalyzer(DetectorGeometry(panels, 1.0))
