"""What the page of services knows of data collections."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from glimt.kernels.centering_grid import ScanGrid

N_COLLECTIONS = 12
N_GRIDS, N_ROTATIONS = 3, 2
"""Of so many of them the images are read."""
MAX_IMAGES = 50_000
"""Of one data collection; those beyond are not shown."""

MEASURED = {
    "spots": "spotTotal",
    "spots_no_ice": "goodBraggCandidates",
    "resolution": "method1Res",
    "intensity": "totalIntegratedSignal",
    "dozor_score": "dozor_score",
}
"""What is shown of an image, and its column of ImageQualityIndicators."""

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Collection:
    """A data collection.

    Attributes
    ----------
    dcid, group_id : int
    file : str
        Template of its images.
    started : str
    n_images, first_image : int
    grid : ScanGrid or None
        Of a grid scan.
    n_analysed : int
        Images with results.
    most_spots : float
        NaN if there are none.
    partners : tuple of int
        All data collections of the group, this one too.
    """

    dcid: int
    group_id: int
    file: str
    started: str
    n_images: int
    first_image: int
    grid: ScanGrid | None = None
    n_analysed: int = 0
    most_spots: float = math.nan
    partners: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ImageResults:
    """What was found in the images of a data collection that are analysed.

    Attributes
    ----------
    places : ndarray
        (n,) int64, which image, from 0.
    values : dict of str to ndarray
        (n,) float64 for each of `MEASURED`; NaN where nothing is said.
    """

    places: npt.NDArray[np.int64]
    values: dict[str, Values]


@dataclass(frozen=True, slots=True)
class Centering:
    """A result of X-ray centering, one of the regions that it found.

    Attributes
    ----------
    centering_id, group_id : int
    kind : str
        ``2d`` or ``3d``; empty if it is not said.
    status : str
    place : tuple of float
        x, y, z [boxes]; NaN where it is not said.
    n_voxels : int
    total : float
    """

    centering_id: int
    group_id: int
    kind: str
    status: str
    place: tuple[float, float, float]
    n_voxels: int
    total: float


@dataclass(frozen=True, slots=True)
class Results:
    """What is shown of a results database; all lists newest first, regions of one centering in their order."""

    collections: list[Collection] = field(default_factory=list)
    images: dict[int, ImageResults] = field(default_factory=dict)
    centerings: list[Centering] = field(default_factory=list)
    took_s: float = 0.0
