from __future__ import annotations

import itertools
import time
from typing import Any

import numpy as np
import pytest

from glimt.model.detector_geometry import DetectorGeometry, Panel
from glimt.model.errors import UsageError
from glimt.model.panel_placement import PanelPlacement, checked_frame_shape

FLAT: dict[str, Any] = {
    "origin_mm": (-50.0, -60.0, 200.0),
    "fast": (2.0, 0.0, 0.0),
    "slow": (0.0, 1.0, 0.0),
    "pixel_size_mm": (0.1, 0.2),
    "shape": (10, 20),
}


def test_one_panel_fills_its_frames() -> None:
    assert DetectorGeometry([Panel(**FLAT)], 1.0).layout() == ((10, 20), (PanelPlacement(0, 0, (10, 20)),))


def test_several_panels_are_laid_out_only_if_somebody_says_how() -> None:
    panels = [Panel(**FLAT)] * 2
    with pytest.raises(UsageError, match="give placements"):
        DetectorGeometry(panels, 1.0).layout()
    places = [PanelPlacement(0, 4, (10, 20)), PanelPlacement(12, 0, (10, 20))]
    geometry = DetectorGeometry(panels, 1.0, placements=places)
    assert geometry.frame_shape == (22, 24)
    assert geometry.placements[1].area == (slice(12, 22), slice(0, 20))
    assert DetectorGeometry(panels, 1.0, placements=places, frame_shape=(30, 30)).frame_shape == (30, 30)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"placements": [PanelPlacement(0, 0, (10, 20))]}, "1 placements do not fit 2 panels"),
        ({"placements": [PanelPlacement(0, 0, (10, 20)), PanelPlacement(10, 0, (9, 20))]}, "own shape"),
        ({"placements": [PanelPlacement(0, 0, (10, 20)), PanelPlacement(9, 19, (10, 20))]}, "panels 0 and 1 share"),
        ({"frame_shape": (10, 20)}, "give placements"),
        ({"horizontal": (0, 0, 1)}, "in one plane"),
        ({"vertical": (0, 0, 0)}, "vertical has the length 0"),
    ],
)
def test_layout_that_cannot_be_is_refused(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        DetectorGeometry([Panel(**FLAT)] * 2, 1.0, **options)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((-1, 0, (3, 3)), "slow_start is -1"),
        ((0, 0.5, (3, 3)), r"fast_start is 0\.5"),
        ((0, 0, (3,)), "a panel's shape"),
        ((0, 0, (0, 3)), "panel shape is 0"),
        ((0, 0, ("a", 3)), "a whole number"),
    ],
)
def test_placement_that_cannot_be_is_refused(arguments: Any, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        PanelPlacement(*arguments)


def _is_refused(places: list[PanelPlacement]) -> bool:
    try:
        checked_frame_shape(places, None)
    except UsageError:
        return True
    return False


def test_shared_pixels_are_found_wherever_they_are() -> None:
    random = np.random.default_rng(1)
    n_shared = 0
    for _ in range(400):
        n_panels = int(random.integers(2, 9))
        starts, sizes = random.integers(0, 14, (n_panels, 2)), random.integers(1, 7, (n_panels, 2))
        places = [
            PanelPlacement(int(a), int(b), (int(h), int(w))) for (a, b), (h, w) in zip(starts, sizes, strict=True)
        ]
        painted = np.zeros((40, 40), int)
        for place in places:
            painted[place.area] += 1
        shared = bool((painted > 1).any())
        assert _is_refused(places) == shared
        n_shared += shared
    assert 50 < n_shared < 390


def test_many_panels_are_checked_soon() -> None:
    places = [PanelPlacement(4 * j, 4 * k, (4, 4)) for j, k in itertools.product(range(200), range(300))]
    started = time.monotonic()
    assert checked_frame_shape(places, None) == (800, 1200)
    assert time.monotonic() - started < 5
    with pytest.raises(UsageError, match="frames of"):
        checked_frame_shape([PanelPlacement(1 << 19, 0, (1 << 19, 1 << 19))], None)
    with pytest.raises(UsageError, match="frame_shape is 5"):
        checked_frame_shape(places, 5)  # type: ignore[arg-type]  # what a user may try
