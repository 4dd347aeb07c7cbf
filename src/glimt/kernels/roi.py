"""Sums and means of frames over regions of interest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.kernels.frame_check import checked_frame, checked_mask, checked_shape
from glimt.kernels.roi_shapes import AnyRoi, PolygonRoi, RingRoi, Roi
from glimt.model.errors import UsageError

Array = npt.NDArray[Any]

MAX_ROIS = 4096


@dataclass(frozen=True, slots=True)
class RoiSums:
    """What regions of one frame hold; arrays are (n_rois,), in the order of the regions, and the caller's own.

    Parameters
    ----------
    total : ndarray
        float64 sum [counts], exact below 2⁵³ for whole numbers; 0 where no pixel is left.
    mean : ndarray
        float64 [counts], NaN where no pixel is left.
    n_pixels : ndarray
        int64, pixels that were added up.
    """

    total: Array
    mean: Array
    n_pixels: Array


class RoiIntegrator:
    """Add up regions of frames; made once, called for each frame, from several threads if need be.

    Parameters
    ----------
    shape : (int, int)
        (slow, fast).
    rois : sequence of Roi, PolygonRoi or RingRoi
        They may overlap; what lies off the frame is left out.
    mask : array_like, optional
        (slow, fast), True excludes a pixel.
    compiled : bool
        False runs the plain NumPy version, for comparison.

    Raises
    ------
    UsageError
        A region is none, there are more than 4096, or the mask has another shape.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        rois: Sequence[AnyRoi],
        *,
        mask: npt.ArrayLike | None = None,
        compiled: bool = True,
    ) -> None:
        self.shape, self.rois, self._compiled = checked_shape(shape), tuple(rois), compiled
        if len(self.rois) > MAX_ROIS:
            raise UsageError(f"{len(self.rois)} regions of interest; at most {MAX_ROIS} are possible")
        valid, runs = ~checked_mask(mask, self.shape), []
        for roi in self.rois:
            if not isinstance(roi, (Roi, PolygonRoi, RingRoi)):
                raise UsageError(f"{str(roi)[:60]!r} is no region of interest; give Roi, PolygonRoi or RingRoi")
            runs.append(_runs(roi.covers(self.shape) & valid))
        self._runs = np.concatenate([np.zeros((0, 2), np.int64), *runs])
        self._first_runs = np.cumsum([0, *(len(run) for run in runs)]).astype(np.int64)

    def integrate(self, frame: npt.ArrayLike) -> RoiSums:
        """Return sums and means of all regions.

        Parameters
        ----------
        frame : array_like
            (slow, fast), any integer or floating type; NaN pixels are left out.

        Raises
        ------
        UsageError
            Another shape, or no numbers.
        """
        values = checked_frame(frame, self.shape).ravel()
        n_rois = len(self.rois)
        total, n_pixels = np.zeros(n_rois), np.zeros(n_rois, np.int64)
        if not self._compiled:
            self._plain(values, total, n_pixels)
        else:
            from glimt.kernels import roi_compiled as loops  # imports Numba

            add = loops.sum_floating_runs if values.dtype.kind == "f" else loops.sum_runs
            add(values, self._runs, self._first_runs, (total, n_pixels))
        mean = np.full(n_rois, np.nan)
        np.divide(total, n_pixels, out=mean, where=n_pixels > 0)
        return RoiSums(total, mean, n_pixels)

    def _plain(self, values: Array, total: Array, n_pixels: Array) -> None:
        for roi in range(len(self.rois)):
            for start, end in self._runs[self._first_runs[roi] : self._first_runs[roi + 1]]:
                known = values[start:end].astype(np.float64)
                known = known[~np.isnan(known)]
                total[roi] += known.sum()
                n_pixels[roi] += known.size


def _runs(inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Return (n, 2) flat start and end of the rows of pixels that are inside."""
    edges = np.flatnonzero(np.diff(inside.ravel().astype(np.int8), prepend=np.int8(0), append=np.int8(0)))
    runs: npt.NDArray[np.int64] = edges.reshape(-1, 2).astype(np.int64)
    return runs
