"""What the spots of one frame say about it: the nine statistics of per-image analysis, with DIALS' conventions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.kernels.resolution import SpotResolution
from glimt.kernels.resolution_ice import ICE_RING_WIDTH, on_ice_ring
from glimt.kernels.resolution_limits import UNDEFINED, resolution_limits
from glimt.model.detector_geometry import DetectorGeometry
from glimt.model.errors import UsageError

Array = npt.NDArray[np.float64]

MIN_SPOTS_NO_ICE = 11
"""With fewer spots off the ice rings DIALS tells no resolution limit."""


@dataclass(frozen=True, slots=True)
class ImageQuality:
    """The statistics of one frame; the names are those of DIALS' find_spots server and of Zocalo's messages.

    Parameters
    ----------
    n_spots_total : int
        All spots, those in the direct beam and outside the limits of resolution excluded.
    n_spots_no_ice : int
        Spots off the ice rings.
    n_spots_4A : int
        Spots with d > 4 Å, ice or not.
    total_intensity : float
        Sum over the spots off the ice rings [counts].
    estimated_d_min, d_min_distl_method_1, d_min_distl_method_2 : float
        Resolution limits [Å]; -1 with less than 11 spots off the ice rings, and where there is none.
    noisiness_method_1, noisiness_method_2 : float
        0 to 1, the less the better; -1 where the limit is.
    """

    n_spots_total: int = 0
    n_spots_no_ice: int = 0
    n_spots_4A: int = 0  # noqa: N815  a name on the wire
    total_intensity: float = 0.0
    estimated_d_min: float = UNDEFINED
    d_min_distl_method_1: float = UNDEFINED
    noisiness_method_1: float = UNDEFINED
    d_min_distl_method_2: float = UNDEFINED
    noisiness_method_2: float = UNDEFINED


class ImageQualityAnalyzer:
    """Say how good frames are by their spots; made once for a detector, called for each frame.

    Parameters
    ----------
    geometry : DetectorGeometry
        Panels, wavelength, beam.
    parallax : bool
        Whether to correct positions for the thickness of the sensor: DIALS does, Zocalo's per-image analysis does not.
    filter_ice : bool
        False takes no spot for ice.
    ice_ring_width : float
        Full width of an ice ring in 1/d² [1/Å²].
    d_min, d_max : float, optional
        Spots outside ``d_min <= d <= d_max`` [Å] are left out of everything.
    compiled : bool
        False runs the plain NumPy version; for comparison.

    Raises
    ------
    UsageError
        The width of the ice rings is not positive, or d_min is larger than d_max.
    """

    def __init__(
        self,
        geometry: DetectorGeometry,
        *,
        parallax: bool = False,
        filter_ice: bool = True,
        ice_ring_width: float = ICE_RING_WIDTH,
        d_min: float | None = None,
        d_max: float | None = None,
        compiled: bool = True,
    ) -> None:
        self.resolution = SpotResolution(geometry, parallax=parallax)
        self._filter_ice, self._width, self._compiled = filter_ice, float(ice_ring_width), compiled
        on_ice_ring(np.empty(0), width=self._width)
        self._d_min, self._d_max = 0.0 if d_min is None else float(d_min), np.inf if d_max is None else float(d_max)
        if not self._d_min <= self._d_max:
            raise UsageError(f"d_min is {d_min} and d_max {d_max}: no spot lies between them")

    def analyze(self, spots: npt.NDArray[Any]) -> ImageQuality:
        """Return the statistics of the spots of one frame.

        Parameters
        ----------
        spots : ndarray
            (spot,) structured, with the fields x and y [px, center of the first pixel 0.5], intensity [counts], and
            panel_number unless the detector has only one panel. Spots with a position or an intensity that is not
            finite are not counted; one without a positive intensity is, but tells nothing about resolution.

        Returns
        -------
        ImageQuality
            All counts 0 and all limits -1 for no spots.

        Raises
        ------
        UsageError
            A field is missing, or a spot is on a panel that does not exist.
        """
        names = spots.dtype.names or ()
        missing = [name for name in ("x", "y", "intensity") if name not in names]
        if missing or spots.ndim != 1:
            raise UsageError(
                f"the table of spots has shape {spots.shape} and fields {names}; it needs (spot,) x, y and intensity"
            )
        panel_number = spots["panel_number"] if "panel_number" in names else None
        d_star = self.resolution.d_star(spots["x"], spots["y"], panel_number=panel_number)
        return self.analyze_resolutions(d_star, spots["intensity"])

    def analyze_resolutions(self, d_star: npt.ArrayLike, intensity: npt.ArrayLike) -> ImageQuality:
        """Return the statistics of spots of which 1/d (spot,) [1/Å] and intensity (spot,) [counts] are known."""
        length, counts = np.asarray(d_star, np.float64), np.asarray(intensity, np.float64)
        if length.ndim != 1 or length.shape != counts.shape:
            raise UsageError(f"1/d has the shape {length.shape}, the intensity {counts.shape}; both are (spot,)")
        with np.errstate(divide="ignore", over="ignore"):
            d_spacing = 1.0 / length
        used = np.isfinite(d_spacing) & np.isfinite(length) & np.isfinite(counts) & (length > 0)
        used &= (d_spacing >= self._d_min) & (d_spacing <= self._d_max)
        if not used.all():
            length, d_spacing, counts = length[used], d_spacing[used], counts[used]
        ice = np.zeros(length.size, np.bool_)
        if self._filter_ice and length.size:
            with np.errstate(over="ignore"):
                ice = on_ice_ring(length * length, width=self._width)
        n_no_ice = int(length.size - np.count_nonzero(ice))
        known = (length.size, n_no_ice, int(np.count_nonzero(d_spacing > 4.0)), float(counts[~ice].sum()))
        if n_no_ice < MIN_SPOTS_NO_ICE:
            return ImageQuality(*known)
        limits = resolution_limits(length, counts, ice, compiled=self._compiled)
        return ImageQuality(
            *known,
            estimated_d_min=limits.estimated_d_min,
            d_min_distl_method_1=limits.d_min_distl_method_1,
            noisiness_method_1=limits.noisiness_method_1,
            d_min_distl_method_2=limits.d_min_distl_method_2,
            noisiness_method_2=limits.noisiness_method_2,
        )
