"""Spots of a frame: strong pixels that are connected, their centroids, intensities and extents, in one call."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from glimt.kernels.components import label_components, measure_components
from glimt.kernels.frame_check import checked_frame
from glimt.kernels.spot_filters import SpotFilter
from glimt.kernels.strong_pixels import GlobalThreshold, StrongPixelFinder, Threshold
from glimt.model.errors import UsageError

Rows: TypeAlias = npt.NDArray[np.void]

SPOT = np.dtype(
    [
        ("x", np.float64),
        ("y", np.float64),
        ("intensity", np.float64),
        ("variance", np.float64),
        ("peak", np.float64),
        ("peak_fast", np.int32),
        ("peak_slow", np.int32),
        ("n_pixels", np.int32),
        ("fast_start", np.int32),
        ("fast_stop", np.int32),
        ("slow_start", np.int32),
        ("slow_stop", np.int32),
        ("panel_number", np.int32),
    ],
    align=True,
)
"""One row of a table of spots.

``x`` (fast) and ``y`` (slow): centroid weighted by counts, the center of the first pixel at 0.5. ``intensity``: sum of
the strong pixels, no background taken off; ``variance``: its estimate by counting statistics. ``peak``, ``peak_fast``,
``peak_slow``: the greatest pixel, the first of equal ones. ``fast_start`` to ``slow_stop``: extent, half-open. All of
these count from the first pixel of the panel ``panel_number``; a detector of one panel has panel 0.
"""

UNITS = MappingProxyType(
    {name: "count" if name in ("intensity", "peak") else "px" for name in SPOT.names or ()}
    | {"variance": "count^2", "n_pixels": "", "panel_number": ""}
)
"""Unit of each field of `SPOT`."""


@dataclass(frozen=True, slots=True)
class SpotTable:
    """Spots of one frame, in order of panels and of their first pixels.

    Parameters
    ----------
    rows : ndarray
        (n_spots,) of type `SPOT`.
    pixels : ndarray
        (n_strong,) int64 flat pixel numbers in the frame of all strong pixels, ascending, also of those in no spot of
        the table.
    labels : ndarray
        (n_strong,) int32 row number of each strong pixel; -1 for those of spots that a filter took away.
    """

    rows: Rows
    pixels: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int32]

    @property
    def n_spots(self) -> int:
        """Number of spots."""
        return self.rows.size

    @property
    def n_strong(self) -> int:
        """Number of strong pixels, in spots or not."""
        return self.pixels.size

    def __len__(self) -> int:
        return self.rows.size

    def __getitem__(self, field: str) -> npt.NDArray[Any]:
        if field not in UNITS:
            raise UsageError(f"spots have no field {str(field)[:40]!r}; they have {', '.join(UNITS)}")
        return self.rows[field]

    def where(self, keep: npt.NDArray[np.bool_]) -> SpotTable:
        """Return the table of the spots that ``keep`` (n_spots,) is True for."""
        if keep.shape != self.rows.shape or keep.dtype != np.bool_:
            raise UsageError(f"which of {len(self)} spots to keep is told by as many booleans, not by {keep.shape}")
        number = np.full(len(self) + 1, -1, np.int32)  # the last one stands for label -1
        number[:-1][keep] = np.arange(np.count_nonzero(keep), dtype=np.int32)
        return SpotTable(self.rows[keep], self.pixels, number[self.labels])


class SpotFinder:
    """Find the spots of frames; made once for a detector, called for each frame, by one thread at a time.

    Frames are one panel; for several in one array see `glimt.kernels.panel_spots.PanelSpotFinder`.

    Parameters
    ----------
    shape : (int, int)
        (slow, fast) [px].
    threshold, kernel_size, sigma_background, sigma_strong, min_local, global_threshold, gain, mask, trusted_range
        What makes a pixel strong; see `glimt.kernels.strong_pixels.StrongPixelFinder`.
    max_strong_fraction
        Also there.
    connectivity : int
        4: pixels of a spot share edges, as DIALS has it; 8: corners are enough.
    filter : SpotFilter, optional
        Which spots to keep; by default those of 3 to 1000 pixels whose centroid is at most 2 pixels from their peak.
    compiled : bool
        False runs the plain versions, for comparison.

    Raises
    ------
    UsageError
        An argument makes no sense; the text says which and what is possible.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        *,
        threshold: Threshold = "dispersion",
        kernel_size: tuple[int, int] = (3, 3),
        sigma_background: float = 6.0,
        sigma_strong: float = 3.0,
        min_local: int = 2,
        global_threshold: GlobalThreshold = 0.0,
        gain: npt.ArrayLike | None = None,
        mask: npt.ArrayLike | None = None,
        trusted_range: tuple[float, float] | None = None,
        max_strong_fraction: float = 0.25,
        connectivity: int = 4,
        filter: SpotFilter | None = None,
        compiled: bool = True,
    ) -> None:
        self._strong = StrongPixelFinder(
            shape, threshold=threshold, kernel_size=kernel_size, sigma_background=sigma_background,
            sigma_strong=sigma_strong, min_local=min_local, global_threshold=global_threshold, gain=gain, mask=mask,
            trusted_range=trusted_range, max_strong_fraction=max_strong_fraction, compiled=compiled,
        )  # fmt: skip
        self.shape = self._strong.shape
        if connectivity not in (4, 8):
            raise UsageError(f"connectivity is {str(connectivity)[:20]}; 4 or 8 is possible")
        self._connectivity, self._compiled = connectivity, compiled
        self.filter = SpotFilter() if filter is None else filter
        self.filter.check_shape(self.shape)

    def find(self, frame: npt.ArrayLike) -> SpotTable:
        """Return the spots of a frame that the filter keeps.

        Parameters
        ----------
        frame : array_like
            (slow, fast), any integer or floating type [counts]; see
            `glimt.kernels.strong_pixels.StrongPixelFinder.find`, also for what becomes of NaN, empty and masked frames.

        Raises
        ------
        UsageError
            Another shape, not numbers, or too many strong pixels.
        """
        values = checked_frame(frame, self.shape)
        pixels = self._strong.find(values)
        labels, n_spots = label_components(pixels, self.shape, connectivity=self._connectivity, compiled=self._compiled)
        rows = np.zeros(n_spots, SPOT)
        measure_components(values, pixels, labels, rows, compiled=self._compiled)
        table = SpotTable(rows, pixels, labels)
        return table.where(self.filter.keep(rows))
