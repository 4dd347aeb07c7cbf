"""A region on the page: where it is, what is followed of it, and by what that is divided."""

from __future__ import annotations

import secrets
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from glimt.model.errors import ParameterError, UsageError
from glimt.model.region import FARTHEST_PX, MAX_NAME, MAX_VERTICES, Region

_Path = Annotated[str, Meta(min_length=1, max_length=1024)]
_Number = Annotated[float, Meta(ge=-FARTHEST_PX, le=FARTHEST_PX)]
_Pixel = Annotated[int, Meta(ge=-(10**6), le=10**6)]

_COLORS = ("#d9541e", "#0b5fa5", "#2e8b57", "#8e44ad", "#b8860b", "#c2185b", "#00838f", "#6d4c41")


class Split(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Pump and probe: which points are *on*, and how they are binned; see ``docs/reference/page-protocol.md``."""

    on: _Path | None = None
    above: float = 0.5
    delay: _Path | None = None
    low: float = 0.0
    high: float = 1.0
    n_bins: Annotated[int, Meta(ge=1, le=500)] = 20


class PageRegion(msgspec.Struct, frozen=True, omit_defaults=True):
    """A region as the page has it; keys as in ``docs/reference/page-protocol.md``."""

    name: Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
    kind: Literal["rectangle", "polygon", "ring", "value"]
    image: _Path
    id: Annotated[str, Meta(pattern="^[A-Za-z0-9]{0,32}$")] = ""
    color: Annotated[str, Meta(pattern="^#[0-9a-fA-F]{6}$")] = ""
    quantity: Literal["sum", "mean"] = "sum"
    denominator: _Path | None = None
    events: _Path | None = None
    split: Split | None = None
    bounds: tuple[_Pixel, _Pixel, _Pixel, _Pixel] | None = None
    vertices: Annotated[tuple[tuple[_Number, _Number], ...], Meta(max_length=MAX_VERTICES)] | None = None
    center: tuple[_Number, _Number] | None = None
    r_min: _Number | None = None
    r_max: _Number | None = None
    version: int = 0
    changed_by: Annotated[str, Meta(max_length=200)] = ""
    changed_s: float = 0.0

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

    def told(self) -> dict[str, Any]:
        """Return it as the page is told."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        for key in ("denominator", "events", "split"):
            found.setdefault(key, None)
        if found["split"] is not None:
            found["split"] = msgspec.structs.asdict(self.split)  # type: ignore[arg-type]  # it is not None
        return found | {"quantity": self.quantity}

    def measures_as(self, other: PageRegion) -> bool:
        """Tell whether points of the other one belong in the same curve."""
        return self._measured() == other._measured()

    def _measured(self) -> tuple[Any, ...]:
        keys = (
            "kind", "image", "quantity", "denominator", "events", "split",
            "bounds", "vertices", "center", "r_min", "r_max",
        )  # fmt: skip
        return tuple(getattr(self, key) for key in keys)


def page_region(region: Region, number: int) -> PageRegion:
    """Return the region that a parameter has, for the page."""
    shape = {key: getattr(region, key) for key in ("bounds", "vertices", "center", "r_min", "r_max")}
    color = _COLORS[number % len(_COLORS)]
    return PageRegion(name=region.name, kind=region.kind, image=region.image, id=new_id(), color=color, **shape)


def new_id() -> str:
    """Return an identity that no other region has."""
    return secrets.token_hex(6)


def region_from(content: object) -> PageRegion:
    """Return the region that a page sends.

    Raises
    ------
    UsageError
        It is none; the text says why.
    """
    try:
        found = msgspec.convert(content, PageRegion)
    except (msgspec.ValidationError, ParameterError) as error:
        raise UsageError(f"not a region: {error}") from None
    return found if found.color else msgspec.structs.replace(found, color=_COLORS[0])
