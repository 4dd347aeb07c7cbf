"""Regions of a detector as people draw them: rectangle, polygon, ring; and the one way they are written as JSON."""

from __future__ import annotations

import math
from typing import Any, Literal

import msgspec

from glimt.model.errors import ParameterError

MAX_REGIONS = 200
MAX_VERTICES = 1000
MAX_NAME = 60
FARTHEST_PX = 1e6

_KEYS = {"rectangle": {"bounds"}, "polygon": {"vertices"}, "ring": {"center", "r_min", "r_max"}}


class Region(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A named part of a detector; `glimt.kernels.roi_region.roi_of` makes the region that kernels add up.

    Positions are (slow, fast) [px], counted from the corner of the first pixel.

    Attributes
    ----------
    name : str
        1 to 60 characters.
    kind : str
        ``"rectangle"``, ``"polygon"`` or ``"ring"``; only the attributes of its kind are set.
    image : str
        Path of the published image that it was drawn on; empty if it was not.
    bounds : (int, int, int, int) or None
        Of a rectangle: slow_min, slow_max, fast_min, fast_max, half-open.
    vertices : tuple of (float, float) or None
        Of a polygon, 3 to 1,000.
    center : (float, float) or None
        Of a ring.
    r_min, r_max : float or None
        Of a ring: pixels whose middle is at ``r_min <= r < r_max``.

    Raises
    ------
    ParameterError
        It is none of these, or a number is not finite or too large.
    """

    name: str
    kind: Literal["rectangle", "polygon", "ring"]
    image: str = ""
    bounds: tuple[int, int, int, int] | None = None
    vertices: tuple[tuple[float, float], ...] | None = None
    center: tuple[float, float] | None = None
    r_min: float | None = None
    r_max: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.name) <= MAX_NAME:
            raise ParameterError(f"a region has a name of 1 to {MAX_NAME} characters, this one has {len(self.name)}")
        given = {key for keys in _KEYS.values() for key in keys if getattr(self, key) is not None}
        if given != _KEYS[self.kind]:
            needed = ", ".join(sorted(_KEYS[self.kind]))
            raise ParameterError(f"region {self.name!r}: a {self.kind} has {needed}, got {', '.join(sorted(given))}")
        numbers = [*(self.bounds or ()), *(self.center or ()), *(x for pair in self.vertices or () for x in pair)]
        numbers += [value for value in (self.r_min, self.r_max) if value is not None]
        if not all(math.isfinite(value) and abs(value) <= FARTHEST_PX for value in numbers):
            raise ParameterError(f"region {self.name!r} has a number that is not finite or beyond {FARTHEST_PX:g} px")
        self._check_order()

    def _check_order(self) -> None:
        if self.bounds is not None and (self.bounds[1] < self.bounds[0] or self.bounds[3] < self.bounds[2]):
            raise ParameterError(f"region {self.name!r} ends before it starts: {list(self.bounds)}")
        if self.vertices is not None and not 3 <= len(self.vertices) <= MAX_VERTICES:
            raise ParameterError(
                f"region {self.name!r} has {len(self.vertices)} vertices; a polygon has 3 to {MAX_VERTICES}"
            )
        if self.r_min is not None and self.r_max is not None and not 0 <= self.r_min <= self.r_max:
            raise ParameterError(
                f"region {self.name!r}: a ring has 0 <= r_min <= r_max, not {self.r_min}, {self.r_max}"
            )


def regions_from_json(data: bytes | str) -> list[Region]:
    """Return the regions in a JSON list; nothing at all is none.

    Raises
    ------
    ParameterError
        It is no such list, one of its regions is not allowed, there are too many, or two have one name.
    """
    if not data.strip():
        return []
    try:
        found = msgspec.json.decode(data, type=list[Region])
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ParameterError(f"these are no regions: {error}") from None
    check_regions(found)
    return found


def regions_to_json(regions: list[Region]) -> bytes:
    """Return the regions as `regions_from_json` reads them."""
    return msgspec.json.encode(regions)


def check_regions(regions: Any) -> None:
    """Raise `ParameterError` unless it is a list of at most 200 regions of different names."""
    if not isinstance(regions, list) or not all(isinstance(region, Region) for region in regions):
        raise ParameterError("regions are a list of Region")
    if len(regions) > MAX_REGIONS:
        raise ParameterError(f"{len(regions)} regions are too many; at most {MAX_REGIONS} are possible")
    names = [region.name for region in regions]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ParameterError(f"two regions have the name {twice!r}")
