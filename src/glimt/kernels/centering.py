"""X-ray centering on one grid scan: where on the picture of the sample the crystal diffracts.

The rules are those of Diamond's X-ray centering service (dlstbx ``gridscan2d``); the names in the message are its too.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.kernels.centering_grid import ScanGrid, fill_missing
from glimt.kernels.centering_regions import connected_regions
from glimt.kernels.centering_wells import Wells
from glimt.model.errors import UsageError

MIN_FRACTION = 0.5
"""Boxes of less than this fraction of the best one do not count as crystal."""


@dataclass(frozen=True, slots=True)
class Center2D:
    """The largest region of diffracting boxes; all but the grid is ``None`` if nothing diffracts.

    Parameters
    ----------
    grid : ScanGrid
        That was scanned.
    n_missing : int
        Images of which nothing is known; they counted as empty.
    center_of_mass : (float, float) or None
        x and y of the region [boxes]; the middle of the first box is 0.5.
    max_voxel : (int, int) or None
        x and y of its best box.
    max_count : float or None
        Largest value of the whole grid.
    n_voxels : int or None
        Boxes in the region.
    total_count : float or None
        Sum of the values over the region.
    best_image : int or None
        Image of the largest value, from 1; the first of several.
    best_region : tuple of (int, int) or None
        y and x of every box of the region.
    sample_id : int or None
        Whose crystal it is.
    """

    grid: ScanGrid
    n_missing: int = 0
    center_of_mass: tuple[float, float] | None = None
    max_voxel: tuple[int, int] | None = None
    max_count: float | None = None
    n_voxels: int | None = None
    total_count: float | None = None
    best_image: int | None = None
    best_region: tuple[tuple[int, int], ...] | None = None
    sample_id: int | None = None

    @property
    def is_found(self) -> bool:
        """Whether anything diffracts."""
        return self.center_of_mass is not None

    @property
    def center_px(self) -> tuple[float, float] | None:
        """X and y of the center on the camera's picture [px]; ``None`` if nothing diffracts."""
        if self.center_of_mass is None:
            return None
        x, y = (
            offset + box * size
            for offset, box, size in zip(
                self.grid.snapshot_offset_px, self.center_of_mass, self.grid.box_size_px, strict=True
            )
        )
        return x, y

    def as_message(self) -> dict[str, Any]:
        """Return the result under the names that GDA, ISPyB and the beamline read, of plain values."""
        box, pixel = self.center_of_mass or (None, None), self.center_px or (None, None)
        return {
            "centre_of_mass": self.center_of_mass,
            "max_voxel": self.max_voxel,
            "max_count": self.max_count,
            "n_voxels": self.n_voxels,
            "total_count": self.total_count,
            "sample_id": self.sample_id,
            "steps": self.grid.steps,
            "box_size_px": self.grid.box_size_px,
            "snapshot_offset": self.grid.snapshot_offset_px,
            "centre_x": pixel[0],
            "centre_y": pixel[1],
            "centre_x_box": box[0],
            "centre_y_box": box[1],
            "status": "ok" if self.is_found else "fail",
            "message": "ok" if self.is_found else "No good images found",
            "best_image": self.best_image,
            "reflections_in_best_image": None if self.max_count is None else int(self.max_count),
            "best_region": self.best_region,
        }

    def as_json(self) -> str:
        """Return the text of the file that beamlines know as ``Dials5AResults.json``."""
        return json.dumps(self.as_message(), sort_keys=True)


def find_center_2d(
    values: npt.ArrayLike,
    grid: ScanGrid,
    *,
    min_fraction: float = MIN_FRACTION,
    weighted: bool = False,
    sample_id: int | None = None,
    wells: Wells | None = None,
) -> Center2D:
    """Return the center of the largest diffracting region of a grid scan.

    A region is made of boxes that touch, corners included; the largest has most boxes, whatever their values.

    Parameters
    ----------
    values : array_like
        (image,) number of spots, or any other measure that grows with diffraction, in the order of the images. NaN, and
        whatever a stopped scan lacks at the end, is missing and counts as 0.
    grid : ScanGrid
        Its boxes.
    min_fraction : float
        Boxes belong to a region from this fraction of the largest value on.
    weighted : bool
        Whether boxes weigh as much as their value; Diamond's service lets them all weigh the same.
    sample_id : int, optional
        Sample of a pin that holds only one.
    wells : Wells, optional
        Of a pin that holds several: the sample is the one whose well the center is in.

    Returns
    -------
    Center2D
        Not found if no value is larger than 0.

    Raises
    ------
    UsageError
        Values are negative, infinite or more than boxes, or the fraction is not between 0 (excluded) and 1.
    """
    if not 0 < min_fraction <= 1:
        raise UsageError(f"min_fraction is {min_fraction}; it has to be more than 0 and at most 1")
    linear, n_missing = fill_missing(values)
    by_box, n_unreached = fill_missing(grid.arrange(linear))
    if not linear.any():
        return Center2D(grid, n_missing=n_missing + n_unreached)
    by_row = by_box.T
    largest = float(linear.max())
    region = max(connected_regions(by_row >= min_fraction * largest), key=lambda found: found[0].size)
    y, x = region
    inside = by_row[region]
    weights = inside if weighted else np.ones(inside.size)
    total_weight = weights.sum()
    center = float((x * weights).sum() / total_weight) + 0.5, float((y * weights).sum() / total_weight) + 0.5
    best = int(np.argmax(inside))
    return Center2D(
        grid,
        n_missing=n_missing + n_unreached,
        center_of_mass=center,
        max_voxel=(int(x[best]), int(y[best])),
        max_count=largest,
        n_voxels=int(inside.size),
        total_count=float(inside.sum()),
        best_image=int(np.argmax(linear)) + 1,
        best_region=tuple(zip(y.tolist(), x.tolist(), strict=True)),
        sample_id=sample_id if wells is None else wells.sample_at(center[0]),
    )


def describe_center_2d(values: npt.ArrayLike, center: Center2D) -> str:
    """Return the text of the log that goes with the result: the grid as rows of numbers, with dots where it is weak."""
    grid = center.grid
    lines = [
        f"steps_x/y: {grid.steps}",
        f"box_size_px: {grid.box_size_px}",
        f"snapshot_offset: {grid.snapshot_offset_px}",
    ]
    if center.n_missing:
        lines.append(f"{center.n_missing} of {grid.n_images} images are missing.")
    if center.center_px is None or center.max_count is None:
        return "\n".join([*lines, "No good images found"])
    rows = fill_missing(grid.arrange(fill_missing(values)[0]))[0].T
    width = max(len(f"{center.max_count:.0f}"), 1)
    lines.append(f"There are {center.max_count:.0f} reflections in image #{center.best_image}.")
    lines.append("grid:")
    for row in rows:
        shown = (f"{value:.0f}" if value >= MIN_FRACTION * center.max_count else "." for value in row.tolist())
        lines.append("[" + " ".join(text.rjust(width) for text in shown) + "]")
    x, y = center.center_px
    return "\n".join([*lines, f"centre_x,centre_y={x},{y}"])
