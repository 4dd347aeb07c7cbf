"""One frame to its nine statistics: spots and what they say, as `glimt analyse` and the worker both do it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.kernels.image_quality import ImageQuality, ImageQualityAnalyzer
from glimt.kernels.panel_spots import PanelSpotFinder, StrongOptions
from glimt.kernels.spot_filters import SpotFilter
from glimt.kernels.spots import SpotFinder, SpotTable
from glimt.model.detector_geometry import DetectorGeometry
from glimt.model.geometry import Poni
from glimt.model.sensor_absorption import absorption_per_mm
from glimt.pipeline.workers.spot_options import SpotOptions
from glimt.pipeline.workers.untrusted_pixels import UntrustedPixels, mark_untrusted

HC_EV_METER = 1.239841984332002e-06


def geometry_of(
    poni: Poni | DetectorGeometry, *, sensor_thickness_m: float | None = None, sensor_material: str | None = None
) -> DetectorGeometry:
    """Return the geometry of a detector; with a known sensor, positions can be corrected for parallax.

    Raises
    ------
    UsageError
        There is no wavelength or no shape.
    """
    if isinstance(poni, DetectorGeometry):
        wavelength: float | None = poni.wavelength_angstrom * 1e-10
    else:
        wavelength = poni.wavelength
    energy = HC_EV_METER / wavelength if wavelength else None
    absorption = absorption_per_mm(sensor_material, energy)
    known = absorption > 0 and sensor_thickness_m is not None
    thickness_mm = 1e3 * sensor_thickness_m if known and sensor_thickness_m is not None else 0.0
    if isinstance(poni, Poni):
        return DetectorGeometry.from_poni(
            poni, sensor_thickness_mm=thickness_mm, absorption_per_mm=absorption if known else 0.0
        )
    if not known:
        return poni
    panels = [replace(panel, sensor_thickness_mm=thickness_mm, absorption_per_mm=absorption) for panel in poni.panels]
    return replace(poni, panels=panels)


class ImageAnalyzer:
    """Find the spots of frames and say how good the frames are; made once, called by one thread at a time.

    Parameters
    ----------
    geometry : DetectorGeometry
        Of one panel, or of several that are placed in one array. Spots are found panel by panel.
    options : SpotOptions, optional
        What a spot is; by default as DIALS has it.
    mask : array_like, optional
        (slow, fast), True excludes a pixel.
    saturation_value : float, optional
        Largest count to trust. Negative pixels of integer frames, and the two greatest values of unsigned types, which
        mark gaps and bad pixels, are never trusted.
    untrusted : UntrustedPixels, optional
        Finds pixels of single frames that are not to be trusted either.

    Raises
    ------
    UsageError
        Options that make no sense, a mask of another shape, or several panels without placements.
    """

    def __init__(
        self,
        geometry: DetectorGeometry,
        *,
        options: SpotOptions | None = None,
        mask: npt.ArrayLike | None = None,
        saturation_value: float | None = None,
        untrusted: UntrustedPixels | None = None,
    ) -> None:
        self.shape, self._placements = geometry.layout()
        self._options = SpotOptions() if options is None else options
        self._mask, self._saturation, self._untrusted = mask, saturation_value, untrusted
        self._finders: dict[str, SpotFinder | PanelSpotFinder] = {}
        self._quality = ImageQualityAnalyzer(
            geometry,
            parallax=not self._options.disable_parallax_correction,
            filter_ice=self._options.ice_filter,
            ice_ring_width=self._options.ice_width,
            d_min=self._options.d_min,
            d_max=self._options.d_max,
        )

    def find_spots(self, frame: npt.ArrayLike) -> SpotTable:
        """Return the spots of a frame; none for one that is masked as a whole.

        Parameters
        ----------
        frame : array_like
            (slow, fast), or (module, slow, fast) whose modules the geometry has below each other.

        Raises
        ------
        UsageError
            Another shape, not numbers, or too many strong pixels.
        """
        pixels = np.asarray(frame)
        if pixels.ndim == 3 and (pixels.shape[0] * pixels.shape[1], pixels.shape[2]) == self.shape:
            pixels = pixels.reshape(self.shape)
        if self._untrusted is not None and (bad := self._untrusted.find(pixels)) is not None:
            pixels = mark_untrusted(pixels, bad)
        finder = self._finders.get(pixels.dtype.str)
        if finder is None:
            finder = self._finders[pixels.dtype.str] = self._make_finder(pixels.dtype)
        return finder.find(pixels)

    def analyze(self, frame: npt.ArrayLike) -> ImageQuality:
        """Return the statistics of a frame (slow, fast); see `find_spots` for what can be wrong with it."""
        return self._quality.analyze(self.find_spots(frame).rows)

    def _make_finder(self, dtype: np.dtype[Any]) -> SpotFinder | PanelSpotFinder:
        options = self._options
        strong = StrongOptions(
            threshold=options.algorithm,
            kernel_size=options.kernel_size,
            sigma_background=options.sigma_background,
            sigma_strong=options.sigma_strong,
            min_local=options.min_local,
            global_threshold=options.global_threshold,
            trusted_range=trusted_range(dtype, self._saturation),
        )
        kept = SpotFilter(
            min_spot_size=options.min_spot_size,
            max_spot_size=options.max_spot_size,
            max_separation=options.max_separation,
        )
        most = options.max_strong_pixel_fraction
        if self._placements[0].shape == self.shape:
            return SpotFinder(
                self.shape, gain=options.gain, mask=self._mask, max_strong_fraction=most, filter=kept, **strong
            )
        return PanelSpotFinder(
            self.shape,
            self._placements,
            gain=options.gain,
            mask=self._mask,
            max_strong_fraction=most,
            filter=kept,
            **strong,
        )


def trusted_range(dtype: np.dtype[Any], saturation_value: float | None) -> tuple[float, float] | None:
    """Return the lowest and the highest count to trust of pixels of a type; ``None`` if any will do."""
    known = saturation_value is not None and saturation_value > 0
    highest = float(saturation_value) if known and saturation_value is not None else float("inf")
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return 0.0, min(highest, float(limits.max - 2 if dtype.kind == "u" else limits.max))
    if dtype.kind == "f" and known:
        return -3e38, min(highest, 3e38)
    return None
