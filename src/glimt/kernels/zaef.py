"""Bragg peaks by the gradient search of Zaefferer, CrystFEL's default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.kernels.frame_check import checked_count, checked_frame, checked_mask, checked_number, checked_shape
from glimt.kernels.peak_table import PeakTable
from glimt.kernels.peakfinder8 import PanelLayout
from glimt.model.errors import UsageError

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class ZaefParameters:
    """What counts as a peak; defaults are those of CrystFEL.

    Parameters
    ----------
    threshold : float
        Pixels above, not equal, may lie on the slope of a peak.
    min_squared_gradient : float
        Least squared gradient there [counts²/px²].
    min_snr : float
        Least intensity over its uncertainty.
    radii_px : (float, float, float)
        Of the disc that is integrated, and of the ring with the background, inside and outside.
    adu_per_photon : float
        Counts of one photon.
    max_num_peaks : int
        Peaks after which the search ends.

    Raises
    ------
    UsageError
        A value out of range, radii that do not grow.
    """

    threshold: float = 800.0
    min_squared_gradient: float = 100000.0
    min_snr: float = 5.0
    radii_px: tuple[float, float, float] = (4.0, 5.0, 7.0)
    adu_per_photon: float = 1.0
    max_num_peaks: int = 10000

    def __post_init__(self) -> None:
        checked_number(self.threshold, "threshold", 0.0, 3e38)
        checked_number(self.min_squared_gradient, "min_squared_gradient", 0.0, 3e38)
        checked_number(self.min_snr, "min_snr", 0.0, 1e9)
        checked_number(self.adu_per_photon, "adu_per_photon", 0.0, 1e9)
        checked_count(self.max_num_peaks, "max_num_peaks", 1, 1 << 20)
        if np.shape(self.radii_px) != (3,):
            raise UsageError(
                f"radii_px is {str(self.radii_px)[:60]}; give three radii: of disc, ring inside, ring outside"
            )
        inner, middle, outer = (checked_number(radius, "a radius [px]", 1.0, 100.0) for radius in self.radii_px)
        if not inner <= middle <= outer:
            raise UsageError(f"the radii {inner:g}, {middle:g}, {outer:g} px do not grow")


class ZaefPeakFinder:
    """Find the peaks of frames of one detector; made once, called for each frame, from one thread at a time.

    From every pixel that is above the threshold and steep enough, the way up leads to a summit; a summit within the
    disc's radius of the pixel is a peak if its disc is ``min_snr`` above the ring around it, no pixel of either is
    masked or off the panel, and no other peak is within two radii of the disc. Zaefferer, J. Appl. Cryst. 33 (2000) 10,
    with the details that CrystFEL documents.

    Parameters
    ----------
    shape : (int, int)
        (slow, fast).
    parameters : ZaefParameters
        What counts as a peak.
    layout : PanelLayout, optional
        Panels of the frame, which peaks do not cross; without, it is one panel.
    mask : array_like, optional
        (slow, fast), True excludes a pixel.
    compiled : bool
        False runs the plain Python version, for comparison.

    Raises
    ------
    UsageError
        The arguments make no sense with each other.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        parameters: ZaefParameters,
        *,
        layout: PanelLayout | None = None,
        mask: npt.ArrayLike | None = None,
        compiled: bool = True,
    ) -> None:
        self.shape, self.parameters, self._compiled = checked_shape(shape), parameters, compiled
        self.layout = layout or PanelLayout(self.shape[1], self.shape[0])
        if self.layout.frame_shape != self.shape:
            raise UsageError(f"the panels make a frame of {self.layout.frame_shape}, not {self.shape}")
        self._excluded = checked_mask(mask, self.shape)
        n_pixels = self.shape[0] * self.shape[1]
        n_panels = self.layout.nasics_x * self.layout.nasics_y
        self._listed = np.empty(n_pixels, np.uint32)
        self._ordered = np.empty(n_pixels if n_panels > 1 else 0, np.uint32)
        self._starts = np.zeros(n_panels + 1, np.int64)
        self._seen = np.zeros(n_pixels, np.bool_)

    def find(self, frame: npt.ArrayLike) -> PeakTable:
        """Return the peaks, in the order in which their slopes are met, panel by panel.

        Parameters
        ----------
        frame : array_like
            (slow, fast), any integer or floating type. NaN and infinite pixels count as masked.

        Returns
        -------
        PeakTable
            Positions are those of the pixel's index; CrystFEL adds 0.5. Empty if all is masked.

        Raises
        ------
        UsageError
            Another shape, or no numbers.
        """
        checked, p = checked_frame(frame, self.shape), self.parameters
        radii = float(p.radii_px[0]), float(p.radii_px[1]), float(p.radii_px[2])
        rule = float(p.min_squared_gradient), float(p.min_snr), radii, float(p.adu_per_photon)
        panel = self.layout.asic_ny, self.layout.asic_nx
        if not self._compiled:
            from glimt.kernels.zaef_plain import find_peaks

            found = find_peaks(checked.astype(np.float64), self._excluded, panel, float(p.threshold), rule)
            rows = np.array(found[: p.max_num_peaks]).reshape(-1, 6)
            return PeakTable.of(rows, len(found))
        from glimt.kernels import zaef_compiled as loops  # imports Numba

        candidates = self._candidates(checked.ravel(), panel)
        side = 2.0 * radii[0]
        cells = np.empty((int(self.shape[0] / side) + 2) * (int(self.shape[1] / side) + 2), np.int32)
        table = np.empty((p.max_num_peaks, 6))
        state = self._seen, cells, np.empty(p.max_num_peaks, np.int32)
        n = loops.find_peaks(
            checked.ravel(), self._excluded.ravel(), self.shape[1], panel, candidates, state, rule, table
        )
        return PeakTable.of(table[:n], n)

    def _candidates(self, values: Array, panel: tuple[int, int]) -> Array:
        """Return the numbers of the pixels above the threshold, panel by panel."""
        from glimt.kernels.peakfinder8_compiled import order_by_panel
        from glimt.kernels.radial_statistics_compiled import list_above

        kind, threshold = values.dtype.type, float(self.parameters.threshold)
        if values.dtype.kind == "f":
            limit = kind(threshold)
            limit = limit if limit <= threshold else np.nextafter(limit, kind(-1))
        else:
            limit = kind(min(int(threshold), int(np.iinfo(values.dtype).max)))
        excluded = self._excluded.ravel().view(np.uint8)
        n = list_above(values, excluded, np.uint8(1), limit, self._listed)
        candidates = self._listed[:n]
        if self._starts.size > 2:
            order_by_panel(candidates, self.shape[1], panel, self._starts, self._ordered[:n])
            candidates = self._ordered[:n]
        return candidates
