"""Peaks of frames of several panels, with the resolution that each panel gives them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.kernels.panel_peaks import PanelPeakfinder8
from glimt.kernels.panel_radius_map import panel_radius_map
from glimt.kernels.peak_table import PeakTable
from glimt.kernels.peakfinder8 import Peakfinder8Parameters
from glimt.kernels.resolution import SpotResolution
from glimt.model.detector_geometry import DetectorGeometry
from glimt.pipeline.workers.untrusted_pixels import UntrustedPixels, without_untrusted


class PanelHitFinder:
    """Find the peaks of frames of a detector whose panels are placed in one array; made once.

    Parameters
    ----------
    geometry : DetectorGeometry
        The panels; radii are measured as CrystFEL's peakfinder8 measures them.
    parameters : Peakfinder8Parameters
        What counts as a peak.
    mask : array_like, optional
        (slow, fast), True excludes a pixel.
    untrusted : UntrustedPixels, optional
        Pixels of single frames that are in no peak and in no background.

    Raises
    ------
    UsageError
        The geometry does not say where in a frame the panels are, or the mask has another shape.
    """

    def __init__(
        self,
        geometry: DetectorGeometry,
        parameters: Peakfinder8Parameters,
        *,
        mask: npt.ArrayLike | None = None,
        untrusted: UntrustedPixels | None = None,
    ) -> None:
        _, placements = geometry.layout()
        radius = panel_radius_map(geometry, truncated=True)
        self._finder = PanelPeakfinder8(radius, placements, parameters, mask=mask)
        self._first = np.array([(place.slow_start, place.fast_start) for place in placements])
        self._resolution = SpotResolution(geometry, parallax=True)
        self._untrusted = untrusted

    @property
    def parameters(self) -> Peakfinder8Parameters:
        """What counts as a peak."""
        return self._finder.parameters

    def find(self, frame: npt.NDArray[Any]) -> PeakTable:
        """Return the peaks of a frame (slow, fast), see `glimt.kernels.panel_peaks.PanelPeakfinder8.find`."""
        bad = None if self._untrusted is None else self._untrusted.find(frame)
        return self._finder.find(frame if bad is None else without_untrusted(frame, bad))

    def d_spacing(self, found: PeakTable) -> npt.NDArray[np.float64]:
        """Return the d spacing of peaks (n_peaks,) [Å], by the place and the tilt of the panel that each is on."""
        on = np.zeros(len(found), np.int32) if found.panel_number is None else found.panel_number
        first = self._first[on]
        # The middle of a panel's first pixel is at 0.5 there, and at 0 in the table.
        return self._resolution.d_spacing(
            found.peaks["fs"] - first[:, 1] + 0.5, found.peaks["ss"] - first[:, 0] + 0.5, panel_number=on
        )
