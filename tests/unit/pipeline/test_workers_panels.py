"""The ready-made workers with a CrystFEL geometry file, which may have several panels."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from glimt.codecs.crystfel_geometry import parse_geometry
from glimt.codecs.crystfel_geometry_detector import detector_geometry
from glimt.codecs.crystfel_geometry_mask import constant_mask
from glimt.codecs.dectris_v1 import DectrisV1Image
from glimt.codecs.dectris_v1_header import DectrisV1Header
from glimt.kernels.azimuthal import AzimuthalIntegrator
from glimt.model.errors import DecodeError, UsageError
from glimt.model.event import EventData
from glimt.model.parameters import WorkParameter
from glimt.pipeline.workers import AzimuthalWorker, PerImageAnalysisWorker
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
