"""What belongs to a published value: its x values, its mask, as attributes say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from glimt.web.page_feed import PageNode


def companion(nodes: Mapping[str, PageNode], path: str, key: Literal["x", "mask"]) -> str | None:
    """Return the path of what an attribute names, absolute or beside the value; ``None`` if there is none.

    The x values of an NXdata group's signal are those of its last axis.
    """
    node = nodes.get(path)
    if node is None:
        return None
    group = path.rpartition("/")[0]
    named = node.attributes.get(key)
    if named is None and key == "x":
        named = _last_axis(nodes.get(group or "/"), path)
    if not isinstance(named, str) or not named:
        return None
    found = named if named.startswith("/") else f"{group}/{named}"
    return found if found in nodes and found != path else None


def companions(nodes: Mapping[str, PageNode], path: str) -> set[str]:
    """Return the paths of all that belongs to a value."""
    return {found for found in (companion(nodes, path, "x"), companion(nodes, path, "mask")) if found is not None}


def _last_axis(group: PageNode | None, path: str) -> Any:
    if group is None or group.attributes.get("signal") != path.rpartition("/")[2]:
        return None
    axes = group.attributes.get("axes")
    return axes[-1] if isinstance(axes, list) and axes else axes
