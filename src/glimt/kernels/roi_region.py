"""From a region that somebody drew to one that kernels add up."""

from __future__ import annotations

from glimt.kernels.roi_shapes import AnyRoi, PolygonRoi, RingRoi, Roi
from glimt.model.region import Region


def roi_of(region: Region) -> AnyRoi:
    """Return the region of interest that `glimt.kernels.roi.RoiIntegrator` takes."""
    if region.bounds is not None:
        return Roi(*region.bounds)
    if region.vertices is not None:
        return PolygonRoi(region.vertices)
    assert region.center is not None
    assert region.r_min is not None
    assert region.r_max is not None
    return RingRoi(*region.center, region.r_min, region.r_max)
