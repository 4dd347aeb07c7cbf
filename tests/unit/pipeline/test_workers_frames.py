"""The ready-made workers on frames of several protocols."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from glimt.codecs.dectris_v1 import DectrisV1Image
from glimt.codecs.dectris_v1_header import DectrisV1Header
from glimt.codecs.stins import StinsImage, StinsStart
from glimt.kernels.azimuthal import AzimuthalIntegrator
from glimt.kernels.image_quality import ImageQuality
from glimt.model.errors import DecodeError, UsageError
from glimt.model.event import EventData, StreamData
from glimt.model.geometry import Detector, Poni
from glimt.model.parameters import WorkParameter
from glimt.model.poni_text import parse_poni
from glimt.pipeline.workers import AzimuthalWorker, HitFinderWorker, PerImageAnalysisWorker, RegionsWorker
from glimt.pipeline.workers.hits import beam_center_px
from glimt.pipeline.workers.image_analysis import ImageAnalyzer, geometry_of

SHAPE = (240, 200)
CONFIG = {
    "x_pixel_size": 75e-6, "y_pixel_size": 75e-6, "beam_center_x": 98.5, "beam_center_y": 121.0, "wavelength": 1.0,
    "detector_distance": 0.03, "sensor_thickness": 0.45e-3, "sensor_material": "Si",
    "countrate_correction_count_cutoff": 50000,
}  # fmt: skip
PONI = b"""poni_version: 2
Detector: Detector
Detector_config: {"pixel1": 75e-6, "pixel2": 75e-6, "max_shape": [240, 200]}
Distance: 0.03
Poni1: 0.009075
Poni2: 0.0073875
Rot1: 0
Rot2: 0
Rot3: 0
Wavelength: 1e-10
"""


def _spots_frame(seed: int = 1, n_spots: int = 60) -> npt.NDArray[np.uint16]:
    random = np.random.default_rng(seed)
    frame = random.poisson(0.9, SHAPE)
    for slow, fast in zip(random.integers(5, 235, n_spots), random.integers(5, 195, n_spots), strict=True):
        frame[slow - 1 : slow + 2, fast - 1 : fast + 2] += random.poisson(60, (3, 3))
    frame[100:104] = 65535  # a gap between modules
    return frame.astype(np.uint16)


def _parameters(**values: Any) -> dict[str, WorkParameter]:
    return {
        name: WorkParameter(name, value if isinstance(value, bytes) else str(value).encode(), value)
        for name, value in values.items()
    }


def _event(frame: npt.NDArray[Any], number: int = 1, name: str = "eiger") -> EventData:
    return EventData(number, {name: DectrisV1Image.make(frame, series=1, frame=number - 1).to_stream_data()})


def _start(**changes: Any) -> EventData:
    header = DectrisV1Header.make(series=1, config=CONFIG | changes)
    return EventData(0, {"eiger": header.to_stream_data()})


def _stins(frame: npt.NDArray[Any]) -> EventData:
    image = StinsImage(msg_number=1, frame=0, shape=list(frame.shape), type=frame.dtype.name, compression="none")
    image.data = frame
    return EventData(1, {"xrd": image.to_stream_data()})


def test_the_statistics_are_those_of_the_kernels_with_the_geometry_of_the_header() -> None:
    worker, frame = PerImageAnalysisWorker(), _spots_frame()
    assert worker.process_event(_start(), {}) is None
    found = worker.process_event(_event(frame), {})
    poni = Poni(Detector(75e-6, 75e-6, SHAPE), 0.03, 121.0 * 75e-6, 98.5 * 75e-6, wavelength=1e-10)
    geometry = geometry_of(poni, sensor_thickness_m=0.45e-3, sensor_material="Si")
    assert geometry.panels[0].absorption_per_mm > 1
    expected = ImageAnalyzer(geometry, mask=frame == 65535, saturation_value=50000).analyze(frame)
    assert found == dataclasses.asdict(expected)
    assert set(found or ()) == {field.name for field in dataclasses.fields(ImageQuality)}
    assert 40 <= expected.n_spots_total <= 60


def test_options_change_what_is_found_at_once() -> None:
    worker, frame = PerImageAnalysisWorker(), _spots_frame()
    worker.process_event(_start(), {})
    many = worker.process_event(_event(frame), _parameters(spots=""))
    few = worker.process_event(_event(frame), _parameters(spots="min_spot_size=9 d_min=1.5"))
    again = worker.process_event(_event(frame), _parameters(spots=""))
    assert many is not None
    assert few is not None
    assert 0 < few["n_spots_total"] < many["n_spots_total"]
    assert again == many


def test_a_new_series_brings_its_own_geometry() -> None:
    worker, frame = PerImageAnalysisWorker(), _spots_frame()
    worker.process_event(_start(), {})
    near = worker.process_event(_event(frame), {})
    worker.process_event(_start(detector_distance=0.3), {})
    far = worker.process_event(_event(frame), {})
    assert near is not None
    assert far is not None
    assert far["n_spots_4A"] > near["n_spots_4A"]
    assert far["n_spots_total"] == near["n_spots_total"]


def test_another_protocol_needs_a_poni_file_and_says_so() -> None:
    worker, frame = PerImageAnalysisWorker(), _spots_frame()
    assert (
        worker.process_event(EventData(0, {"xrd": StinsStart(msg_number=0, filename="").to_stream_data()}), {}) is None
    )
    with pytest.raises(UsageError, match="distance_m: set the parameter 'poni'"):
        worker.process_event(_stins(frame), {})
    found = worker.process_event(_stins(frame), _parameters(poni=PONI))
    assert found is not None
    assert found["n_spots_total"] >= 40


@pytest.mark.parametrize(
    ("parameters", "error", "text"),
    [
        ({"poni": b"\xff\xfe"}, DecodeError, "not text"),
        ({"poni": b"nothing"}, DecodeError, "not a PONI file"),
        ({"poni": PONI.replace(b"[240, 200]", b"[100, 100]")}, UsageError, "these have"),
        ({"poni": PONI.replace(b"Wavelength: 1e-10", b"")}, UsageError, "wavelength"),
        ({"poni": PONI, "mask": "missing.npy"}, UsageError, "missing.npy"),
        ({"poni": PONI, "spots": "sigma=3"}, UsageError, "sigma_strong"),
        ({"poni": PONI, "spots": "sigma_strong=much"}, UsageError, "a number is needed"),
    ],
)
def test_wrong_parameters_are_told(parameters: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        PerImageAnalysisWorker().process_event(_stins(_spots_frame()), _parameters(**parameters))


def test_two_detectors_need_a_choice() -> None:
    frame, worker = _spots_frame(), PerImageAnalysisWorker()
    event = _stins(frame)
    event.streams["eiger"] = _event(frame).streams["eiger"]
    with pytest.raises(UsageError, match="eiger, xrd all have frames"):
        worker.process_event(event, _parameters(poni=PONI))
    assert worker.process_event(event, _parameters(poni=PONI, stream="xrd")) is not None
    assert worker.process_event(event, _parameters(poni=PONI, stream="other")) is None


def test_other_streams_are_not_looked_at() -> None:
    event = _event(_spots_frame())
    event.streams["motors"] = StreamData("unheard-of", [b"\x00"])
    worker = PerImageAnalysisWorker()
    worker.process_event(_start(), {})
    assert worker.process_event(event, {}) is not None


def test_a_damaged_frame_fails_its_event_only() -> None:
    worker, event = PerImageAnalysisWorker(), _event(_spots_frame())
    worker.process_event(_start(), {})
    event.streams["eiger"].frames[2] = event.streams["eiger"].frames[2][:-20]
    with pytest.raises(DecodeError, match="dectris-v1 image, part 2"):
        worker.process_event(event, {})
    assert worker.process_event(_event(_spots_frame()), {}) is not None


def test_integration_equals_the_kernel_and_leaves_gaps_out() -> None:
    frame, poni = _spots_frame(), parse_poni(PONI.decode())
    found = AzimuthalWorker().process_event(_stins(frame), _parameters(poni=PONI, radial_bins=50))
    kernel = AzimuthalIntegrator(poni, 50, mask=frame == 65535)
    assert found is not None
    np.testing.assert_array_equal(found["intensity"], kernel.integrate(frame).intensity)
    np.testing.assert_array_equal(found["radial_axis"], kernel.radial_axis)
    assert np.nanmax(found["intensity"]) < 1000
    sectors = AzimuthalWorker().process_event(_stins(frame), _parameters(poni=PONI, radial_bins=50, azimuth_bins=8))
    assert sectors is not None
    assert sectors["intensity"].shape == (8, 50)
    assert sectors["azimuth_axis"].shape == (8,)


def test_regions_are_added_up_by_name(tmp_path: Path) -> None:
    frame, mask = _spots_frame(), np.zeros(SHAPE, np.uint8)
    mask[10, 10] = 1
    np.save(tmp_path / "mask.npy", mask)
    regions = (
        '[{"name": "a", "slow": [10, 20], "fast": [10, 12]}, {"name": "b", "center": [50, 50], "radius": [0, 10]},'
        ' {"name": "gap", "corners": [[100, 0], [104, 0], [104, 200], [100, 200]]}]'
    )
    found = RegionsWorker().process_event(_stins(frame), _parameters(regions=regions, mask=str(tmp_path / "mask.npy")))
    assert found is not None
    assert found["a/total"] == frame[10:20, 10:12].sum() - frame[10, 10]
    assert found["a/mean"] == pytest.approx(found["a/total"] / 19)
    slow, fast = np.ogrid[:240, :200]
    disc = (slow + 0.5 - 50) ** 2 + (fast + 0.5 - 50) ** 2 < 100
    assert found["b/total"] == frame[disc].sum()
    assert found["gap/total"] == 0
    assert np.isnan(found["gap/mean"])


@pytest.mark.parametrize(
    ("regions", "text"),
    [
        ("[]", "there are no regions"),
        ("{", "cannot be read"),
        ('[{"name": "a"}]', "rectangle"),
        ('[{"name": "a/b", "slow": [0, 1], "fast": [0, 1]}]', "letters"),
        ('[{"name": "a", "slow": [0, 1], "fast": [0, 1], "radius": [0, 1]}]', "rectangle"),
        ('[{"name": "a", "slow": [5, 1], "fast": [0, 1]}]', "ends before it starts"),
        ('[{"name": "a", "slow": [0, 1], "fast": [0, 1]}, {"name": "a", "slow": [0, 1], "fast": [0, 1]}]', "same name"),
        ("[" * 100_000, "cannot be read"),
    ],
)
def test_regions_that_are_none_are_told(regions: str, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        RegionsWorker().process_event(_stins(_spots_frame()), _parameters(regions=regions))


def test_hits_are_frames_with_enough_peaks() -> None:
    worker = HitFinderWorker()
    values = {"poni": PONI, "adc_threshold": 15.0, "max_num_peaks": 20, "min_num_peaks_for_hit": 25}
    hit = worker.process_event(_stins(_spots_frame()), _parameters(**values))
    blank = worker.process_event(_stins(_spots_frame(n_spots=0)), _parameters(**values))
    assert hit is not None
    assert blank is not None
    assert (hit["is_hit"], blank["is_hit"]) == (True, False)
    assert hit["n_peaks"] >= 25
    assert blank["n_peaks"] == 0
    assert np.isfinite(hit["peak_fs"]).sum() == 20
    assert np.isnan(blank["peak_intensity"]).all()
    assert hit["peak_ss"].dtype == np.float32


def test_the_beam_of_a_tilted_detector_hits_beside_the_point_of_normal_incidence() -> None:
    flat = Poni(Detector(1e-4, 2e-4, (1000, 1000)), 0.1, 0.02, 0.03)
    assert beam_center_px(flat) == pytest.approx((200.0, 150.0))
    pyfai = pytest.importorskip("pyFAI.integrator.azimuthal", reason="pyFAI is not here")
    for rot1, rot2 in ((0.2, 0.0), (0.0, -0.3), (0.1, 0.25)):
        peer = pyfai.AzimuthalIntegrator(
            dist=0.1, poni1=0.02, poni2=0.03, rot1=rot1, rot2=rot2, rot3=0.4, pixel1=1e-4, pixel2=2e-4
        ).getFit2D()
        tilted = Poni(Detector(1e-4, 2e-4, (1000, 1000)), 0.1, 0.02, 0.03, rot1=rot1, rot2=rot2, rot3=0.4)
        assert beam_center_px(tilted) == pytest.approx((peer["centerY"], peer["centerX"]), rel=1e-9)
    with pytest.raises(UsageError, match="does not hit"):
        beam_center_px(Poni(Detector(1e-4, 2e-4, (1000, 1000)), 0.1, 0.02, 0.03, rot1=2.0))


def test_descriptions_have_defaults_that_work() -> None:
    for worker in (PerImageAnalysisWorker, AzimuthalWorker, RegionsWorker, HitFinderWorker):
        described = {one.name: one.default for one in worker.describe_parameters()}
        assert set(described) >= {"stream", "poni", "mask"}
        values = (
            described
            | {"poni": PONI}
            | ({"regions": '[{"name": "a", "slow": [0, 1], "fast": [0, 1]}]'} if "regions" in described else {})
        )
        assert worker().process_event(_stins(_spots_frame()), _parameters(**values)) is not None


def test_masks_of_the_header_are_used() -> None:
    frame, table = _spots_frame(), np.zeros(SHAPE, np.uint32)
    table[:, :100] = 1
    tables: dict[Any, npt.NDArray[Any]] = {
        "dpixelmask-1.0": table,
        "dflatfield-1.0": np.ones(SHAPE, np.float32),
        "dcountrate_table-1.0": np.zeros((2, 4), np.float32),
    }
    start = EventData(0, {"eiger": DectrisV1Header.make(series=1, config=CONFIG, tables=tables).to_stream_data()})
    whole, half = PerImageAnalysisWorker(), PerImageAnalysisWorker()
    whole.process_event(_start(), {})
    half.process_event(start, {})
    all_of_it, part = whole.process_event(_event(frame), {}), half.process_event(_event(frame), {})
    assert all_of_it is not None
    assert part is not None
    assert 0 < part["n_spots_total"] < 0.7 * all_of_it["n_spots_total"]
