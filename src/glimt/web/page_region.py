"""A region as the page has it: what is followed, its color, and who changed it last."""

from __future__ import annotations

import secrets
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from glimt.model.errors import ParameterError, UsageError
from glimt.model.followed_region import FollowedRegion
from glimt.model.region import Region

_COLORS = ("#f59f00", "#22b8cf", "#e64980", "#51cf66", "#845ef7", "#ff6b6b", "#339af0", "#94d82d")
"""Those that the browser gives too (``colors.ts``), so that each sees which are taken."""


class PageRegion(FollowedRegion, frozen=True, omit_defaults=True):
    """A region on the page; keys as in ``docs/reference/page-protocol.md``."""

    color: Annotated[str, Meta(pattern="^#[0-9a-fA-F]{6}$")] = ""
    version: int = 0
    changed_by: Annotated[str, Meta(max_length=200)] = ""
    changed_s: float = 0.0

    def told(self) -> dict[str, Any]:
        """Return it as the page is told."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        found["split"] = None if self.split is None else msgspec.structs.asdict(self.split)
        return found | {"quantity": self.quantity, "denominator": self.denominator, "events": self.events}


def page_region(region: Region, number: int) -> PageRegion:
    """Return the region that a parameter has, for the page."""
    color = _COLORS[number % len(_COLORS)]
    return PageRegion(**msgspec.structs.asdict(region), id=new_id(), color=color)


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
