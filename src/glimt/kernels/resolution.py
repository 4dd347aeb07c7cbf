"""The resolution of a position on the detector: which d spacing would scatter there."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.model.detector_geometry import DetectorGeometry
from glimt.model.errors import UsageError

Array = npt.NDArray[np.float64]


class SpotResolution:
    """Resolutions of positions on one detector; made once, called for the spots of each frame.

    Parallax: a photon that comes in at an angle is absorbed somewhere inside the sensor and counted in a pixel that
    lies further out. Corrected as dxtbx does, by the mean depth of absorption in a sensor of this thickness, and by one
    step of the inverse (J. Parkhurst, dxtbx ``ParallaxCorrectedPxMmStrategy``).

    Parameters
    ----------
    geometry : DetectorGeometry
        Panels, wavelength, beam.
    parallax : bool
        Whether to correct for it; panels whose sensor is not known (thickness or absorption 0) stay as they are.
    """

    def __init__(self, geometry: DetectorGeometry, *, parallax: bool = False) -> None:
        panels = geometry.panels
        self.geometry, self.parallax = geometry, parallax
        self._origin = np.array([panel.origin_mm for panel in panels]).T
        self._fast = np.array([panel.fast for panel in panels]).T
        self._slow = np.array([panel.slow for panel in panels]).T
        self._normal = np.array([panel.normal for panel in panels]).T
        self._size = np.array([panel.pixel_size_mm for panel in panels]).T
        self._thickness = np.array([panel.sensor_thickness_mm for panel in panels])
        self._absorption = np.array([panel.absorption_per_mm for panel in panels])
        self._corrects = parallax and bool(((self._thickness > 0) & (self._absorption > 0)).any())
        self._beam = np.array(geometry.beam)[:, np.newaxis]

    def d_star(self, x: npt.ArrayLike, y: npt.ArrayLike, *, panel_number: npt.ArrayLike | None = None) -> Array:
        """Return the length of the scattering vector, 1/d.

        Parameters
        ----------
        x, y : array_like
            (spot,) along the fast and the slow axis [px]; the center of the first pixel is at 0.5.
        panel_number : array_like, optional
            (spot,) integers; only a detector of one panel can do without.

        Returns
        -------
        ndarray
            (spot,) float64 [1/Å]; 0 where the direct beam goes, NaN where x or y is not finite.

        Raises
        ------
        UsageError
            The arrays have not one and the same length, or a panel does not exist.
        """
        fast, slow = np.asarray(x, np.float64), np.asarray(y, np.float64)
        if fast.ndim != 1 or fast.shape != slow.shape:
            raise UsageError(f"x has the shape {fast.shape}, y {slow.shape}; both are (spot,)")
        at = self._panels(panel_number, fast.size)
        with np.errstate(invalid="ignore", over="ignore"):
            place = self._place(fast * self._size[1, at], slow * self._size[0, at], at)
            if self._corrects:
                shift = self._parallax_shift(place, at)
                place -= shift
            place /= self._length(place)
            length: Array = self._length(place - self._beam) / self.geometry.wavelength_angstrom
        length[~(np.isfinite(fast) & np.isfinite(slow))] = np.nan
        return length

    def d_spacing(self, x: npt.ArrayLike, y: npt.ArrayLike, *, panel_number: npt.ArrayLike | None = None) -> Array:
        """Return the d spacing (spot,) float64 [Å] as `d_star` does; infinite where the direct beam goes."""
        with np.errstate(divide="ignore"):
            spacing: Array = 1.0 / self.d_star(x, y, panel_number=panel_number)
        return spacing

    def _panels(self, panel_number: npt.ArrayLike | None, n_spots: int) -> npt.NDArray[Any] | slice:
        n_panels = self._origin.shape[1]
        if panel_number is None:
            if n_panels != 1:
                raise UsageError(f"the detector has {n_panels} panels: the spots have to say on which they are")
            return slice(0, 1)
        at = np.asarray(panel_number)
        if at.shape != (n_spots,) or at.dtype.kind not in "iu":
            raise UsageError(f"panel_number has shape {at.shape} and type {at.dtype}; {n_spots} integers are needed")
        if at.size and not (int(at.min()) >= 0 and int(at.max()) < n_panels):
            raise UsageError(f"panel_number goes from {at.min()} to {at.max()}; the panels are 0 to {n_panels - 1}")
        return at.astype(np.intp)

    def _place(self, along_fast: Array, along_slow: Array, at: npt.NDArray[Any] | slice) -> Array:
        """Return the laboratory position (3, spot) [mm]."""
        place: Array = self._origin[:, at] + along_fast * self._fast[:, at] + along_slow * self._slow[:, at]
        return place

    def _parallax_shift(self, place: Array, at: npt.NDArray[Any] | slice) -> Array:
        """Return how far outwards each position (3, spot) was recorded, inside the panel [mm]."""
        direction = place / self._length(place)
        normal, thickness, mu = self._normal[:, at], self._thickness[at], self._absorption[at]
        cos_t = (direction * normal).sum(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            depth = 1.0 / mu - (thickness / cos_t + 1.0 / mu) * np.exp(-mu * thickness / cos_t)
        # A panel always faces the sample: its plane has a distance, and cos_t is positive wherever it is hit.
        depth = np.where((mu > 0) & (thickness > 0), depth, 0.0)
        shift: Array = (direction - cos_t * normal) * depth
        return shift

    @staticmethod
    def _length(vectors: Array) -> Array:
        length: Array = np.sqrt((vectors * vectors).sum(axis=0))
        return length
