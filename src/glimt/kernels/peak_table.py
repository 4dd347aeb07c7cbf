"""What a peak search returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

PEAK_TYPE = np.dtype(
    [("fs", "f8"), ("ss", "f8"), ("intensity", "f8"), ("max_intensity", "f8"), ("snr", "f8"), ("n_pixels", "i4")]
)
"""A peak: position [px], 0 the middle of the first pixel; intensity and highest pixel above the background [counts];
intensity over the uncertainty that the search uses; number of pixels."""


@dataclass(frozen=True, slots=True)
class PeakTable:
    """Peaks of a frame.

    Parameters
    ----------
    peaks : ndarray
        (n_peaks,) of `PEAK_TYPE`, the caller's own.
    n_found : int
        How many there would have been without a limit.
    panel_number : ndarray or None
        (n_peaks,) int32 panel that each is on; ``None`` from searches that are not told the panels of the detector.
    """

    peaks: npt.NDArray[Any]
    n_found: int
    panel_number: npt.NDArray[np.int32] | None = None

    def __len__(self) -> int:
        return int(self.peaks.size)

    @classmethod
    def of(
        cls, rows: npt.NDArray[np.float64], n_found: int, *, panel_number: npt.NDArray[np.int32] | None = None
    ) -> PeakTable:
        """Return the table of (n, 6) rows of fs, ss, intensity, maximum, signal to noise, pixels."""
        peaks = np.empty(len(rows), PEAK_TYPE)
        for column, name in enumerate(PEAK_TYPE.names or ()):
            peaks[name] = rows[:, column]
        return cls(peaks, n_found, panel_number)
