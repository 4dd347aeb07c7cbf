"""Spots on several panels that lie in one array: each panel is searched by itself, as DIALS does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypedDict, Unpack

import numpy as np
import numpy.typing as npt

from glimt.kernels.components import label_components, measure_components
from glimt.kernels.frame_check import checked_frame, checked_mask, checked_number
from glimt.kernels.global_threshold import estimate_global_threshold
from glimt.kernels.spot_filters import SpotFilter
from glimt.kernels.spots import SPOT, Rows, SpotTable
from glimt.kernels.strong_pixels import GlobalThreshold, StrongPixelFinder, Threshold
from glimt.model.errors import UsageError
from glimt.model.panel_placement import PanelPlacement, checked_frame_shape

Array = npt.NDArray[Any]


class StrongOptions(TypedDict, total=False):
    """Options of `glimt.kernels.strong_pixels.StrongPixelFinder` that are the same for all panels."""

    threshold: Threshold
    kernel_size: tuple[int, int]
    sigma_background: float
    sigma_strong: float
    min_local: int
    global_threshold: GlobalThreshold
    trusted_range: tuple[float, float] | None


class PanelSpotFinder:
    """Find the spots of frames of several panels; made once, called for each frame, by one thread at a time.

    Neighborhoods and spots end where a panel ends, also where two panels touch in the array. Pixels on no panel are not
    looked at.

    Parameters
    ----------
    shape : (int, int)
        (slow, fast) of frames [px].
    placements : sequence of PanelPlacement
        Where in them the panels are, of `glimt.model.detector_geometry.DetectorGeometry.layout`.
    mask, gain : array_like, optional
        (slow, fast) of frames, as for `StrongPixelFinder`; a gain may be one number.
    max_strong_fraction : float
        More strong pixels than this part of the pixels of all panels is an error.
    connectivity : int
        4 or 8, as for `glimt.kernels.spots.SpotFinder`.
    filter : SpotFilter, optional
        Which spots to keep.
    compiled : bool
        False runs the plain versions, for comparison.
    **strong
        As for `StrongPixelFinder`. With ``global_threshold="auto"`` the first panel decides for all, as in DIALS.

    Raises
    ------
    UsageError
        An argument makes no sense, or panels do not fit the frame.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        placements: Sequence[PanelPlacement],
        *,
        mask: npt.ArrayLike | None = None,
        gain: npt.ArrayLike | None = None,
        max_strong_fraction: float = 0.25,
        connectivity: int = 4,
        filter: SpotFilter | None = None,
        compiled: bool = True,
        **strong: Unpack[StrongOptions],
    ) -> None:
        self.placements = tuple(placements)
        if not self.placements:
            raise UsageError("there are no panels to find spots on")
        self.shape = checked_frame_shape(self.placements, shape)
        if connectivity not in (4, 8):
            raise UsageError(f"connectivity is {str(connectivity)[:20]}; 4 or 8 is possible")
        excluded, gains = checked_mask(mask, self.shape), None if gain is None else np.asarray(gain)
        if gains is not None and gains.shape not in ((), (1, 1), self.shape):
            raise UsageError(f"the gain has shape {gains.shape}; a number or {self.shape} is needed")
        self._strong = [
            StrongPixelFinder(
                place.shape,
                mask=excluded[place.area],
                gain=gains[place.area] if gains is not None and gains.shape == self.shape else gains,
                max_strong_fraction=1.0,
                compiled=compiled,
                **strong,
            )
            for place in self.placements
        ]
        fraction = checked_number(max_strong_fraction, "max_strong_fraction", 0.0, 1.0)
        self._most = math.floor(fraction * sum(place.shape[0] * place.shape[1] for place in self.placements))
        self._connectivity, self._compiled = connectivity, compiled
        self.filter = SpotFilter() if filter is None else filter
        self.filter.check_shape(self.shape)
        self._room: dict[str, Array] = {}

    def find(self, frame: npt.ArrayLike) -> SpotTable:
        """Return the spots of all panels that the filter keeps; ``panel_number`` says which panel each is on.

        Parameters
        ----------
        frame : array_like
            (slow, fast), as for `StrongPixelFinder.find`, also for what becomes of NaN, empty and masked frames.

        Raises
        ------
        UsageError
            Another shape, not numbers, or too many strong pixels.
        """
        values = checked_frame(frame, self.shape)
        threshold = None
        if self._strong[0].is_automatic:
            threshold = float(estimate_global_threshold(values[self.placements[0].area], compiled=self._compiled))
        rows, labels, pixels = [], [], []
        n_strong = n_before = 0
        for number, (finder, place) in enumerate(zip(self._strong, self.placements, strict=True)):
            panel = self._panel(values, place)
            own = finder.find(panel, global_threshold=threshold)
            n_strong += own.size
            if n_strong > self._most:
                raise UsageError(
                    f"{n_strong} pixels of panels 0 to {number} are strong, at most {self._most} make sense: is there "
                    "a mask for gaps and saturated pixels, and is the gain right? max_strong_fraction sets the limit"
                )
            if not own.size:
                continue
            label, spots = self._connect(panel, own, number)
            slow, fast = np.divmod(own, place.shape[1])
            pixels.append((slow + place.slow_start) * self.shape[1] + fast + place.fast_start)
            labels.append(label + np.int32(n_before))
            rows.append(spots)
            n_before += spots.size
        if not rows:
            return SpotTable(np.zeros(0, SPOT), np.zeros(0, np.int64), np.zeros(0, np.int32))
        flat, of = np.concatenate(pixels), np.concatenate(labels)
        order = np.argsort(flat, kind="stable")
        table = SpotTable(np.concatenate(rows), flat[order], of[order])
        return table.where(self.filter.keep(table.rows, placements=self.placements))

    def _panel(self, values: Array, place: PanelPlacement) -> Array:
        """Return the pixels of a panel without gaps between rows, in memory that the next panel takes over."""
        own = values[place.area]
        if own.flags.c_contiguous:
            return own
        room = self._room.get(values.dtype.str)
        if room is None:
            largest = max(place.shape[0] * place.shape[1] for place in self.placements)
            room = self._room[values.dtype.str] = np.empty(largest, values.dtype)
        panel = room[: own.size].reshape(own.shape)
        np.copyto(panel, own)
        return panel

    def _connect(self, panel: Array, strong: npt.NDArray[np.int64], number: int) -> tuple[npt.NDArray[np.int32], Rows]:
        """Return the spot that each strong pixel of a panel belongs to, and the spots."""
        label, n_spots = label_components(
            strong, self.placements[number].shape, connectivity=self._connectivity, compiled=self._compiled
        )
        spots = np.zeros(n_spots, SPOT)
        spots["panel_number"] = number
        measure_components(panel, strong, label, spots, compiled=self._compiled)
        return label, spots
