"""Where each pixel looks: laboratory position, q, scattering angle, radius, azimuth, solid angle, polarization.

Formulas of pyFAI (Kieffer et al., J. Appl. Cryst. 2025, 58, 138; geometry after P. Boesecke), in double precision.
Every function works on a range of detector rows, so that a large detector needs no large temporary arrays.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from glimt.model.errors import UsageError
from glimt.model.geometry import Poni

Array = npt.NDArray[np.float64]

ANGSTROM_PER_METER = 1e10


class Positions(NamedTuple):
    """Laboratory coordinates along axes 1 (slow), 2 (fast) and 3 (beam), each (slow, fast), float64 [m]."""

    t1: Array
    t2: Array
    t3: Array


class PixelGrid(NamedTuple):
    """A flat, regular grid of pixels: a whole detector or one of its panels.

    Parameters
    ----------
    start1, step1, start2, step2 : float
        Outer edge of the first pixel from the foot of the normal, and size of a pixel, along the slow and the fast axis
        of the grid [m].
    distance : float
        From the sample along the normal [m].
    rotation : ndarray
        (3, 3) takes (slow, fast, normal) of the grid to axes 1, 2, 3.
    shape : (int, int)
        (slow, fast) [px].
    first_slow, first_fast : int
        Where in the array of a frame its first pixel is.
    """

    start1: float
    step1: float
    start2: float
    step2: float
    distance: float
    rotation: Array
    shape: tuple[int, int]
    first_slow: int = 0
    first_fast: int = 0

    def numbers(self) -> Array:
        """Return (14,) float64: the five lengths and the rotation by rows, as compiled code takes them."""
        return np.concatenate([[float(number) for number in self[:5]], self.rotation.ravel()])


def grid_of_poni(poni: Poni) -> PixelGrid:
    """Return the grid of a PONI file's detector, which fills the frame.

    Raises
    ------
    UsageError
        The number of pixels is not known.
    """
    origin1, step1, origin2, step2 = poni.detector.axes()
    return PixelGrid(origin1 - poni.poni1, step1, origin2 - poni.poni2, step2, poni.dist, poni.rotation(), poni.shape)


def _plane(grid: PixelGrid, offset1: float, offset2: float, rows: slice | None) -> tuple[Array, Array]:
    """Return p1 (slow, 1) and p2 (1, fast) [m] from the foot of the normal, at a point inside each pixel."""
    first, last, _ = (rows or slice(None)).indices(grid.shape[0])
    # The compiled bin search adds in this order too, here and in `grid_positions`: the two have to agree to the last
    # bit, or the outermost pixels, which define the range of the bins, could fall out of it.
    p1 = grid.start1 + (np.arange(first, max(first, last), dtype=np.float64) + offset1) * grid.step1
    p2 = grid.start2 + (np.arange(grid.shape[1], dtype=np.float64) + offset2) * grid.step2
    return p1[:, np.newaxis], p2[np.newaxis, :]


def grid_positions(
    grid: PixelGrid, *, offset1: float = 0.5, offset2: float = 0.5, rows: slice | None = None
) -> Positions:
    """Return the laboratory position of a point in every pixel [m]: of the center unless ``offset`` [px] says else."""
    p1, p2 = _plane(grid, offset1, offset2, rows)
    r = grid.rotation
    t1, t2, t3 = (r[k, 0] * p1 + r[k, 1] * p2 + r[k, 2] * grid.distance for k in range(3))
    return Positions(t1, t2, t3)


def grid_solid_angle(grid: PixelGrid, rows: slice | None = None) -> Array:
    """Return the solid angle of each pixel relative to one at the foot of the normal: cos(incidence) cubed."""
    at = grid_positions(grid, rows=rows)
    cosine: Array = grid.distance / np.sqrt(at.t1 * at.t1 + at.t2 * at.t2 + at.t3 * at.t3)
    cubed: Array = cosine**3
    return cubed


def positions(poni: Poni, *, offset1: float = 0.5, offset2: float = 0.5, rows: slice | None = None) -> Positions:
    """Return the laboratory position of a point in every pixel [m]: of the center unless ``offset`` [px] says else."""
    return grid_positions(grid_of_poni(poni), offset1=offset1, offset2=offset2, rows=rows)


def corner_positions(poni: Poni, rows: slice | None = None) -> Array:
    """Return the laboratory positions of pixel corners, (slow, fast, corner, axis), float64 [m].

    Corners go around the pixel: (0, 0), (1, 0), (1, 1), (0, 1) in (slow, fast); axes are 1, 2, 3.
    """
    corners = [positions(poni, offset1=a, offset2=b, rows=rows) for a, b in ((0, 0), (1, 0), (1, 1), (0, 1))]
    return np.stack([np.stack(corner, axis=-1) for corner in corners], axis=-2)


def two_theta(at: Positions) -> Array:
    """Return the scattering angle [rad]."""
    angle: Array = np.arctan2(np.hypot(at.t1, at.t2), at.t3)
    return angle


def azimuth(at: Positions) -> Array:
    """Return the azimuth chi [rad], -pi to pi, 0 along the fast axis, growing towards the slow axis."""
    angle: Array = np.arctan2(at.t1, at.t2)
    return angle


def radius(at: Positions) -> Array:
    """Return the distance from the beam [m]."""
    distance: Array = np.hypot(at.t1, at.t2)
    return distance


def momentum_transfer(at: Positions, wavelength: float | None) -> Array:
    """Return q = 4 pi sin(theta) / wavelength [1/Å]; ``wavelength`` in [m].

    Raises
    ------
    UsageError
        The wavelength is not known.
    """
    q: Array = q_scale(wavelength) * np.sin(0.5 * two_theta(at))
    return q


def q_scale(wavelength: float | None) -> float:
    """Return 4 pi / wavelength [1/Å], the largest q there is."""
    if wavelength is None:
        raise UsageError(
            "q needs a wavelength; add 'Wavelength: 1e-10' [m] to the PONI file or integrate over 2th or r"
        )
    return 4.0 * math.pi / (wavelength * ANGSTROM_PER_METER)


def solid_angle(poni: Poni, rows: slice | None = None) -> Array:
    """Return the solid angle of each pixel relative to one at the foot of the normal: cos(incidence) cubed."""
    return grid_solid_angle(grid_of_poni(poni), rows)


def polarization(at: Positions, factor: float) -> Array:
    """Return the fraction of intensity that the beam's polarization lets through.

    Parameters
    ----------
    at : Positions
        Of the pixel centers.
    factor : float
        (Ih - Iv) / (Ih + Iv): 1 horizontal (fast axis), -1 vertical, 0 circular or none.

    Raises
    ------
    UsageError
        The factor is not between -1 and 1.
    """
    if not -1 <= factor <= 1:
        raise UsageError(f"polarization factor is {factor}; it lies between -1 (vertical) and 1 (horizontal)")
    # 0.5 (1 + cos² 2theta - factor cos(2 chi) sin² 2theta), without computing an angle
    squared = at.t1 * at.t1 + at.t2 * at.t2 + at.t3 * at.t3
    passed: Array = 0.5 * (1.0 + (at.t3 * at.t3 - factor * (at.t2 * at.t2 - at.t1 * at.t1)) / squared)
    return passed
