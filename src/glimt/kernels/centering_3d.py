"""X-ray centering in space, from two grid scans at right angles that share the rotation axis.

The rules are those of Diamond's X-ray centering service (dlstbx ``gridscan3d``); the names in the message are its too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.kernels.centering_grid import fill_missing
from glimt.kernels.centering_regions import connected_regions
from glimt.kernels.centering_wells import Wells
from glimt.model.errors import UsageError

Array = npt.NDArray[np.float64]
Corner = tuple[int, int, int]

MAX_VOXELS = 1 << 22
"""Most voxels of a volume; grids of 100 x 100 boxes make a million."""

THRESHOLD, THRESHOLD_ABSOLUTE = 0.25, 0.0
THRESHOLD_ABSOLUTE_MULTI_SAMPLE = 3.0


@dataclass(frozen=True, slots=True)
class Center3D:
    """One diffracting region in space, in boxes of the grids: x along the rotation axis, y of scan 1, z of scan 2.

    Parameters
    ----------
    center_of_mass : (float, float, float)
        x, y, z weighted by the voxels; the middle of the first voxel is 0.5.
    max_voxel : (int, int, int)
        The best voxel.
    max_count : float
        Its value, the product of the values of two boxes.
    n_voxels : int
        Voxels in the region.
    total_count : float
        Sum over them.
    bounding_box : ((int, int, int), (int, int, int))
        First corner, and the one that is just not inside any more.
    sample_id : int or None
        Whose crystal it is.
    """

    center_of_mass: tuple[float, float, float]
    max_voxel: Corner
    max_count: float
    n_voxels: int
    total_count: float
    bounding_box: tuple[Corner, Corner]
    sample_id: int | None = None

    def as_message(self) -> dict[str, Any]:
        """Return the result under the names that ISPyB and the beamline read, of plain values."""
        return {
            "centre_of_mass": self.center_of_mass,
            "max_voxel": self.max_voxel,
            "max_count": self.max_count,
            "n_voxels": self.n_voxels,
            "total_count": self.total_count,
            "bounding_box": self.bounding_box,
            "sample_id": self.sample_id,
        }


def find_centers_3d(
    xy: npt.ArrayLike,
    xz: npt.ArrayLike,
    *,
    threshold: float = THRESHOLD,
    threshold_absolute: float | None = None,
    sample_id: int | None = None,
    wells: Wells | None = None,
) -> list[Center3D]:
    """Return the diffracting regions of the volume that two grid scans span.

    The value of a voxel is the product of the boxes it is seen in. Voxels belong together if they touch, corners
    included. On a pin of several samples each connected region has a maximum of its own to which the threshold refers,
    so that a weak crystal beside a strong one is found.

    Parameters
    ----------
    xy, xz : array_like
        (x, y) and (x, z) numbers of spots, or another measure that grows with diffraction, as `ScanGrid.arrange` gives
        them; NaN is missing and counts as 0.
    threshold : float
        Voxels count from this fraction of the maximum on.
    threshold_absolute : float, optional
        Boxes with less are empty; without it 0, or 3 for a pin of several samples.
    sample_id : int, optional
        Sample of a pin that holds only one.
    wells : Wells, optional
        Of a pin that holds several: the sample is the one whose well the center is in.

    Returns
    -------
    list of Center3D
        By falling ``total_count``; empty if nothing diffracts.

    Raises
    ------
    UsageError
        Values are negative or infinite, the scans differ along x, the volume has more than `MAX_VOXELS`, or a threshold
        makes no sense.
    """
    if threshold_absolute is None:
        threshold_absolute = THRESHOLD_ABSOLUTE if wells is None else THRESHOLD_ABSOLUTE_MULTI_SAMPLE
    if not 0 < threshold <= 1 or not threshold_absolute >= 0:
        raise UsageError(
            f"threshold is {threshold} and threshold_absolute {threshold_absolute}; "
            "the first has to be more than 0 and at most 1, the second 0 or more"
        )
    first, second = fill_missing(xy)[0], fill_missing(xz)[0]
    if first.ndim != 2 or second.ndim != 2 or first.shape[0] != second.shape[0] or not (first.size and second.size):
        raise UsageError(f"the scans have the shapes {first.shape} and {second.shape}; (x, y) and (x, z) are needed")
    if first.size * second.shape[1] > MAX_VOXELS:
        raise UsageError(f"scans of {first.shape} and {second.shape} boxes make more than {MAX_VOXELS} voxels")
    for boxes in (first, second):
        boxes[boxes < threshold_absolute] = 0.0
    volume = first[:, :, np.newaxis] * second[:, np.newaxis, :]
    if not volume.any():
        return []
    chosen = _chosen(volume, threshold, each=wells is not None)
    centers = [_center(volume, region, sample_id, wells) for region in connected_regions(chosen)]
    return sorted(centers, key=lambda center: center.total_count, reverse=True)


def _chosen(volume: Array, threshold: float, *, each: bool) -> npt.NDArray[np.bool_]:
    """Return which voxels count, by the maximum of the volume or of ``each`` connected region."""
    chosen: npt.NDArray[np.bool_] = (volume > 0) & (volume >= threshold * volume.max())
    if each:
        for region in connected_regions(volume > 0):
            values = volume[region]
            chosen[region] = values >= threshold * values.max()
    return chosen


def _center(volume: Array, region: Sequence[npt.NDArray[Any]], sample_id: int | None, wells: Wells | None) -> Center3D:
    values = volume[tuple(region)]
    total = float(values.sum())
    x, y, z = (float((index * values).sum()) / total + 0.5 for index in region)
    best = int(np.argmax(values))
    low_x, low_y, low_z = (int(index.min()) for index in region)
    high_x, high_y, high_z = (int(index.max()) + 1 for index in region)
    best_x, best_y, best_z = (int(index[best]) for index in region)
    return Center3D(
        center_of_mass=(x, y, z),
        max_voxel=(best_x, best_y, best_z),
        max_count=float(values[best]),
        n_voxels=int(values.size),
        total_count=total,
        bounding_box=((low_x, low_y, low_z), (high_x, high_y, high_z)),
        sample_id=sample_id if wells is None else wells.sample_at(x),
    )
