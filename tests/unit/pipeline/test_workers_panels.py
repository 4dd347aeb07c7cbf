"""The ready-made workers with a CrystFEL geometry file, which may have several panels."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest

from glimt.codecs.crystfel_geometry import parse_geometry
from glimt.codecs.crystfel_geometry_detector import detector_geometry
from glimt.codecs.crystfel_geometry_mask import constant_mask
from glimt.codecs.dectris_v1 import DectrisV1Image
from glimt.codecs.dectris_v1_header import DectrisV1Header
from glimt.codecs.stins import StinsImage
from glimt.kernels.azimuthal import AzimuthalIntegrator
from glimt.kernels.panel_peaks import PanelPeakfinder8
from glimt.kernels.panel_radius_map import panel_radius_map
from glimt.kernels.peakfinder8 import Peakfinder8Parameters
from glimt.kernels.resolution import SpotResolution
from glimt.model.errors import DecodeError, UsageError
from glimt.model.event import EventData
from glimt.model.parameters import WorkParameter
from glimt.pipeline.workers import AzimuthalWorker, HitFinderWorker, PerImageAnalysisWorker
from glimt.pipeline.workers.image_analysis import ImageAnalyzer, geometry_of

SHAPE = (120, 200)
CONFIG = {
    "x_pixel_size": 75e-6, "y_pixel_size": 75e-6, "beam_center_x": 98.5, "beam_center_y": 60.0, "wavelength": 1.0,
    "detector_distance": 0.03, "sensor_thickness": 0.45e-3, "sensor_material": "Si",
}  # fmt: skip
GEOMETRY = """photon_energy = 12398.42
clen = 0.03
res = 13333.333
data = /entry/data
low/min_ss = 0
low/max_ss = 59
low/min_fs = 0
low/max_fs = 199
low/corner_x = -98.5
low/corner_y = -62
low/fs = x
low/ss = y
up/min_ss = 60
up/max_ss = 119
up/min_fs = 0
up/max_fs = 199
up/corner_x = -98.5
up/corner_y = 2
up/fs = x
up/ss = 0.995y + 0.0998749 z
badcorner/panel = low
badcorner/min_fs = 0
badcorner/max_fs = 19
badcorner/min_ss = 0
badcorner/max_ss = 19
"""


def _parameters(**values: Any) -> dict[str, WorkParameter]:
    return {
        name: WorkParameter(name, value if isinstance(value, bytes) else str(value).encode(), value)
        for name, value in values.items()
    }


def _frame() -> npt.NDArray[np.uint16]:
    random = np.random.default_rng(1)
    frame = random.poisson(0.9, SHAPE)
    for slow, fast in zip(random.integers(3, 117, 50), random.integers(3, 197, 50), strict=True):
        frame[slow - 1 : slow + 2, fast - 1 : fast + 2] += random.poisson(60, (3, 3))
    return frame.astype(np.uint16)


def _started(worker: Any, **changes: Any) -> Any:
    header = DectrisV1Header.make(series=1, config=CONFIG | changes)
    assert worker.process_event(EventData(0, {"eiger": header.to_stream_data()}), {}) is None
    return worker


def _event(frame: npt.NDArray[Any]) -> EventData:
    return EventData(1, {"eiger": DectrisV1Image.make(frame, series=1, frame=0).to_stream_data()})


def test_panels_are_integrated_and_bad_regions_left_out() -> None:
    frame = _frame()
    record = parse_geometry(GEOMETRY)
    detector = detector_geometry(record, frame_shape=SHAPE)
    expected = AzimuthalIntegrator(detector, 50, mask=constant_mask(record, detector)).integrate(frame)
    found = _started(AzimuthalWorker()).process_event(
        _event(frame), _parameters(geometry=GEOMETRY.encode(), radial_bins=50)
    )
    np.testing.assert_array_equal(found["intensity"], expected.intensity)
    assert expected.n_pixels.sum() == SHAPE[0] * SHAPE[1] - 400


def test_statistics_are_those_of_panels() -> None:
    frame, record = _frame(), parse_geometry(GEOMETRY)
    detector = detector_geometry(record, frame_shape=SHAPE)
    geometry = geometry_of(detector, sensor_thickness_m=0.45e-3, sensor_material="Si")
    assert geometry.panels[1].absorption_per_mm > 1
    expected = ImageAnalyzer(geometry, mask=constant_mask(record, detector)).analyze(frame)
    worker = _started(PerImageAnalysisWorker())
    found = worker.process_event(_event(frame), _parameters(geometry=GEOMETRY.encode()))
    assert found == dataclasses.asdict(expected)
    assert 30 <= expected.n_spots_total <= 50
    flat = worker.process_event(_event(frame), {})
    assert flat is not None
    assert flat["estimated_d_min"] != found["estimated_d_min"]


def test_header_of_the_detector_fills_in_camera_length_and_wavelength() -> None:
    text = GEOMETRY.replace("clen = 0.03", "clen = /distance").replace("photon_energy = 12398.42\n", "")
    worker = _started(AzimuthalWorker())
    given = worker.process_event(_event(_frame()), _parameters(geometry=GEOMETRY.encode()))
    filled = worker.process_event(_event(_frame()), _parameters(geometry=text.encode()))
    np.testing.assert_allclose(filled["radial_axis"], given["radial_axis"], rtol=1e-6)
    far = _started(AzimuthalWorker(), detector_distance=0.3).process_event(
        _event(_frame()), _parameters(geometry=text.encode())
    )
    assert far["radial_axis"].max() < 0.2 * given["radial_axis"].max()


def test_geometry_that_cannot_be_is_explained() -> None:
    worker = _started(AzimuthalWorker())
    with pytest.raises(UsageError, match="both say where pixels are"):
        worker.process_event(_event(_frame()), _parameters(geometry=GEOMETRY.encode(), poni=b"Distance: 1"))
    with pytest.raises(DecodeError, match="parameter 'geometry': not text"):
        worker.process_event(_event(_frame()), _parameters(geometry=b"\xff\xfe"))
    with pytest.raises(DecodeError, match="line 3, res"):
        worker.process_event(_event(_frame()), _parameters(geometry=GEOMETRY.replace("13333.333", "high").encode()))
    with pytest.raises(DecodeError, match=r"reaches to \(120, 200\) px, frames to \(100, 200\)"):
        worker.process_event(_event(_frame()[:100]), _parameters(geometry=GEOMETRY.encode()))


def _kept(found: Any, name: str) -> npt.NDArray[Any]:
    kept: npt.NDArray[Any] = found[f"peak_{name}"][: found["n_peaks"]]
    return kept


def test_hits_are_found_panel_by_panel_with_their_resolution() -> None:
    frame, record = _frame(), parse_geometry(GEOMETRY)
    frame[58:62, 150:153] = 500  # across the border of the panels
    detector = detector_geometry(record, frame_shape=SHAPE)
    rule = Peakfinder8Parameters(10.0, 5.0, max_num_peaks=256)
    finder = PanelPeakfinder8(
        panel_radius_map(detector, truncated=True),
        detector.placements,
        rule,
        mask=constant_mask(record, detector),
    )
    expected = finder.find(frame)
    worker = _started(HitFinderWorker())
    found = worker.process_event(_event(frame), _parameters(geometry=GEOMETRY.encode()))
    assert found["n_peaks"] == expected.n_found >= 20
    for name in ("fs", "ss", "intensity"):
        np.testing.assert_array_equal(_kept(found, name), expected.peaks[name].astype(np.float32))
    panel = _kept(found, "panel")
    assert (panel == (_kept(found, "ss") >= 60)).all()
    assert found["peak_panel"][found["n_peaks"] :].tolist() == [-1] * (256 - found["n_peaks"])
    assert np.isnan(found["peak_d"][found["n_peaks"] :]).all()
    placed = geometry_of(detector, sensor_thickness_m=0.45e-3, sensor_material="Si")
    spacing = SpotResolution(placed, parallax=True).d_spacing(
        expected.peaks["fs"] + 0.5, expected.peaks["ss"] + 0.5 - 60 * panel, panel_number=panel
    )
    np.testing.assert_allclose(_kept(found, "d"), spacing, rtol=1e-6)
    across = (np.abs(_kept(found, "fs") - 151) < 2) & (np.abs(_kept(found, "ss") - 59.5) < 3)
    assert sorted(panel[across]) == [0, 1]
    flat = worker.process_event(_event(frame), {})
    assert "peak_panel" not in flat
    assert not ((_kept(found, "ss") < 20) & (_kept(found, "fs") < 20)).any()
    assert ((_kept(flat, "ss") < 20) & (_kept(flat, "fs") < 20)).any()


@pytest.mark.parametrize("worker", [HitFinderWorker, PerImageAnalysisWorker, AzimuthalWorker])
def test_masks_in_files_of_their_own_are_opened(worker: type, tmp_path: Path) -> None:
    plane = np.zeros(SHAPE, np.uint8)
    plane[60:] = 1
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["mask"] = plane
    np.save(tmp_path / "m.npy", plane)
    named = f"mask = /mask\nmask_bad = 1\nmask_file = {tmp_path / 'm.h5'}\n" + GEOMETRY
    started, event = _started(worker()), _event(_frame())
    found = started.process_event(event, _parameters(geometry=named.encode()))
    wanted = started.process_event(event, _parameters(geometry=GEOMETRY.encode(), mask=str(tmp_path / "m.npy")))
    unmasked = started.process_event(event, _parameters(geometry=GEOMETRY.encode()))
    np.testing.assert_equal(found, wanted)
    with pytest.raises(AssertionError):
        np.testing.assert_equal(found, unmasked)
    without = named.replace("mask_file", "; mask_file")  # in the file of the images, and a stream has none
    np.testing.assert_equal(started.process_event(event, _parameters(geometry=without.encode())), unmasked)
    for wrong, told in ((named.replace("m.h5", "no.h5"), "no.h5: there is no such file"),
                        (named.replace("/mask", "/none"), "there is no dataset '/none'")):  # fmt: skip
        with pytest.raises(UsageError, match=told):
            started.process_event(event, _parameters(geometry=wrong.encode()))


def test_modules_of_a_stream_lie_below_each_other() -> None:
    frame = _frame()
    text = GEOMETRY.replace("data = /entry/data\n", "data = /entry/data\ndim0 = %\ndim2 = ss\ndim3 = fs\n")
    text = text.replace("low/fs", "low/dim1 = 0\nlow/fs").replace("up/fs", "up/dim1 = 1\nup/fs")
    text = text.replace("up/min_ss = 60", "up/min_ss = 0").replace("up/max_ss = 119", "up/max_ss = 59")
    image = StinsImage(msg_number=1, frame=0, shape=[2, 60, 200], type="uint16", compression="none")
    image.data = frame.reshape(2, 60, 200)
    event = EventData(1, {"jungfrau": image.to_stream_data()})
    for worker in (HitFinderWorker, PerImageAnalysisWorker, AzimuthalWorker):
        found = worker().process_event(event, _parameters(geometry=text.encode()))
        flat = worker().process_event(
            EventData(1, {"eiger": DectrisV1Image.make(frame, series=1, frame=0).to_stream_data()}),
            _parameters(geometry=GEOMETRY.encode()),
        )
        np.testing.assert_equal(found, flat)
    with pytest.raises(UsageError, match=r"frames of shape \(2, 60, 200\) have modules: set the parameter 'geometry'"):
        HitFinderWorker().process_event(event, {})


def test_flagged_pixels_of_a_frame_are_in_no_peak_and_saturated_ones_are() -> None:
    frame = np.zeros(SHAPE, np.uint16) + np.random.default_rng(2).poisson(0.9, SHAPE).astype(np.uint16)
    frame[30, 100:103] = 400
    worker, quiet = _started(HitFinderWorker()), _frame() * 0
    for text, n_peaks in (("", 1), ("flag_morethan = 300\n", 0), ("max_adu = 300\n", 1)):
        parameters = _parameters(geometry=(text + GEOMETRY).encode())
        assert worker.process_event(_event(quiet), parameters)["n_peaks"] == 0
        assert worker.process_event(_event(frame), parameters)["n_peaks"] == n_peaks
