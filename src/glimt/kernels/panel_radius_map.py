"""How far each pixel of a detector of several panels is from the beam, in pixels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from glimt.model.detector_geometry import DetectorGeometry, Panel

Vector = npt.NDArray[np.float64]

_DECIMALS = 6
"""Positions are rounded so [px] before they are cut: the way over millimeters and back leaves 2.9999999 of 3."""


def panel_radius_map(geometry: DetectorGeometry, *, truncated: bool = False) -> npt.NDArray[np.float32]:
    """Return the distance of every pixel of a frame from the beam, at right angles to it.

    Parameters
    ----------
    geometry : DetectorGeometry
        Panels that are placed in one array.
    truncated : bool
        True measures as CrystFEL's peakfinder8 does: from the pixel's corner, horizontal and vertical distance both cut
        to whole pixels. False measures from the middle of the pixel.

    Returns
    -------
    ndarray
        (slow, fast) float32 [px, as long as a pixel of the panel along its fast axis]; NaN on no panel.

    Raises
    ------
    UsageError
        It is not known where in a frame the panels are.
    """
    shape, placements = geometry.layout()
    axes = _across(geometry)
    radius: npt.NDArray[np.float32] = np.full(shape, np.nan, np.float32)
    for panel, place in zip(geometry.panels, placements, strict=True):
        radius[place.area] = _panel_radius(panel, axes, truncated=truncated)
    return radius


def _across(geometry: DetectorGeometry) -> tuple[Vector, Vector]:
    """Return unit vectors at right angles to the beam: the horizontal one, and the one at right angles to it."""
    beam, horizontal = np.array(geometry.beam), np.array(geometry.horizontal)
    horizontal = horizontal - (horizontal @ beam) * beam
    horizontal /= np.linalg.norm(horizontal)
    return horizontal, np.cross(beam, horizontal)


def _panel_radius(panel: Panel, axes: tuple[Vector, Vector], *, truncated: bool) -> npt.NDArray[np.float64]:
    slow_mm, fast_mm = panel.pixel_size_mm
    middle = 0.0 if truncated else 0.5
    slow = (np.arange(panel.shape[0]) + middle)[:, np.newaxis] * (slow_mm / fast_mm)
    fast = np.arange(panel.shape[1]) + middle
    squared = np.zeros(panel.shape)
    for axis in axes:
        origin, along_slow, along_fast = (float(np.dot(v, axis)) for v in (panel.origin_mm, panel.slow, panel.fast))
        distance = origin / fast_mm + slow * along_slow + fast * along_fast
        if truncated:
            distance = np.trunc(np.round(distance, _DECIMALS))
        squared += distance * distance
    return np.sqrt(squared)
