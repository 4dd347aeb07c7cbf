"""What a file says about its images beyond the pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass

from glimt.model.errors import UsageError
from glimt.model.geometry import Detector, Poni

HC_EV_ANGSTROM = 12398.419843320026
"""Photon energy [eV] times wavelength [Å]; exact in the SI of 2019."""


@dataclass(frozen=True, slots=True)
class Panel:
    """A flat part of a detector, in laboratory axes: z along the beam, y up, x to the left as seen from the source.

    Parameters
    ----------
    slow_start, fast_start : int
        Where its pixels begin in the image [px].
    module_number : int
        Its place on the module axis of a (module, slow, fast) image; 0 otherwise.
    shape : (int, int)
        (slow, fast) [px].
    origin_m : (float, float, float)
        Outer corner of its first pixel, from the sample.
    slow_axis, fast_axis : (float, float, float)
        Unit vectors.
    pixel_size_m : (float, float)
        Slow and fast.
    """

    slow_start: int
    fast_start: int
    module_number: int
    shape: tuple[int, int]
    origin_m: tuple[float, float, float]
    slow_axis: tuple[float, float, float]
    fast_axis: tuple[float, float, float]
    pixel_size_m: tuple[float, float]


@dataclass(frozen=True, slots=True)
class ImageMetadata:
    """What holds for all images of a series; ``None`` for what the file does not say.

    Parameters
    ----------
    shape : tuple of int
        (slow, fast) or (module, slow, fast) [px].
    dtype : str
        NumPy name.
    detector_name, serial_number : str or None
        As written.
    pixel_size_m, beam_center_px : (float, float) or None
        Slow and fast. The beam center counts from the outer corner of the first pixel.
    distance_m, wavelength_angstrom, exposure_s, period_s, sensor_thickness_m, threshold_ev : float or None
        As named; ``period_s`` from the start of an image to the start of the next.
    sensor_material : str or None
        As written.
    saturation_value : float or None
        Largest count that can be trusted.
    panels : tuple of Panel
        Where each module is, if the file describes that; empty otherwise.
    """

    shape: tuple[int, ...]
    dtype: str
    detector_name: str | None = None
    serial_number: str | None = None
    pixel_size_m: tuple[float, float] | None = None
    beam_center_px: tuple[float, float] | None = None
    distance_m: float | None = None
    wavelength_angstrom: float | None = None
    exposure_s: float | None = None
    period_s: float | None = None
    sensor_thickness_m: float | None = None
    sensor_material: str | None = None
    threshold_ev: float | None = None
    saturation_value: float | None = None
    panels: tuple[Panel, ...] = ()

    @property
    def photon_energy_ev(self) -> float | None:
        """Photon energy, from the wavelength."""
        return HC_EV_ANGSTROM / self.wavelength_angstrom if self.wavelength_angstrom else None

    def poni(self) -> Poni:
        """Return the geometry of a flat detector that stands upright in the beam.

        Raises
        ------
        UsageError
            The file does not give distance, beam center and pixel size, they make no sense, or the image has modules.
        """
        named = {
            "distance_m": self.distance_m,
            "beam_center_px": self.beam_center_px,
            "pixel_size_m": self.pixel_size_m,
        }
        missing = [name for name, value in named.items() if value is None]
        if self.distance_m is None or self.beam_center_px is None or self.pixel_size_m is None:
            raise UsageError(f"the image file does not say {', '.join(missing)}; give a PONI file")
        if len(self.shape) != 2:
            raise UsageError(f"images of shape {self.shape} have modules; a PONI file describes flat detectors only")
        slow, fast = self.pixel_size_m
        wavelength = self.wavelength_angstrom
        if wavelength is not None and not (math.isfinite(wavelength) and wavelength > 0):
            raise UsageError(f"the image file says that the wavelength is {wavelength} Å; give a PONI file")
        return Poni(
            detector=Detector(slow, fast, (self.shape[0], self.shape[1]), name=self.detector_name or "Detector"),
            dist=self.distance_m,
            poni1=self.beam_center_px[0] * slow,
            poni2=self.beam_center_px[1] * fast,
            wavelength=wavelength * 1e-10 if wavelength is not None else None,
        )
