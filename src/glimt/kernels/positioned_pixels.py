"""Pixels of which each has a position of its own: distorted and hexagonal detectors, as pyFAI describes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.kernels.frame_pixels import ROWS_AT_ONCE, Block, SolidAngle
from glimt.kernels.pixel_positions import Positions
from glimt.model.errors import UsageError
from glimt.model.geometry import MAX_PIXELS

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class PositionedPixels:
    """Pixels that lie anywhere.

    Parameters
    ----------
    centers : ndarray
        (slow, fast, axis) float64 laboratory positions along axes 1, 2, 3 [m]; pixels with NaN have no place.
    corners : ndarray or None
        (slow, fast, 4, axis) float64, around each pixel; without them pixels cannot be split.
    angle : ndarray
        (slow, fast) float32 relative solid angles.
    wavelength : float or None
        [m].

    Raises
    ------
    UsageError
        The arrays do not fit each other, or there are no pixels or too many.
    """

    centers: Array
    corners: Array | None
    angle: npt.NDArray[np.float32]
    wavelength: float | None = None

    def __post_init__(self) -> None:
        shape = self.centers.shape
        if len(shape) != 3 or shape[2] != 3 or not 0 < shape[0] * shape[1] <= MAX_PIXELS:
            raise UsageError(f"positions have shape {shape}; (slow, fast, 3) with 1 to {MAX_PIXELS} pixels is needed")
        if self.angle.shape != shape[:2]:
            raise UsageError(f"solid angles have shape {self.angle.shape}, positions {shape}")
        if self.corners is not None and self.corners.shape != (*shape[:2], 4, 3):
            raise UsageError(f"corners have shape {self.corners.shape}; {(*shape[:2], 4, 3)} is needed")

    @property
    def shape(self) -> tuple[int, int]:
        """(slow, fast) of frames."""
        return self.centers.shape[0], self.centers.shape[1]

    def blocks(self) -> Iterator[Block]:
        """Yield pixels, a few rows at a time."""
        for first in range(0, self.shape[0], ROWS_AT_ONCE):
            rows = slice(first, min(self.shape[0], first + ROWS_AT_ONCE))
            yield Block((rows, slice(0, self.shape[1])), _positions(self.centers[rows]))

    def solid_angle(self, kind: SolidAngle) -> npt.NDArray[np.float32]:
        """Return (slow, fast) relative solid angles, 0 where no pixel has a place."""
        if kind != "incidence":
            raise UsageError("positions of pixels do not say which panel they are of: use solid_angle=True")
        return np.where(np.isfinite(self.centers).all(axis=2), self.angle, np.float32(0))

    def sub_positions(self, rows: slice, n_splitting: int) -> Positions:
        """Return the positions of the centers of sub-pixels, (slow, fast, n_splitting²) each.

        Sub-pixels divide the sides of a pixel evenly: between its corners positions are bilinear.

        Raises
        ------
        UsageError
            Pixels are to be split, and there are no four corners.
        """
        if n_splitting == 1:
            return _positions(self.centers[rows][:, :, np.newaxis])
        if self.corners is None:
            raise UsageError("pixels without four corners each (hexagonal ones) cannot be split; use n_splitting=1")
        c = self.corners[rows][:, :, np.newaxis]
        parts = (np.arange(n_splitting) + 0.5) / n_splitting
        u, v = (part.ravel()[:, np.newaxis] for part in np.meshgrid(parts, parts, indexing="ij"))
        one, two, three, four = (c[..., k, :] for k in range(4))
        return _positions((1 - u) * (1 - v) * one + u * (1 - v) * two + u * v * three + (1 - u) * v * four)


def _positions(points: Array) -> Positions:
    return Positions(points[..., 0], points[..., 1], points[..., 2])


def from_pyfai(geometry: Any) -> PositionedPixels:
    """Return the pixels of a pyFAI geometry or integrator, with all that pyFAI knows of its detector.

    Distortion, panels of a NeXus detector, hexagonal pixels and parallax are taken over; positions and solid angles
    are pyFAI's own.

    Parameters
    ----------
    geometry : pyFAI.geometry.Geometry
        Such as ``pyFAI.load("detector.poni")``; its detector has a shape.

    Raises
    ------
    UsageError
        It is no such object, or its detector has no shape.
    """
    if not all(hasattr(geometry, name) for name in ("position_array", "solidAngleArray", "detector", "wavelength")):
        raise UsageError(
            f"{type(geometry).__name__} is no pyFAI geometry; give pyFAI.load(FILE) or an AzimuthalIntegrator of pyFAI"
        )
    shape = geometry.detector.shape
    if shape is None or len(shape) != 2:
        raise UsageError(f"the pyFAI detector has the shape {shape}; set it to (slow, fast)")
    # pyFAI's order is axis 3, 1, 2.
    centers = np.asarray(geometry.position_array(tuple(shape)), np.float64)[..., [1, 2, 0]]
    corners = np.asarray(geometry.position_array(tuple(shape), corners=True), np.float64)[..., [1, 2, 0]]
    angle = np.asarray(geometry.solidAngleArray(tuple(shape)), np.float32)
    four = corners if corners.shape == (*centers.shape[:2], 4, 3) else None
    wavelength = geometry.wavelength
    return PositionedPixels(centers, four, angle, None if wavelength is None else float(wavelength))
