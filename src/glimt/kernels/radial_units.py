"""Radial units by pyFAI's names, and the monotone measure that pixels are sorted by.

A pixel is put into a bin by ``sin² theta`` (q and 2theta) or by ``radius²`` (r), which need one square root and no
angle; bin edges are converted to the same measure once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from glimt.kernels.pixel_positions import Array, Positions, q_scale
from glimt.model.errors import UsageError

_FACTORS = {
    "q_A^-1": ("q", 1.0),
    "q_nm^-1": ("q", 10.0),
    "2th_rad": ("2th", 1.0),
    "2th_deg": ("2th", 180.0 / math.pi),
    "r_m": ("r", 1.0),
    "r_mm": ("r", 1e3),
}
UNITS = tuple(_FACTORS)


@dataclass(frozen=True, slots=True)
class RadialUnit:
    """A radial quantity.

    Parameters
    ----------
    name : str
        One of `UNITS`.
    by_angle : bool
        Whether the measure is ``sin² theta``, ``radius²`` otherwise.
    scale : float
        Of the unit: q at sin(theta) = 1, units in a radian, or units in a meter.
    """

    name: str
    by_angle: bool
    scale: float

    def measure(self, at: Positions) -> Array:
        """Return the measure of each position, float64."""
        r2: Array = at.t1 * at.t1 + at.t2 * at.t2
        if not self.by_angle:
            return r2
        d = np.sqrt(r2 + at.t3 * at.t3)
        # sin² theta = (1 - cos 2theta) / 2, written so that nothing cancels near the beam, forward or backward.
        measure: Array = r2 / (2.0 * d * (d + np.abs(at.t3)))
        return np.where(at.t3 < 0, 1.0 - measure, measure)

    def measure_of(self, values: Array) -> Array:
        """Return the measure of radial values in this unit; it grows with them, also outside of what is possible."""
        if self.name.startswith("2th"):
            angle = values / self.scale
            inside = np.clip(angle, 0.0, math.pi)
            measure: Array = np.sin(0.5 * inside) ** 2 + (angle - inside)
            return measure
        relative = values / self.scale
        signed: Array = relative * np.abs(relative)
        return signed

    def value_of(self, measure: float) -> float:
        """Return the radial value [unit] of a measure that a position can have."""
        root = math.sqrt(measure)
        return self.scale * (2.0 * math.asin(min(1.0, root)) if self.name.startswith("2th") else root)


def radial_unit(name: str, wavelength: float | None) -> RadialUnit:
    """Return the unit called ``name``.

    Raises
    ------
    UsageError
        There is no such unit, or it is q and the wavelength [m] is not known.
    """
    if name not in _FACTORS:
        raise UsageError(f"unit {str(name)[:40]!r} is not one of {', '.join(UNITS)}")
    quantity, factor = _FACTORS[name]
    if quantity == "q":
        factor *= q_scale(wavelength)
    return RadialUnit(name, quantity != "r", factor)


def quadrants(at: Positions, first: float) -> Array:
    """Return azimuths as quadrants and fraction of one, from ``first`` to less than ``first + 4``; NaN stays NaN."""
    a1, a2 = np.abs(at.t1), np.abs(at.t2)
    total = np.where(a1 + a2 == 0.0, 1.0, a1 + a2)
    upper = np.where(at.t2 >= 0.0, a1 / total, 1.0 + a2 / total)
    lower = np.where(at.t2 < 0.0, 2.0 + a1 / total, 3.0 + a2 / total)
    turn: Array = np.where(at.t1 >= 0.0, upper, lower)
    turn[a1 + a2 == 0.0] = 0.0
    while (turn < first).any():
        turn[turn < first] += 4.0
    while (turn >= first + 4.0).any():
        turn[turn >= first + 4.0] -= 4.0
    return turn
