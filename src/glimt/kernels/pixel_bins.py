"""Which pixel, or which part of a split pixel, belongs to which bin: worked out once for a geometry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from glimt.kernels.bin_edges import MAX_BINS, Edges
from glimt.kernels.radial_units import RadialUnit
from glimt.model.errors import UsageError
from glimt.model.geometry import Poni

Array = npt.NDArray[Any]

MAX_SPLITTING = 64
SUB_PIXELS_AT_ONCE = 1 << 22
MAX_SUB_PIXELS_IN_A_ROW = 1 << 26


class Loops(Protocol):
    """The loops of `glimt.kernels.azimuthal_compiled` and, the same, of `glimt.kernels.azimuthal_plain`."""

    find_entries: Any
    add_pixels: Any
    add_weighted_pixels: Any
    add_entries: Any


@dataclass(frozen=True, slots=True)
class PixelBins:
    """Bins of all pixels.

    Parameters
    ----------
    n_bins : int
        Number of bins; bin ``n_bins`` takes what belongs nowhere.
    n_splitting : int
        Sub-pixels along each side of a pixel.
    bins : ndarray
        Unsplit: (n_pixels,) bin of each pixel. Split: (n_entries,) bin of each entry. uint16 where that is enough.
    pixels : ndarray or None
        Split: (n_entries,) uint32 flat pixel number of each entry, growing. ``None`` if unsplit.
    counts : ndarray or None
        Split: (n_entries,) how many of the ``n_splitting²`` sub-pixels the entry has. ``None`` if unsplit.
    """

    n_bins: int
    n_splitting: int
    bins: Array
    pixels: Array | None
    counts: Array | None

    @property
    def sub_pixels(self) -> int:
        """Sub-pixels in a pixel."""
        return self.n_splitting**2

    def sum_over(self, correction: Array | None, chosen: Array | None = None) -> tuple[Array, Array]:
        """Return how many sub-pixels, and how much correction, each bin holds.

        Parameters
        ----------
        correction : ndarray or None
            (n_pixels,), ``None`` for 1 everywhere.
        chosen : ndarray, optional
            Flat pixel numbers, growing; all pixels without.

        Returns
        -------
        tuple of ndarray
            (n_bins,) int64 number of sub-pixels, (n_bins,) float64 sum of correction times fraction of the pixel.
        """
        where: Any = slice(None) if chosen is None else self._places(chosen)
        bins = self.bins[where]
        pixels = where if self.pixels is None else self.pixels[where]
        counts = np.ones(bins.size, np.int64) if self.counts is None else self.counts[where].astype(np.int64)
        number = np.bincount(bins, weights=counts, minlength=self.n_bins + 1)[: self.n_bins].astype(np.int64)
        if correction is None:
            return number, number / self.sub_pixels
        share = counts * correction[pixels].astype(np.float64) / self.sub_pixels
        return number, np.bincount(bins, weights=share, minlength=self.n_bins + 1)[: self.n_bins]

    def _places(self, chosen: Array) -> Array:
        """Return where the entries of some pixels are."""
        if self.pixels is None:
            return chosen
        first = np.searchsorted(self.pixels, chosen, side="left")
        n_entries = np.searchsorted(self.pixels, chosen, side="right") - first
        ends = np.cumsum(n_entries)
        places: Array = np.arange(ends[-1] if ends.size else 0) + np.repeat(first - (ends - n_entries), n_entries)
        return places


def _check(n_bins: int, n_fast: int, n_splitting: int) -> None:
    if n_bins > MAX_BINS:
        raise UsageError(f"{n_bins} bins in all; at most {MAX_BINS} are possible")
    whole = isinstance(n_splitting, (int, np.integer)) and not isinstance(n_splitting, bool)
    if not whole or not 1 <= n_splitting <= MAX_SPLITTING:
        raise UsageError(
            f"pixels cannot be split {str(n_splitting)[:20]} times; 1 (not at all) to {MAX_SPLITTING} are possible"
        )
    if n_fast * n_splitting**2 > MAX_SUB_PIXELS_IN_A_ROW:
        raise UsageError(f"a row of {n_fast} pixels cannot be split {n_splitting} times; split less")


def find_pixel_bins(
    poni: Poni,
    unit: RadialUnit,
    radial: Edges,
    azimuthal: Edges | None,
    *,
    excluded: npt.NDArray[np.bool_],
    n_splitting: int,
    loops: Loops,
) -> PixelBins:
    """Return the bins of all pixels.

    Parameters
    ----------
    poni, unit : Poni, RadialUnit
        Where the pixels are and how the radial edges are measured.
    radial, azimuthal : Edges
        Bins are numbered azimuthal x radial, radial fastest.
    excluded : ndarray
        (n_pixels,) bool, True for pixels that belong nowhere.
    n_splitting : int
        Sub-pixels along each side; the center of each sub-pixel decides.
    loops : Loops
        Compiled or plain.

    Raises
    ------
    UsageError
        Too many bins or sub-pixels.
    """
    n_slow, n_fast = poni.shape
    n_bins = radial.n_bins * (azimuthal.n_bins if azimuthal else 1)
    _check(n_bins, n_fast, n_splitting)
    n_splitting = int(n_splitting)
    bin_type = np.uint16 if n_bins <= np.iinfo(np.uint16).max else np.uint32
    origin1, step1, origin2, step2 = poni.detector.axes()
    start = [origin1 - poni.poni1, step1, origin2 - poni.poni2, step2, poni.dist]
    grid = np.concatenate([start, poni.rotation().ravel()])
    turns = azimuthal.measures if azimuthal else np.zeros(0)
    rows_at_once = max(1, SUB_PIXELS_AT_ONCE // (n_fast * n_splitting**2))
    room = min(rows_at_once, n_slow) * n_fast * n_splitting**2
    pixels, bins = np.empty(room, np.uint32), np.empty(room, bin_type)
    counts = np.empty(room, np.uint8 if n_splitting**2 <= np.iinfo(np.uint8).max else np.uint16)
    whole = np.full(n_slow * n_fast if n_splitting == 1 else 0, n_bins, bin_type)
    parts: list[tuple[Array, Array, Array]] = []
    for row in range(0, n_slow, rows_at_once):
        rows = row, min(n_slow, row + rows_at_once)
        n = loops.find_entries(
            grid, unit.by_angle, radial.measures, turns, excluded, rows, n_fast, n_splitting, pixels, bins, counts
        )
        if n_splitting == 1:
            whole[pixels[:n]] = bins[:n]
        else:
            parts.append((pixels[:n].copy(), bins[:n].copy(), counts[:n].copy()))
    if n_splitting == 1:
        return PixelBins(n_bins, 1, whole, None, None)
    split = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return PixelBins(n_bins, n_splitting, split[1], split[0], split[2])
