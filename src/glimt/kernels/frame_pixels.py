"""Where the pixels of a frame look, whatever kind of geometry says so: panels that are flat, or a position for each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from glimt.kernels.pixel_positions import (
    PixelGrid,
    Positions,
    grid_of_poni,
    grid_positions,
    grid_solid_angle,
)
from glimt.model.detector_geometry import DetectorGeometry, Panel
from glimt.model.errors import UsageError
from glimt.model.geometry import Poni

Array = npt.NDArray[np.float64]
Area = tuple[slice, slice]

SolidAngle = Literal["incidence", "panels"]
ROWS_AT_ONCE = 64
_MM, _ANGSTROM = 1e-3, 1e-10


class Block(NamedTuple):
    """Some pixels of a frame: their place in the array, and the laboratory positions of their centers [m]."""

    area: Area
    at: Positions


class FramePixels(Protocol):
    """All pixels of frames of one detector."""

    @property
    def shape(self) -> tuple[int, int]:
        """(slow, fast) of frames."""
        ...

    @property
    def wavelength(self) -> float | None:
        """[m]."""
        ...

    def blocks(self) -> Iterator[Block]:
        """Yield pixels, a few rows at a time, all that have a place once."""
        ...

    def solid_angle(self, kind: SolidAngle) -> npt.NDArray[np.float32]:
        """Return (slow, fast) relative solid angles, 0 where no pixel has a place."""
        ...


@dataclass(frozen=True, slots=True)
class GridPixels:
    """Pixels of one or several flat grids.

    Parameters
    ----------
    grids : tuple of PixelGrid
        Not overlapping in the frame.
    shape : (int, int)
        (slow, fast) of frames.
    wavelength : float or None
        [m].
    """

    grids: tuple[PixelGrid, ...]
    shape: tuple[int, int]
    wavelength: float | None

    def blocks(self) -> Iterator[Block]:
        """Yield pixels, a few rows at a time."""
        for grid in self.grids:
            for rows, area in _rows(grid):
                yield Block(area, grid_positions(grid, rows=rows))

    def solid_angle(self, kind: SolidAngle) -> npt.NDArray[np.float32]:
        """Return (slow, fast) relative solid angles, 0 beside the panels."""
        angle = np.zeros(self.shape, np.float32)
        first = self.grids[0]
        for grid in self.grids:
            factor = 1.0
            if kind == "panels":
                factor = abs(grid.step1 * grid.step2 / (first.step1 * first.step2))
                factor *= (first.distance / grid.distance) ** 2
            for rows, area in _rows(grid):
                angle[area] = factor * grid_solid_angle(grid, rows)
        return angle


def _rows(grid: PixelGrid) -> Iterator[tuple[slice, Area]]:
    columns = slice(grid.first_fast, grid.first_fast + grid.shape[1])
    for first in range(0, grid.shape[0], ROWS_AT_ONCE):
        last = min(grid.shape[0], first + ROWS_AT_ONCE)
        yield slice(first, last), (slice(grid.first_slow + first, grid.first_slow + last), columns)


def frame_pixels(geometry: Any) -> FramePixels:
    """Return the pixels of a `Poni`, a `DetectorGeometry` with placements, or of what are pixels already.

    Raises
    ------
    UsageError
        It is none of these, or does not say how many pixels there are or where panels are in the frame.
    """
    if isinstance(geometry, Poni):
        return GridPixels((grid_of_poni(geometry),), geometry.shape, geometry.wavelength)
    if isinstance(geometry, DetectorGeometry):
        shape, placements = geometry.layout()
        axes = _axes(geometry)
        grids = [
            _grid_of_panel(panel, axes, placement.slow_start, placement.fast_start)
            for panel, placement in zip(geometry.panels, placements, strict=True)
        ]
        return GridPixels(tuple(grids), shape, geometry.wavelength_angstrom * _ANGSTROM)
    if all(hasattr(geometry, name) for name in ("blocks", "solid_angle", "shape", "wavelength")):
        pixels: FramePixels = geometry
        return pixels
    raise UsageError(
        f"{type(geometry).__name__} is no geometry; give a Poni, a DetectorGeometry, or from_pyfai(integrator)"
    )


def _axes(geometry: DetectorGeometry) -> Array:
    """Return the matrix (3, 3) that takes laboratory positions to axes 1 (vertical), 2 (horizontal), 3 (beam)."""
    beam, horizontal, vertical = (np.array(v) for v in (geometry.beam, geometry.horizontal, geometry.vertical))
    horizontal = horizontal - (horizontal @ beam) * beam
    horizontal /= np.linalg.norm(horizontal)
    vertical = vertical - (vertical @ beam) * beam - (vertical @ horizontal) * horizontal
    return np.stack([vertical / np.linalg.norm(vertical), horizontal, beam])


def _grid_of_panel(panel: Panel, axes: Array, first_slow: int, first_fast: int) -> PixelGrid:
    own = np.stack([panel.slow, panel.fast, panel.normal], axis=1)
    start1, start2, distance = np.linalg.solve(own, np.array(panel.origin_mm)) * _MM
    slow_mm, fast_mm = panel.pixel_size_mm
    return PixelGrid(
        float(start1), slow_mm * _MM, float(start2), fast_mm * _MM, float(distance),
        axes @ own, panel.shape, first_slow, first_fast,
    )  # fmt: skip
