"""Regions of interest: rectangle, polygon and ring."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from glimt.kernels.frame_check import checked_number
from glimt.model.errors import UsageError

Bools = npt.NDArray[np.bool_]

MAX_CORNERS = 10000
FARTHEST_PX = 1e7


@dataclass(frozen=True, slots=True)
class Roi:
    """A rectangle, half-open: pixels ``slow_min <= slow < slow_max`` and ``fast_min <= fast < fast_max``.

    What lies outside of the frame is left out.

    Raises
    ------
    UsageError
        A bound is no whole number, or a maximum is below its minimum.
    """

    slow_min: int
    slow_max: int
    fast_min: int
    fast_max: int

    def __post_init__(self) -> None:
        for name in ("slow_min", "slow_max", "fast_min", "fast_max"):
            value = checked_number(getattr(self, name), name, -FARTHEST_PX, FARTHEST_PX)
            if value != int(value):
                raise UsageError(f"{name} is {value:g}; a rectangle ends between pixels, at a whole number")
        if self.slow_max < self.slow_min or self.fast_max < self.fast_min:
            raise UsageError(f"{self} ends before it starts")

    def covers(self, shape: tuple[int, int]) -> Bools:
        """Return which pixels of a frame are inside, (slow, fast) bool."""
        inside = np.zeros(shape, np.bool_)
        slow = slice(max(int(self.slow_min), 0), max(int(self.slow_max), 0))
        inside[slow, max(int(self.fast_min), 0) : max(int(self.fast_max), 0)] = True
        return inside


@dataclass(frozen=True, slots=True)
class PolygonRoi:
    """A polygon: pixels whose middle is inside, by the even-odd rule.

    Parameters
    ----------
    corners : tuple of (float, float)
        (slow, fast) [px], counted from the corner of the first pixel; the last is joined to the first.

    Raises
    ------
    UsageError
        Fewer than three corners, more than 10000, or one that is no place.
    """

    corners: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        try:
            corners = np.asarray(self.corners, np.float64)
        except (TypeError, ValueError):
            raise UsageError(f"the corners {str(self.corners)[:60]} are not (slow, fast) pairs of numbers") from None
        if corners.ndim != 2 or corners.shape[1] != 2 or not 3 <= len(corners) <= MAX_CORNERS:
            raise UsageError(f"a polygon has 3 to {MAX_CORNERS} corners (slow, fast); these have shape {corners.shape}")
        if not (np.abs(corners) <= FARTHEST_PX).all():
            raise UsageError(f"a corner of the polygon is not finite or farther than {FARTHEST_PX:g} px")

    def covers(self, shape: tuple[int, int]) -> Bools:
        """Return which pixels of a frame are inside, (slow, fast) bool."""
        corners = np.asarray(self.corners, np.float64) - 0.5
        crossings = np.zeros((shape[0], shape[1] + 1), np.int32)
        for (s1, f1), (s2, f2) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            if s1 == s2:
                continue
            rows = np.arange(max(math.ceil(min(s1, s2)), 0), min(math.ceil(max(s1, s2)), shape[0]))
            at = f1 + (rows - s1) * ((f2 - f1) / (s2 - s1))
            # Every pixel from the crossing on changes sides.
            np.add.at(crossings, (rows, np.clip(np.ceil(at), 0, shape[1]).astype(np.int64)), 1)
        inside: Bools = np.cumsum(crossings, axis=1)[:, :-1] % 2 == 1
        return inside


@dataclass(frozen=True, slots=True)
class RingRoi:
    """A ring: pixels whose middle is at ``radius_min_px <= distance < radius_max_px`` from the center.

    Parameters
    ----------
    center_slow_px, center_fast_px : float
        Counted from the corner of the first pixel.
    radius_min_px, radius_max_px : float
        0 as the smaller one makes a disc.

    Raises
    ------
    UsageError
        A number that is none, or a larger radius that is below the smaller.
    """

    center_slow_px: float
    center_fast_px: float
    radius_min_px: float
    radius_max_px: float

    def __post_init__(self) -> None:
        for name in ("center_slow_px", "center_fast_px"):
            checked_number(getattr(self, name), name, -FARTHEST_PX, FARTHEST_PX)
        for name in ("radius_min_px", "radius_max_px"):
            checked_number(getattr(self, name), name, 0.0, FARTHEST_PX)
        if self.radius_max_px < self.radius_min_px:
            raise UsageError(f"the ring's outer radius {self.radius_max_px:g} px is below {self.radius_min_px:g} px")

    def covers(self, shape: tuple[int, int]) -> Bools:
        """Return which pixels of a frame are inside, (slow, fast) bool."""
        slow = np.arange(shape[0])[:, None] + 0.5 - self.center_slow_px
        fast = np.arange(shape[1])[None, :] + 0.5 - self.center_fast_px
        square = slow**2 + fast**2
        inside: Bools = (self.radius_min_px**2 <= square) & (square < self.radius_max_px**2)
        return inside


AnyRoi = Roi | PolygonRoi | RingRoi
