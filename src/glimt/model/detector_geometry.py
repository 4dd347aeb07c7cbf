"""Where the pixels of a detector of one or several flat panels are, with what its sensor does to the positions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from glimt.model.errors import UsageError
from glimt.model.geometry import Poni
from glimt.model.panel_placement import PanelPlacement, checked_frame_shape

Vector = tuple[float, float, float]

MAX_PANELS = 1 << 16
"""Largest number of panels accepted; the AGIPD 4M has 512 tiles, a Jungfrau 16M 256."""

MAX_PANEL_SIDE = 1 << 20

MM_PER_METER = 1e3
ANGSTROM_PER_METER = 1e10


def _vector(value: Any, name: str) -> Vector:
    try:
        x, y, z = (float(part) for part in value)
    except (TypeError, ValueError, OverflowError):
        raise UsageError(f"{name} is {str(value)[:60]}; three numbers are needed") from None
    if not all(math.isfinite(part) for part in (x, y, z)):
        raise UsageError(f"{name} is {x:g}, {y:g}, {z:g}; give finite numbers")
    return x, y, z


def _unit(value: Any, name: str) -> Vector:
    x, y, z = _vector(value, name)
    length = math.hypot(x, y, z)
    if not length > 0 or not math.isfinite(length):
        raise UsageError(f"{name} has the length {length:g}; a direction is needed")
    return x / length, y / length, z / length


def _within(value: Any, name: str, low: float, high: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise UsageError(f"{name} is {str(value)[:40]!r}, a number is needed") from None
    if not low <= number <= high:
        raise UsageError(f"{name} is {number:g}; {low:g} to {high:g} are accepted")
    return number


@dataclass(frozen=True, slots=True)
class Panel:
    """A flat piece of a detector: a regular grid of rectangular pixels somewhere in space, the sample at (0, 0, 0).

    Parameters
    ----------
    origin_mm : (float, float, float)
        Outer corner of pixel (0, 0), seen from the sample [mm].
    fast, slow : (float, float, float)
        Directions in which the two indices of a pixel grow; of any length, kept with length 1.
    pixel_size_mm : (float, float)
        Along the slow and along the fast axis [mm].
    shape : (int, int)
        (slow, fast) [px].
    sensor_thickness_mm : float
        0 if it is not known: there is no parallax to correct then.
    absorption_per_mm : float
        Linear absorption coefficient of the sensor at this photon energy [1/mm], 0 if it is not known.

    Raises
    ------
    UsageError
        A number is not finite or out of range, or the axes are not at right angles (within 1 mrad).
    """

    origin_mm: Vector
    fast: Vector
    slow: Vector
    pixel_size_mm: tuple[float, float]
    shape: tuple[int, int]
    sensor_thickness_mm: float = 0.0
    absorption_per_mm: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "origin_mm", _vector(self.origin_mm, "origin_mm"))
        object.__setattr__(self, "fast", _unit(self.fast, "fast axis"))
        object.__setattr__(self, "slow", _unit(self.slow, "slow axis"))
        if abs(float(np.dot(self.fast, self.slow))) > 1e-3:
            raise UsageError(f"the fast axis {self.fast} and the slow axis {self.slow} are not at right angles")
        try:
            slow_mm, fast_mm = self.pixel_size_mm
            slow, fast = (int(n) for n in self.shape)
        except (TypeError, ValueError, OverflowError):
            raise UsageError(
                f"pixel_size_mm {str(self.pixel_size_mm)[:40]} and shape {str(self.shape)[:40]} are (slow, fast) pairs"
            ) from None
        sizes = (_within(slow_mm, "pixel_size_mm", 1e-6, 1e3), _within(fast_mm, "pixel_size_mm", 1e-6, 1e3))
        object.__setattr__(self, "pixel_size_mm", sizes)
        if not (0 < slow <= MAX_PANEL_SIDE and 0 < fast <= MAX_PANEL_SIDE):
            raise UsageError(f"panel shape is ({slow}, {fast}) px; 1 to {MAX_PANEL_SIDE} pixels a side are accepted")
        object.__setattr__(self, "shape", (slow, fast))
        _within(self.sensor_thickness_mm, "sensor_thickness_mm", 0.0, 1e3)
        _within(self.absorption_per_mm, "absorption_per_mm", 0.0, 1e6)
        if self.distance_mm == 0.0:
            raise UsageError("the plane of a panel goes through the sample; its distance must not be zero")

    @property
    def normal(self) -> Vector:
        """Direction at right angles to the panel, away from the sample."""
        x, y, z = (float(part) for part in np.cross(self.fast, self.slow))
        return (x, y, z) if self._height() >= 0 else (-x, -y, -z)

    @property
    def distance_mm(self) -> float:
        """From the sample to the plane of the panel, along its normal [mm]."""
        return abs(self._height())

    def _height(self) -> float:
        return float(np.dot(self.origin_mm, np.cross(self.fast, self.slow)))


@dataclass(frozen=True, slots=True)
class DetectorGeometry:
    """A detector's panels, and the beam that they are seen in.

    Parameters
    ----------
    panels : sequence of Panel
        Their position here is the ``panel_number`` of a spot.
    wavelength_angstrom : float
        [Å].
    beam : (float, float, float)
        Direction in which the beam travels, in the same frame as the panels; of any length, kept with length 1.
    placements : sequence of PanelPlacement
        Where in the array of a frame each panel is, in order of the panels. A detector of one panel fills its frames,
        without them; several panels are not known to share an array.
    frame_shape : (int, int), optional
        (slow, fast) [px] of frames; without it the smallest that holds all panels.
    horizontal, vertical : (float, float, float)
        Directions, by which azimuth and polarization are told: azimuth is 0 along ``horizontal`` and grows towards
        ``vertical``. Only what is at right angles to the beam counts. By default those of NeXus, CrystFEL and imgCIF.

    Raises
    ------
    UsageError
        There is no panel, the wavelength is no plausible one, a direction has no length, ``horizontal`` and
        ``vertical`` are not independent of the beam; panels and placements do not fit, or share pixels.
    """

    panels: Sequence[Panel]
    wavelength_angstrom: float
    beam: Vector = (0.0, 0.0, 1.0)
    placements: Sequence[PanelPlacement] = ()
    frame_shape: tuple[int, int] | None = None
    horizontal: Vector = (1.0, 0.0, 0.0)
    vertical: Vector = (0.0, 1.0, 0.0)

    def __post_init__(self) -> None:
        panels = tuple(self.panels)
        if not 0 < len(panels) <= MAX_PANELS:
            raise UsageError(f"the detector has {len(panels)} panels; 1 to {MAX_PANELS} are accepted")
        object.__setattr__(self, "panels", panels)
        wavelength = _within(self.wavelength_angstrom, "wavelength_angstrom", 1e-3, 1e4)
        object.__setattr__(self, "wavelength_angstrom", wavelength)
        for name in ("beam", "horizontal", "vertical"):
            object.__setattr__(self, name, _unit(getattr(self, name), name))
        if abs(float(np.linalg.det([self.beam, self.horizontal, self.vertical]))) < 1e-6:
            raise UsageError("beam, horizontal and vertical lie in one plane; azimuth cannot be told")
        placements = tuple(self.placements)
        if not placements and len(panels) == 1:
            placements = (PanelPlacement(0, 0, panels[0].shape),)
        if placements:
            if [placement.shape for placement in placements] != [panel.shape for panel in panels]:
                raise UsageError(
                    f"{len(placements)} placements do not fit {len(panels)} panels: each needs one of its own shape"
                )
            object.__setattr__(self, "frame_shape", checked_frame_shape(placements, self.frame_shape))
        elif self.frame_shape is not None:
            raise UsageError("the frame has a shape, but nobody says where in it the panels are: give placements")
        object.__setattr__(self, "placements", placements)

    def layout(self) -> tuple[tuple[int, int], tuple[PanelPlacement, ...]]:
        """Return the shape (slow, fast) of frames and where in it each panel is.

        Raises
        ------
        UsageError
            It is not known.
        """
        if self.frame_shape is None:
            raise UsageError(
                f"nobody says where in a frame the {len(self.panels)} panels are; give placements to DetectorGeometry"
            )
        return self.frame_shape, tuple(self.placements)

    @classmethod
    def from_poni(
        cls, poni: Poni, *, sensor_thickness_mm: float = 0.0, absorption_per_mm: float = 0.0
    ) -> DetectorGeometry:
        """Return the one-panel geometry of a PONI file, in its axes: 1 slow, 2 fast, 3 along the beam.

        Raises
        ------
        UsageError
            The PONI file has no wavelength, or neither it nor ``with_shape`` has said how many pixels there are.
        """
        if poni.wavelength is None:
            raise UsageError("the PONI file has no wavelength, which resolutions need; add a line 'Wavelength: 1e-10'")
        origin1, step1, origin2, step2 = poni.detector.axes()
        rotation = poni.rotation()
        corner = rotation @ np.array([origin1 - poni.poni1, origin2 - poni.poni2, poni.dist]) * MM_PER_METER
        panel = Panel(
            origin_mm=_vector(corner, "origin_mm"),
            fast=_vector(rotation[:, 1] * math.copysign(1.0, step2), "fast axis"),
            slow=_vector(rotation[:, 0] * math.copysign(1.0, step1), "slow axis"),
            pixel_size_mm=(abs(step1) * MM_PER_METER, abs(step2) * MM_PER_METER),
            shape=poni.shape,
            sensor_thickness_mm=sensor_thickness_mm,
            absorption_per_mm=absorption_per_mm,
        )
        return cls(
            (panel,),
            poni.wavelength * ANGSTROM_PER_METER,
            horizontal=(0.0, 1.0, 0.0),
            vertical=(1.0, 0.0, 0.0),
        )
