"""Which spots to keep: by size, shape, resolution, ice rings and place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.kernels.frame_check import checked_count, checked_mask, checked_number
from glimt.kernels.resolution import SpotResolution
from glimt.kernels.resolution_ice import on_ice_ring
from glimt.model.errors import UsageError
from glimt.model.panel_placement import PanelPlacement

Kept = npt.NDArray[np.bool_]

MAX_SPOT_PIXELS = 1 << 28


def _checked_d(value: float | None, name: str) -> float | None:
    return None if value is None else checked_number(value, name, 1e-3, 1e9)


def _checked_region(untrusted: npt.ArrayLike) -> Kept:
    array = np.asarray(untrusted)
    if array.ndim != 2:
        raise UsageError(f"untrusted has shape {array.shape}; (slow, fast) is needed")
    return checked_mask(array, (array.shape[0], array.shape[1]))


class SpotFilter:
    """Filters of spots, with DIALS' names, defaults and limits, which are all inclusive.

    Parameters
    ----------
    min_spot_size, max_spot_size : int
        Fewest and most pixels. DIALS takes at least 3 for hybrid pixel detectors, 6 for others.
    max_separation : float or None
        Greatest distance from the centroid to the center of the greatest pixel [px]; ``None``: any.
    d_min, d_max : float, optional
        Highest and lowest resolution [Å].
    ice_width : float, optional
        Take away spots within half this width of a ring of hexagonal ice, in 1/d² [1/Å²]; DIALS' is 0.004.
    resolution : SpotResolution, optional
        Geometry; ``d_min``, ``d_max`` and ``ice_width`` need it.
    untrusted : array_like, optional
        (slow, fast), True where no spot may have its centroid; `glimt.kernels.masks` makes rectangles, circles,
        polygons and resolution ranges. Pixels that must not even count to the background belong into the
        mask of the finder.

    Raises
    ------
    UsageError
        A limit is out of range, the lower one is above the upper one, or there is no ``resolution`` where it is needed.
    """

    def __init__(
        self,
        *,
        min_spot_size: int = 3,
        max_spot_size: int = 1000,
        max_separation: float | None = 2.0,
        d_min: float | None = None,
        d_max: float | None = None,
        ice_width: float | None = None,
        resolution: SpotResolution | None = None,
        untrusted: npt.ArrayLike | None = None,
    ) -> None:
        self.min_spot_size = checked_count(min_spot_size, "min_spot_size", 1, MAX_SPOT_PIXELS)
        self.max_spot_size = checked_count(max_spot_size, "max_spot_size", 1, MAX_SPOT_PIXELS)
        if self.min_spot_size > self.max_spot_size:
            raise UsageError(
                f"min_spot_size {min_spot_size} is above max_spot_size {max_spot_size}: nothing would stay"
            )
        self.max_separation = (
            None if max_separation is None else checked_number(max_separation, "max_separation", 0.0, 1e9)
        )
        self.d_min, self.d_max = _checked_d(d_min, "d_min"), _checked_d(d_max, "d_max")
        if self.d_min is not None and self.d_max is not None and self.d_min > self.d_max:
            raise UsageError(f"d_min {d_min} Å is above d_max {d_max} Å: nothing would stay; are they swapped?")
        self.ice_width = None if ice_width is None else checked_number(ice_width, "ice_width", 1e-9, 1e3)
        self.resolution = resolution
        if resolution is None and not (d_min is None and d_max is None and ice_width is None):
            raise UsageError("d_min, d_max and ice_width need to know the geometry: give resolution")
        self._untrusted = None if untrusted is None else _checked_region(untrusted)

    def check_shape(self, shape: tuple[int, int]) -> None:
        """Raise `UsageError` if the untrusted region is made for frames of another shape."""
        if self._untrusted is not None and self._untrusted.shape != shape:
            raise UsageError(f"untrusted has shape {self._untrusted.shape}, the frame {shape}")

    def keep(self, spots: npt.NDArray[Any], *, placements: Sequence[PanelPlacement] = ()) -> Kept:
        """Return which spots stay, (n_spots,) bool.

        Parameters
        ----------
        spots : ndarray
            (n_spots,) of type `glimt.kernels.spots.SPOT`; none give none.
        placements : sequence of PanelPlacement
            Where in the frame panels are, if there are several.
        """
        size = spots["n_pixels"]
        kept: Kept = (size >= self.min_spot_size) & (size <= self.max_spot_size)
        if self.max_separation is not None:
            apart = np.hypot(spots["peak_fast"] + 0.5 - spots["x"], spots["peak_slow"] + 0.5 - spots["y"])
            kept &= apart <= self.max_separation
        if self.resolution is not None:
            d_star = self.resolution.d_star(spots["x"], spots["y"], panel_number=spots["panel_number"])
            kept &= self._keep_by_resolution(d_star)
        if self._untrusted is not None:
            slow, fast = spots["y"].astype(np.int64), spots["x"].astype(np.int64)
            if placements:
                slow += np.array([place.slow_start for place in placements])[spots["panel_number"]]
                fast += np.array([place.fast_start for place in placements])[spots["panel_number"]]
            kept &= ~self._untrusted[slow, fast]
        return kept

    def _keep_by_resolution(self, d_star: npt.NDArray[np.float64]) -> Kept:
        d = np.divide(1.0, d_star, out=np.full(d_star.shape, math.inf), where=d_star > 0)
        kept: Kept = np.ones(d.shape, np.bool_)
        if self.d_min is not None:
            kept &= d >= self.d_min
        if self.d_max is not None:
            kept &= d <= self.d_max
        if self.ice_width is not None:
            kept &= ~on_ice_ring(d_star * d_star, width=self.ice_width)
        return kept
