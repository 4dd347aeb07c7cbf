"""Results as plots and tables of the page of services: grid scans as heat maps, other scans as curves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.app.serve_page_records import (
    MAX_IMAGES,
    MEASURED,
    N_GRIDS,
    N_ROTATIONS,
    Centering,
    Collection,
    ImageResults,
    Results,
)
from glimt.app.serve_page_tree import Column, table
from glimt.services.recipe_log import printable

Values = npt.NDArray[np.float64]

_WORDS = {
    "spots": ("spots", ""),
    "spots_no_ice": ("spots without ice", ""),
    "resolution": ("resolution", "Å"),
    "intensity": ("intensity", "counts"),
    "dozor_score": ("Dozor score", ""),
}
_SHOWN = {"grid_scan": {"spots", "resolution"}, "rotation": {"spots", "resolution"}}
"""What has a plot without being asked for, of the newest scan; of those before it only the spots have."""
_POSITIVE = frozenset({"resolution"})
"""Where 0 or less means that nothing could be measured."""
_BEST_IS_LOW = frozenset({"resolution"})
"""Where a low number is a good one: the best box is the brightest, as in the other heat maps."""

_COLLECTIONS: tuple[Column, ...] = (
    ("data collection", "count"),
    ("files", "text"),
    ("started", "text"),
    ("grid", "text"),
    ("images", "count"),
    ("analysed", "count"),
    ("most spots", "number"),
    ("center, boxes", "text"),
)
_CENTERINGS: tuple[Column, ...] = (
    ("data collections", "text"),
    ("kind", "text"),
    ("status", "text"),
    ("center, boxes", "text"),
    ("boxes in it", "count"),
    ("their sum", "number"),
)


def slot_names() -> list[str]:
    """Return the groups of the tree: ``grid_scan`` is the newest, ``grid_scan_2`` the one before."""
    return [_slot("grid_scan", i) for i in range(N_GRIDS)] + [_slot("rotation", i) for i in range(N_ROTATIONS)]


def results_tree(results: Results) -> dict[str, Any]:
    """Return the part of the tree that shows results, ``None`` where no scan is; newest rows of tables are last."""
    tree: dict[str, Any] = dict.fromkeys(slot_names())
    for kind, wants_grid in (("grid_scan", True), ("rotation", False)):
        found = [each for each in results.collections if (each.grid is not None) is wants_grid]
        for index, collection in enumerate(found[: N_GRIDS if wants_grid else N_ROTATIONS]):
            images = results.images.get(collection.dcid)
            if images is None:
                continue
            chosen = _SHOWN[kind] if index == 0 else {"spots"}
            center = center_on(collection, results.centerings)
            tree[_slot(kind, index)] = (
                _heat_maps(collection, images, center, chosen) if wants_grid else _curves(collection, images, chosen)
            )
    tree["collections"] = _collection_table(results)
    tree["centering"] = _centering_table(results)
    return tree


def center_on(collection: Collection, centerings: list[Centering]) -> tuple[float, float] | None:
    """Return the place on a grid [boxes: column, row] where the newest centering of its group found the crystal.

    Centerings are entered for a group of data collections. One in the plane belongs to its only member, one in space to
    two: x and y of the first, x and z of the second. ``None`` where that is not so, and where nothing was found.
    """
    mine = [each for each in centerings if each.group_id == collection.group_id]
    if collection.grid is None or not mine:
        return None
    largest = mine[0]  # the first region of the newest
    x, y, z = largest.place
    if largest.kind == "3d":
        if len(collection.partners) != 2:
            return None
        y = y if collection.dcid == collection.partners[0] else z
    elif len(collection.partners) != 1:
        return None
    return (x, y) if math.isfinite(x) and math.isfinite(y) else None


def _slot(kind: str, index: int) -> str:
    return kind if index == 0 else f"{kind}_{index + 1}"


def _title(collection: Collection, what: str, more: str = "") -> str:
    scan = "data collection" if collection.grid is None else "grid scan"
    return " · ".join(filter(None, (f"{scan} {collection.dcid}", what, more, printable(collection.file))))


def _heat_maps(
    collection: Collection, images: ImageResults, center: tuple[float, float] | None, chosen: set[str]
) -> dict[str, Any]:
    grid = collection.grid
    assert grid is not None
    told: dict[str, Any] = {"steps_x": grid.steps[0], "steps_y": grid.steps[1], "data_collection": collection.dcid}
    if center is not None:
        told["center"] = list(center)
    marked = "" if center is None else f"center {center[0]:.1f}, {center[1]:.1f}"
    group: dict[str, Any] = {}
    for name, values in _filled(images, grid.n_images).items():
        label, units = _WORDS[name]
        group[name] = np.ascontiguousarray(grid.arrange(values).T)
        group[f"{name}_attrs"] = {
            "title": _title(collection, label, marked),
            "units": units,
            "axes": ["row", "column"],
            "grid": told,
            "plot": "image" if name in chosen else "none",
            **({"colors": "viridis inverted"} if name in _BEST_IS_LOW else {}),
        }
    return group


def _curves(collection: Collection, images: ImageResults, chosen: set[str]) -> dict[str, Any]:
    n = min(int(images.places.max(initial=-1)) + 1, MAX_IMAGES)
    group: dict[str, Any] = {"image": np.arange(1, n + 1)}
    group["image_attrs"] = {"title": "image"}
    for name, values in _filled(images, n).items():
        label, units = _WORDS[name]
        group[name] = values
        group[f"{name}_attrs"] = {
            "title": _title(collection, label),
            "units": units,
            "x": "image",
            "plot": "curve" if name in chosen else "none",
        }
    return group


def _filled(images: ImageResults, n: int) -> dict[str, Values]:
    """Return (n,) values by image, NaN where none is known; what no image has is left out, but for the spots."""
    inside = (images.places >= 0) & (images.places < n)
    found = {}
    for name in MEASURED:
        values = images.values[name]
        if name in _POSITIVE:
            values = np.where(values > 0, values, np.nan)
        if name != "spots" and not np.isfinite(values).any():
            continue
        found[name] = np.full(n, np.nan)
        found[name][images.places[inside]] = np.where(np.isfinite(values), values, np.nan)[inside]
    return found


def _collection_table(results: Results) -> Any:
    rows = []
    for each in reversed(results.collections):
        center = center_on(each, results.centerings)
        grid = "" if each.grid is None else f"{each.grid.steps[0]} x {each.grid.steps[1]}"
        place = "" if center is None else f"{center[0]:.2f}, {center[1]:.2f}"
        rows.append((each.dcid, each.file, each.started, grid, each.n_images, each.n_analysed, each.most_spots, place))
    return table(_COLLECTIONS, rows)


def _centering_table(results: Results) -> Any:
    members = {each.group_id: each.partners for each in results.collections}
    rows = []
    for each in reversed(results.centerings):
        named = ", ".join(str(dcid) for dcid in members.get(each.group_id, ())[:8])
        place = ", ".join(f"{value:.2f}" for value in each.place if math.isfinite(value))
        rows.append((named, each.kind, each.status, place, each.n_voxels, each.total))
    return table(_CENTERINGS, rows)
