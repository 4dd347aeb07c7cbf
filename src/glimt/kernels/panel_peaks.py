"""Bragg peaks on several panels that lie in one array, found as peakfinder8 does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.kernels.frame_check import checked_frame, checked_mask
from glimt.kernels.peak_table import PeakTable
from glimt.kernels.peakfinder8 import N_ITERATIONS, Peakfinder8Parameters
from glimt.kernels.radial_statistics import RadialBackground, RadialStatistics
from glimt.kernels.radius_map import RadialBins
from glimt.model.errors import UsageError
from glimt.model.panel_placement import PanelPlacement, checked_frame_shape

Array = npt.NDArray[Any]


class PanelPeakfinder8:
    """Find the peaks of frames of several panels; made once, called for each frame, from one thread at a time.

    As `glimt.kernels.peakfinder8.Peakfinder8` does, for panels of any size anywhere in the array: the statistics of a
    distance from the beam are those of all panels, peaks and their backgrounds end where a panel ends, and a panel's
    outermost pixels start no peak. Pixels on no panel are not looked at.

    Parameters
    ----------
    radius_px : array_like
        (slow, fast) distance from the beam [px]; `glimt.kernels.panel_radius_map.panel_radius_map` makes one.
    placements : sequence of PanelPlacement
        Where in a frame the panels are, of `glimt.model.detector_geometry.DetectorGeometry.layout`.
    parameters : Peakfinder8Parameters
        What counts as a peak.
    mask : array_like, optional
        (slow, fast), True excludes a pixel.
    min_res, max_res : float
        Search only where ``min_res < radius`` and, unless ``max_res`` is 0, ``radius < max_res`` [px].
    compiled : bool
        False runs the plain Python version, for comparison.

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
        placements: Sequence[PanelPlacement],
        parameters: Peakfinder8Parameters,
        *,
        mask: npt.ArrayLike | None = None,
        min_res: float = 0.0,
        max_res: float = 0.0,
        compiled: bool = True,
    ) -> None:
        self.placements = tuple(placements)
        if not self.placements:
            raise UsageError("there are no panels to find peaks on")
        self.shape = checked_frame_shape(self.placements, np.shape(radius_px))
        panel_of = np.full(self.shape, -1, np.int32)
        for number, place in enumerate(self.placements):
            panel_of[place.area] = number
        excluded = checked_mask(mask, self.shape) | (panel_of < 0)
        self.bins = RadialBins(radius_px, mask=excluded, min_radius_px=min_res, max_radius_px=max_res)
        self.parameters = parameters
        self.background: RadialBackground | None = None
        self._panel_of, self._compiled = panel_of.ravel(), compiled
        self._statistics = RadialStatistics(self.bins, compiled=compiled)
        both = [bins.reshape(self.shape) for bins in (self.bins.bins, self.bins.all_bins)]
        self._maps = [(both[0][place.area].ravel(), both[1][place.area].ravel()) for place in self.placements]
        largest = max(place.shape[0] * place.shape[1] for place in self.placements)
        self._state = np.zeros(largest, np.bool_), np.empty(largest, np.uint32)
        self._thresholds = np.full(self.bins.n_bins + 1, np.inf)
        self._means = np.zeros(self.bins.n_bins + 1)

    def find(self, frame: npt.ArrayLike) -> PeakTable:
        """Return the peaks, panel by panel, in the order of their first pixels, with their panels' numbers.

        Parameters
        ----------
        frame : array_like
            (slow, fast), any integer or floating type. Pixels that are NaN or infinite are in no peak and no
            background.

        Returns
        -------
        PeakTable
            Positions are indices in the frame. Empty if all is masked.

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
        room, n_found = np.empty((p.max_num_peaks, 6)), 0
        on = np.empty(p.max_num_peaks, np.int32)
        for number, candidates in self._candidates(values):
            left = room[min(n_found, len(room)) :]
            n_more = self._search(checked, number, candidates, left)
            rows = left[:n_more]
            rows[:, 0] += self.placements[number].fast_start
            rows[:, 1] += self.placements[number].slow_start
            on[min(n_found, len(room)) :][:n_more] = number
            n_found += n_more
        n_kept = min(n_found, len(room))
        return PeakTable.of(room[:n_kept], n_found, panel_number=on[:n_kept].copy())

    def _candidates(self, values: Array) -> Iterator[tuple[int, Array]]:
        """Yield each panel that has pixels above their thresholds, and these (n,) uint32, as it numbers its pixels."""
        listed = self._statistics.listed[: self._statistics.n_listed]
        above = listed[values[listed] > self._thresholds[self.bins.bins[listed]]]
        on = self._panel_of[above]
        order = np.argsort(on, kind="stable")
        on, above = on[order], above[order]
        starts = np.flatnonzero(np.diff(on, prepend=-1))
        for start, stop in pairwise([*starts, on.size]):
            number = int(on[start])
            place = self.placements[number]
            slow, fast = np.divmod(above[start:stop].astype(np.int64), self.shape[1])
            local = (slow - place.slow_start) * place.shape[1] + fast - place.fast_start
            yield number, local.astype(np.uint32)

    def _search(self, frame: Array, number: int, candidates: Array, room: Array) -> int:
        """Fill rows with the peaks of one panel, positions counted from its first pixel; return how many there are."""
        p, place, (bins, all_bins) = self.parameters, self.placements[number], self._maps[number]
        maps = bins, all_bins, self._thresholds, self._means
        rule = (int(p.min_pixel_count), int(p.max_pixel_count), int(p.local_bg_radius), float(p.minimum_snr))
        pixels = np.ascontiguousarray(frame[place.area])
        if not self._compiled:
            from glimt.kernels.peakfinder8_plain import find_peaks

            rows = np.array(find_peaks(pixels, maps, place.shape, rule)).reshape(-1, 6)
            room[: len(rows)] = rows[: len(room)]
            return len(rows)
        from glimt.kernels import peakfinder8_compiled as loops  # imports Numba

        state = self._state[0][: pixels.size], self._state[1][: pixels.size]
        n_found: int = loops.find_peaks(
            pixels.ravel(), maps, place.shape[1], place.shape, candidates, state, rule, room
        )
        return n_found
