from __future__ import annotations

import math
from typing import Any

import pytest

from glimt.model.detector_geometry import DetectorGeometry, Panel
from glimt.model.errors import UsageError
from glimt.model.geometry import Detector, Poni

FLAT: dict[str, Any] = {
    "origin_mm": (-50.0, -60.0, 200.0),
    "fast": (2.0, 0.0, 0.0),
    "slow": (0.0, 1.0, 0.0),
    "pixel_size_mm": (0.1, 0.2),
    "shape": (10, 20),
}


def test_axes_are_kept_as_directions() -> None:
    panel = Panel(**FLAT)
    assert panel.fast == (1.0, 0.0, 0.0)
    assert panel.normal == (0.0, 0.0, 1.0)
    assert panel.distance_mm == 200.0


def test_normal_points_away_from_the_sample_however_the_axes_turn() -> None:
    assert Panel(**FLAT | {"slow": (0.0, -1.0, 0.0)}).normal == (0.0, 0.0, 1.0)
    assert Panel(**FLAT | {"origin_mm": (0, 0, -3)}).normal == (0.0, 0.0, -1.0)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"origin_mm": (0.0, 0.0, 0.0)}, "goes through the sample"),
        ({"origin_mm": (0.0, 0.0)}, "three numbers"),
        ({"origin_mm": (0.0, 0.0, math.nan)}, "finite"),
        ({"fast": (0.0, 0.0, 0.0)}, "a direction is needed"),
        ({"fast": (1e200, 1e200, 0.0)}, "right angles"),
        ({"fast": (1.0, 0.01, 0.0)}, "right angles"),
        ({"pixel_size_mm": (0.1, 0.0)}, "pixel_size_mm is 0"),
        ({"pixel_size_mm": 0.1}, "pairs"),
        ({"shape": (0, 3)}, "panel shape is"),
        ({"shape": (1 << 40, 3)}, "panel shape is"),
        ({"sensor_thickness_mm": -1.0}, "sensor_thickness_mm is -1"),
        ({"absorption_per_mm": math.nan}, "absorption_per_mm is nan"),
    ],
)
def test_panel_that_cannot_be_is_refused(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        Panel(**FLAT | change)


@pytest.mark.parametrize(
    ("panels", "wavelength", "beam", "complaint"),
    [
        ([], 1.0, (0, 0, 1), "0 panels"),
        ([Panel(**FLAT)], 0.0, (0, 0, 1), "wavelength_angstrom is 0"),
        ([Panel(**FLAT)], math.nan, (0, 0, 1), "wavelength_angstrom is nan"),
        ([Panel(**FLAT)], "blue", (0, 0, 1), "wavelength_angstrom is 'blue'"),
        ([Panel(**FLAT)], 1.0, (0, 0, 0), "beam has the length 0"),
    ],
)
def test_detector_that_cannot_be_is_refused(panels: Any, wavelength: Any, beam: Any, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        DetectorGeometry(panels, wavelength, beam)


def test_poni_without_wavelength_or_shape_is_refused() -> None:
    with pytest.raises(UsageError, match="no wavelength"):
        DetectorGeometry.from_poni(Poni(Detector(1e-4, 1e-4, (10, 10)), 0.1, 0.0, 0.0))
    with pytest.raises(UsageError, match="how many pixels"):
        DetectorGeometry.from_poni(Poni(Detector(1e-4, 1e-4), 0.1, 0.0, 0.0, wavelength=1e-10))
