from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from glimt.codecs.crystfel_geometry import parse_geometry
from glimt.codecs.crystfel_geometry_detector import detector_geometry
from glimt.kernels.panel_radius_map import panel_radius_map
from glimt.kernels.radius_map import flat_radius_map
from glimt.model.detector_geometry import DetectorGeometry, Panel
from glimt.model.errors import UsageError
from glimt.model.geometry import Detector, Poni
from glimt.model.panel_placement import PanelPlacement

SHAPE = (40, 50)


@pytest.mark.parametrize("truncated", [True, False])
@pytest.mark.parametrize("center", [(20.0, 25.0), (18.3, 24.9), (-7.25, 60.5)])
def test_a_flat_detector_has_the_radii_of_the_flat_map(center: tuple[float, float], truncated: bool) -> None:
    poni = Poni(Detector(75e-6, 75e-6, SHAPE), 0.1, center[0] * 75e-6, center[1] * 75e-6, wavelength=1e-10)
    found = panel_radius_map(DetectorGeometry.from_poni(poni), truncated=truncated)
    np.testing.assert_allclose(found, flat_radius_map(SHAPE, center, truncated=truncated), rtol=1e-6, atol=1e-6)


def test_whole_numbers_of_a_geometry_file_are_cut_as_they_are_written() -> None:
    """Corners go over millimeters and back, which must not make 2.9999999 of 3."""
    for resolution in ("13333.3", "5814.0", "18181.818"):
        text = f"photon_energy = 9000\nclen = 0.1\nres = {resolution}\np/min_fs = 0\np/max_fs = 30\np/min_ss = 0\n"
        text += "p/max_ss = 20\np/corner_x = 7\np/corner_y = -11\np/fs = -x\np/ss = y\n"
        found = panel_radius_map(detector_geometry(parse_geometry(text)), truncated=True)
        ss, fs = np.mgrid[:21, :31]
        np.testing.assert_array_equal(found, np.hypot(7 - fs, ss - 11).astype(np.float32))


def test_radii_are_those_of_tilted_panels_at_right_angles_to_the_beam() -> None:
    tilt = np.deg2rad(30)
    slow = (0.0, float(np.cos(tilt)), float(np.sin(tilt)))
    panels = [
        Panel((1.0, 2.0, 100.0), (1.0, 0.0, 0.0), slow, (0.1, 0.1), (10, 12)),
        Panel((-3.0, 0.0, 90.0), (0.0, -1.0, 0.0), (1.0, 0.0, 0.0), (0.2, 0.1), (5, 6)),
    ]
    places = [PanelPlacement(0, 0, (10, 12)), PanelPlacement(12, 3, (5, 6))]
    detector = DetectorGeometry(panels, 1.0, placements=places, frame_shape=(20, 13))
    found = panel_radius_map(detector)
    assert found[4, 6] == pytest.approx(np.hypot(10 + 6.5, 20 + 4.5 * np.cos(tilt)), rel=1e-6)
    assert found[12 + 2, 3 + 1] == pytest.approx(np.hypot(-30 + 2 * 2.5, -1.5), rel=1e-6)
    assert np.isnan(found).sum() == 20 * 13 - 120 - 30
    # The whole set-up turned, beam and all: nothing changes.
    turn = np.array([[0, 0, 1.0], [1, 0, 0], [0, 1, 0]])

    def turned(vector: object) -> tuple[float, float, float]:
        x, y, z = (float(part) for part in turn @ np.array(vector))
        return x, y, z

    moved = [replace(p, origin_mm=turned(p.origin_mm), fast=turned(p.fast), slow=turned(p.slow)) for p in panels]
    other = replace(
        detector, panels=moved, beam=turned((0, 0, 1)), horizontal=turned((1, 0, 0)), vertical=turned((0, 1, 0))
    )
    np.testing.assert_allclose(panel_radius_map(other), found, rtol=1e-6)


def test_panels_that_nobody_placed_are_an_error() -> None:
    panel = Panel((1.0, 2.0, 100.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.1, 0.1), (10, 12))
    with pytest.raises(UsageError, match="nobody says where in a frame"):
        panel_radius_map(DetectorGeometry([panel, panel], 1.0))
