"""Changes of regions: checked, kept, given to the run, and answered."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from glimt.model.errors import UsageError
from glimt.pipeline.region_curves import COLUMNS
from glimt.pipeline.region_table import HEAD, Points, joined_points
from glimt.web.page_hub import PageHub
from glimt.web.page_region import region_from


class RegionChanges:
    """What the page's routes do to regions; may be used by several threads.

    Parameters
    ----------
    hub : PageHub
        Has the regions.
    """

    def __init__(self, hub: PageHub) -> None:
        self._hub = hub

    def told(self) -> dict[str, Any]:
        """Return all regions, and the parameter that they are."""
        name = None if self._hub.parameters is None else self._hub.parameters.roi_name
        store = self._hub.store
        return {"version": store.version, "parameter": name, "regions": [region.told() for region in store.regions]}

    def replace(self, content: object, who: str) -> dict[str, Any]:
        """Take other regions instead of all."""
        if not isinstance(content, list):
            raise UsageError('send {"regions": […]}')
        regions = [region_from(entry) for entry in content]
        with self._hub.region_lock:
            self._hub.store.replace(regions, who=who)
            return self._changed(who)

    def put(self, content: dict[str, Any], region_id: str, who: str) -> dict[str, Any]:
        """Change a region, or make one (``region_id`` is empty)."""
        sent = msgspec.structs.replace(region_from(content | {"id": ""}), id=region_id)
        with self._hub.region_lock:
            if region_id:
                self._hub.store.region(region_id)
            made = self._hub.store.put(sent, who=who)
            return self._changed(who) | {"region": made.told()}

    def remove(self, region_id: str, who: str) -> dict[str, Any]:
        """Forget a region."""
        with self._hub.region_lock:
            self._hub.store.remove(region_id, who=who)
            return self._changed(who)

    def points(self, region_id: str) -> tuple[str, Points]:
        """Return name and points of a region, of the columns `glimt.pipeline.region_curves.COLUMNS`."""
        with self._hub.lock:
            return self._hub.store.region(region_id).name, self._points(region_id)

    def curves(self, ids: list[str]) -> tuple[list[str], Points]:
        """Return names of columns and rows of a table of some regions, all if none is named."""
        store = self._hub.store
        with self._hub.lock:
            regions = [store.region(region_id) for region_id in ids] or store.regions
            points = [self._points(region.id)[:, :3] for region in regions]
            names = [region.name for region in regions]
        return [*HEAD, *names], joined_points(points)

    def _points(self, region_id: str) -> Points:
        """Return a copy of a region's points: none until the first reading after it was made."""
        curve = self._hub.curves.curves.get(region_id)
        return np.empty((0, len(COLUMNS))) if curve is None else curve.series.points.copy()

    def _changed(self, who: str) -> dict[str, Any]:
        return {"version": self._hub.store.version, "parameter": self._hub.give_regions(who)}
