"""Which pixels a CrystFEL geometry file says are bad: regions, panels, edges, and values; True = excluded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from glimt.codecs.crystfel_geometry_record import BadRegion, CrystfelGeometry, CrystfelPanel
from glimt.model.detector_geometry import DetectorGeometry, Panel
from glimt.model.errors import UsageError
from glimt.model.panel_placement import PanelPlacement

Mask = npt.NDArray[np.bool_]


def constant_mask(geometry: CrystfelGeometry, detector: DetectorGeometry) -> Mask:
    """Return the pixels that are bad in every frame.

    Bad regions, panels with ``no_index``, edges by ``mask_edge_pixels``, and pixels on no panel. Masks in files of
    their own are not in it.

    Parameters
    ----------
    geometry : CrystfelGeometry
        What the file says.
    detector : DetectorGeometry
        Made of it by `glimt.codecs.crystfel_geometry_detector.detector_geometry`.

    Returns
    -------
    ndarray
        (slow, fast) bool of frames.

    Raises
    ------
    UsageError
        The detector is not the file's.
    """
    shape, placements = detector.layout()
    if [panel.shape for panel in geometry.panels] != [placement.shape for placement in placements]:
        raise UsageError("the detector was not made of this geometry file: its panels are others")
    mask: Mask = np.ones(shape, np.bool_)
    regions: dict[str | None, list[BadRegion]] = {}
    for region in geometry.bad_regions:
        if region.in_panel:
            regions.setdefault(region.panel, []).append(region)
    for number, panel in enumerate(geometry.panels):
        own = np.zeros(panel.shape, np.bool_)
        if panel.no_index:
            own[:] = True
        if panel.mask_edge_pixels:
            inside = np.zeros(panel.shape, np.bool_)
            width = panel.mask_edge_pixels
            inside[width : max(panel.shape[0] - width, 0), width : max(panel.shape[1] - width, 0)] = True
            own |= ~inside
        _mark_regions(own, panel, [*regions.get(None, ()), *regions.get(panel.name, ())])
        mask[placements[number].area] = own
    _mark_laboratory(mask, geometry, detector.panels, placements)
    return mask


def _mark_regions(own: Mask, panel: CrystfelPanel, regions: Sequence[BadRegion]) -> None:
    for region in regions:
        fs, ss = (int(region.low[k]) for k in (0, 1))
        last_fs, last_ss = (int(region.high[k]) for k in (0, 1))
        own[ss - panel.min_ss : last_ss - panel.min_ss + 1, fs - panel.min_fs : last_fs - panel.min_fs + 1] = True


def _mark_laboratory(
    mask: Mask, geometry: CrystfelGeometry, panels: Sequence[Panel], placements: Sequence[PanelPlacement]
) -> None:
    """Mark pixels whose first corner is inside of a region of the laboratory [px of their panel]."""
    regions = [region for region in geometry.bad_regions if not region.in_panel]
    if not regions:
        return
    low, high = (np.array([getattr(region, end) for region in regions]) for end in ("low", "high"))
    for record, panel, placement in zip(geometry.panels, panels, placements, strict=True):
        ss, fs = np.arange(panel.shape[0])[:, np.newaxis], np.arange(panel.shape[1])
        scale = record.resolution_per_m * 1e-3
        corner = record.corner_x, record.corner_y
        # The detector's shift alone, so that corners are as exact as they are written: limits are compared strictly.
        shift = [round(panel.origin_mm[k] * scale - corner[k], 6) for k in (0, 1)]
        x, y = (corner[k] + shift[k] + fs * record.fs[k] + ss * record.ss[k] for k in (0, 1))
        # Most regions are far from most panels.
        near = (low < (x.max(), y.max())).all(axis=1) & (high > (x.min(), y.min())).all(axis=1)
        own = mask[placement.area]
        for k in np.flatnonzero(near):
            inside = (x > low[k, 0]) & (x < high[k, 0])
            inside &= (y > low[k, 1]) & (y < high[k, 1])
            own |= inside


def flagged_pixels(geometry: CrystfelGeometry, detector: DetectorGeometry, frame: npt.ArrayLike) -> Mask | None:
    """Return the pixels of one frame that are bad by their value, ``None`` if the file says of no value that it is.

    Parameters
    ----------
    geometry, detector : CrystfelGeometry, DetectorGeometry
        As for `constant_mask`.
    frame : array_like
        (slow, fast), any integer or floating type; NaN is flagged by nothing.

    Raises
    ------
    UsageError
        The frame has another shape.
    """
    if not any(panel.flags for panel in geometry.panels):
        return None
    shape, placements = detector.layout()
    values = np.asarray(frame)
    if values.shape != shape:
        raise UsageError(f"the frame has shape {values.shape}, the detector {shape}")
    mask: Mask = np.zeros(shape, np.bool_)
    for panel, placement in zip(geometry.panels, placements, strict=True):
        own, pixels = mask[placement.area], values[placement.area]
        for kind, value in panel.flags:
            if kind == "lessthan":
                own |= pixels < value
            elif kind == "morethan":
                own |= pixels > value
            else:
                own |= (np.rint(pixels) if pixels.dtype.kind == "f" else pixels) == value
    return mask
