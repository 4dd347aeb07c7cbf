"""A region or published value that is followed from event to event: what is taken of it, by what it is divided."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from glimt.model.errors import ParameterError
from glimt.model.region import FARTHEST_PX, MAX_NAME, MAX_VERTICES, Region

_Path = Annotated[str, Meta(min_length=1, max_length=1024)]
_Number = Annotated[float, Meta(ge=-FARTHEST_PX, le=FARTHEST_PX)]
_Pixel = Annotated[int, Meta(ge=-(10**6), le=10**6)]


class Split(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Pump and probe: which points are *on*, and how they are binned; see `glimt.kernels.pump_probe.pump_probe`.

    Attributes
    ----------
    on, delay : str or None
        Paths of the published numbers that tell.
    above : float
        Largest number that is still off.
    low, high : float
        Of the bins of the delay.
    n_bins : int
        1 to 500.
    """

    on: _Path | None = None
    above: float = 0.5
    delay: _Path | None = None
    low: float = 0.0
    high: float = 1.0
    n_bins: Annotated[int, Meta(ge=1, le=500)] = 20


class FollowedRegion(msgspec.Struct, frozen=True, omit_defaults=True):
    """A region of an image, or a published value, and what is followed of it.

    Attributes
    ----------
    name : str
        1 to 60 characters.
    kind : str
        As of `glimt.model.region.Region`, whose shapes it has, or ``"value"``, without a shape.
    image : str
        Path of the published image; of kind ``"value"``, of a number, or of a curve with one value an event.
    id : str
        Tells one region from another, whatever their names.
    quantity : str
        ``"sum"`` or ``"mean"`` of the pixels.
    denominator : str or None
        Path of the published number that it is divided by.
    events : str or None
        Path of the event numbers of a curve.
    split : Split or None
        Pump and probe.

    Raises
    ------
    ParameterError
        Its shape is none, or its bins do not grow.
    """

    name: Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
    kind: Literal["rectangle", "polygon", "ring", "value"]
    image: _Path
    id: Annotated[str, Meta(pattern="^[A-Za-z0-9]{0,32}$")] = ""
    quantity: Literal["sum", "mean"] = "sum"
    denominator: _Path | None = None
    events: _Path | None = None
    split: Split | None = None
    bounds: tuple[_Pixel, _Pixel, _Pixel, _Pixel] | None = None
    vertices: Annotated[tuple[tuple[_Number, _Number], ...], Meta(max_length=MAX_VERTICES)] | None = None
    center: tuple[_Number, _Number] | None = None
    r_min: _Number | None = None
    r_max: _Number | None = None

    def __post_init__(self) -> None:
        if self.kind == "value":
            if any(each is not None for each in (self.bounds, self.vertices, self.center, self.r_min, self.r_max)):
                raise ParameterError(f"region {self.name!r} is a value, it has no shape")
        else:
            self.region()
        if self.split is not None and not self.split.low < self.split.high:
            raise ParameterError(f"region {self.name!r}: bins go from low to high, not {self.split.low:g} to below it")

    def region(self) -> Region:
        """Return what a worker reads of it; of kind ``value`` there is nothing."""
        assert self.kind != "value"
        return Region(
            name=self.name,
            kind=self.kind,
            image=self.image,
            bounds=self.bounds,
            vertices=self.vertices,
            center=self.center,
            r_min=self.r_min,
            r_max=self.r_max,
        )

    def measures_as(self, other: FollowedRegion) -> bool:
        """Tell whether points of the other one belong in the same curve."""
        return self._measured() == other._measured()

    def _measured(self) -> tuple[Any, ...]:
        keys = (
            "kind", "image", "quantity", "denominator", "events", "split",
            "bounds", "vertices", "center", "r_min", "r_max",
        )  # fmt: skip
        return tuple(getattr(self, key) for key in keys)
