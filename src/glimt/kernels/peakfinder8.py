"""Bragg peaks of serial crystallography, found as Cheetah's peakfinder8 does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.kernels.frame_check import checked_count, checked_frame, checked_number
from glimt.kernels.peak_table import PeakTable
from glimt.kernels.radial_statistics import RadialBackground, RadialStatistics
from glimt.kernels.radius_map import RadialBins
from glimt.model.errors import UsageError

Array = npt.NDArray[Any]

N_ITERATIONS = 5


@dataclass(frozen=True, slots=True)
class PanelLayout:
    """How equal panels tile a frame; Cheetah's names.

    Parameters
    ----------
    asic_nx, asic_ny : int
        Pixels of a panel along fs and along ss.
    nasics_x, nasics_y : int
        Panels along fs and along ss.
    """

    asic_nx: int
    asic_ny: int
    nasics_x: int = 1
    nasics_y: int = 1

    def __post_init__(self) -> None:
        for name in ("asic_nx", "asic_ny", "nasics_x", "nasics_y"):
            checked_count(getattr(self, name), name, 1, 1 << 20)

    @property
    def frame_shape(self) -> tuple[int, int]:
        """Shape of the frame, (slow, fast)."""
        return self.asic_ny * self.nasics_y, self.asic_nx * self.nasics_x


@dataclass(frozen=True, slots=True)
class Peakfinder8Parameters:
    """What counts as a peak; names as in OM's configuration.

    Parameters
    ----------
    adc_threshold : float
        Least value of a pixel of a peak (above, not equal), not negative.
    minimum_snr : float
        Standard deviations above the radial mean that every pixel of a peak has, and of the local background that the
        peak's intensity has.
    min_pixel_count, max_pixel_count : int
        Fewest and most pixels of a peak, both included.
    local_bg_radius : int
        Half the radius of the disc around the peak that the local background is taken from [px].
    max_num_peaks : int
        Peaks that are kept; the others are only counted.

    Raises
    ------
    UsageError
        A value out of range.
    """

    adc_threshold: float
    minimum_snr: float = 5.0
    min_pixel_count: int = 2
    max_pixel_count: int = 200
    local_bg_radius: int = 3
    max_num_peaks: int = 2048

    def __post_init__(self) -> None:
        checked_number(self.adc_threshold, "adc_threshold", 0.0, 3e38)
        checked_number(self.minimum_snr, "minimum_snr", 0.0, 1e9)
        checked_count(self.min_pixel_count, "min_pixel_count", 1, 1 << 28)
        checked_count(self.max_pixel_count, "max_pixel_count", self.min_pixel_count, 1 << 28)
        checked_count(self.local_bg_radius, "local_bg_radius", 1, 1000)
        checked_count(self.max_num_peaks, "max_num_peaks", 1, 1 << 20)


@dataclass(slots=True)
class _Work:
    """Buffers of the size of a frame."""

    in_peak: Array
    queue: Array
    ordered: Array
    starts: Array = field(repr=False)


class Peakfinder8:
    """Find the peaks of frames of one detector; made once, called for each frame, from one thread at a time.

    The pixels of each distance from the beam are described by mean and standard deviation with peaks clipped off
    (`RadialStatistics`). Pixels above their distance's threshold that touch, also by a corner, are a peak if there are
    neither too few nor too many of them, their sum above the local background is ``minimum_snr`` standard deviations
    of it, and their maximum is not below any pixel around. Barty et al., J. Appl. Cryst. 47 (2014) 1118; compared
    peak by peak with OM 23.8.3, whose flood fill is not followed where CrystFEL has repaired it.

    Parameters
    ----------
    radius_px : array_like
        (slow, fast) distance from the beam [px]; `glimt.kernels.radius_map.flat_radius_map` makes one.
    parameters : Peakfinder8Parameters
        What counts as a peak.
    layout : PanelLayout, optional
        Panels of the frame, which peaks and their backgrounds do not cross; without, it is one panel.
    mask : array_like, optional
        (slow, fast), True excludes a pixel.
    min_res, max_res : float
        Search only where ``min_res < radius`` and, unless ``max_res`` is 0, ``radius < max_res`` [px].
    compiled : bool
        False runs the plain Python version, hundreds of times slower; for comparison.

    Attributes
    ----------
    parameters : Peakfinder8Parameters
        May be replaced between frames.
    background : RadialBackground or None
        Statistics of the frame that was searched last.

    Raises
    ------
    UsageError
        The arguments make no sense with each other; the text says which and why.
    """

    def __init__(
        self,
        radius_px: npt.ArrayLike,
        parameters: Peakfinder8Parameters,
        *,
        layout: PanelLayout | None = None,
        mask: npt.ArrayLike | None = None,
        min_res: float = 0.0,
        max_res: float = 0.0,
        compiled: bool = True,
    ) -> None:
        self.bins = RadialBins(radius_px, mask=mask, min_radius_px=min_res, max_radius_px=max_res)
        self.shape = self.bins.shape
        self.parameters = parameters
        self.background: RadialBackground | None = None
        self.layout = layout or PanelLayout(self.shape[1], self.shape[0])
        if self.layout.frame_shape != self.shape:
            raise UsageError(f"the panels make a frame of {self.layout.frame_shape}, the radius map has {self.shape}")
        self._compiled = compiled
        self._statistics = RadialStatistics(self.bins, compiled=compiled)
        n_pixels, n_panels = self.shape[0] * self.shape[1], self.layout.nasics_x * self.layout.nasics_y
        self._work = _Work(
            np.zeros(n_pixels, np.bool_),
            np.empty(n_pixels, np.uint32),
            np.empty(n_pixels if n_panels > 1 else 0, np.uint32),
            np.zeros(n_panels + 1, np.int64),
        )
        self._thresholds = np.full(self.bins.n_bins + 1, np.inf)
        self._means = np.zeros(self.bins.n_bins + 1)

    def find(self, frame: npt.ArrayLike) -> PeakTable:
        """Return the peaks, in the order of their first pixels, panel by panel.

        Parameters
        ----------
        frame : array_like
            (slow, fast), any integer or floating type. Pixels that are NaN or infinite are in no peak and no
            background.

        Returns
        -------
        PeakTable
            Positions are those of the pixel's index; CrystFEL and CXI add 0.5. Empty if all is masked.

        Raises
        ------
        UsageError
            Another shape, or no numbers.
        """
        checked = checked_frame(frame, self.shape)
        values, p = checked.ravel(), self.parameters
        found = self._statistics.measure(values, (float(p.minimum_snr), float(p.adc_threshold), N_ITERATIONS))
        self.background = found
        self._thresholds[:-1], self._means[:-1] = found.threshold, found.mean
        maps = self.bins.bins, self.bins.all_bins, self._thresholds, self._means
        rule = (int(p.min_pixel_count), int(p.max_pixel_count), int(p.local_bg_radius), float(p.minimum_snr))
        panel = self.layout.asic_ny, self.layout.asic_nx
        if not self._compiled:
            from glimt.kernels.peakfinder8_plain import find_peaks

            rows = np.array(find_peaks(checked, maps, panel, rule)).reshape(-1, 6)
            return PeakTable.of(rows[: p.max_num_peaks], len(rows))
        from glimt.kernels import peakfinder8_compiled as loops  # imports Numba

        candidates, n_fast = self._statistics.listed[: self._statistics.n_listed], self.shape[1]
        if self._work.starts.size > 2:
            ordered = self._work.ordered[: candidates.size]
            loops.order_by_panel(candidates, n_fast, panel, self._work.starts, ordered)
            candidates = ordered
        table = np.empty((p.max_num_peaks, 6))
        state = self._work.in_peak, self._work.queue
        n_found = loops.find_peaks(values, maps, n_fast, panel, candidates, state, rule, table)
        return PeakTable.of(table[:n_found], n_found)
