"""Which pixel, or which part of a split pixel, belongs to which bin: worked out once for a geometry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from glimt.kernels.bin_edges import MAX_BINS, Edges
from glimt.kernels.frame_pixels import FramePixels, GridPixels
from glimt.kernels.pixel_positions import Positions
from glimt.kernels.positioned_pixels import PositionedPixels
from glimt.kernels.radial_units import RadialUnit, quadrants
from glimt.model.errors import UsageError

Array = npt.NDArray[Any]

MAX_SPLITTING = 64
SUB_PIXELS_AT_ONCE = 1 << 22
POSITIONS_AT_ONCE = 1 << 18
MAX_SUB_PIXELS_IN_A_ROW = 1 << 26


class Loops(Protocol):
    """The loops of `glimt.kernels.azimuthal_compiled` and, the same, of `glimt.kernels.azimuthal_plain`."""

    find_entries: Any
    enter_measures: Any
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
    pixels: FramePixels,
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
    pixels, unit : FramePixels, RadialUnit
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
        Too many bins or sub-pixels, or pixels that cannot be split.
    """
    n_slow, n_fast = pixels.shape
    n_bins = radial.n_bins * (azimuthal.n_bins if azimuthal else 1)
    _check(n_bins, n_fast, n_splitting)
    search = _Search(unit, radial.measures, azimuthal, excluded, int(n_splitting), n_fast, loops)
    whole = np.full(n_slow * n_fast if n_splitting == 1 else 0, n_bins, search.bin_type(n_bins))
    parts: list[tuple[Array, Array, Array]] = []
    for found, bins, counts in _entries(pixels, search, whole.dtype):
        if n_splitting == 1:
            whole[found] = bins
        else:
            parts.append((found.copy(), bins.copy(), counts.copy()))
    if n_splitting == 1:
        return PixelBins(n_bins, 1, whole, None, None)
    split = [np.concatenate(column) for column in zip(*parts, strict=True)]
    if (np.diff(split[0].astype(np.int64)) < 0).any():  # panels side by side share rows
        order = np.argsort(split[0], kind="stable")
        split = [column[order] for column in split]
    return PixelBins(n_bins, int(n_splitting), split[1], split[0], split[2])


@dataclass(frozen=True, slots=True)
class _Search:
    """What the search for bins needs besides the positions."""

    unit: RadialUnit
    measures: Array
    azimuthal: Edges | None
    excluded: Array
    n_splitting: int
    n_fast: int
    loops: Loops

    @property
    def turns(self) -> Array:
        return self.azimuthal.measures if self.azimuthal else np.zeros(0)

    @staticmethod
    def bin_type(n_bins: int) -> Any:
        return np.uint16 if n_bins <= np.iinfo(np.uint16).max else np.uint32

    def room(self, n_sub: int, bin_type: Any) -> tuple[Array, Array, Array]:
        """Return buffers for pixel numbers, bins and counts of so many sub-pixels."""
        count_type = np.uint8 if self.n_splitting**2 <= np.iinfo(np.uint8).max else np.uint16
        return np.empty(n_sub, np.uint32), np.empty(n_sub, bin_type), np.empty(n_sub, count_type)


def _entries(pixels: FramePixels, search: _Search, bin_type: Any) -> Iterator[tuple[Array, Array, Array]]:
    """Yield pixel numbers, bins and counts of entries, a few rows at a time; overwritten by the next ones."""
    if isinstance(pixels, GridPixels):
        return _of_grids(pixels, search, bin_type)
    if isinstance(pixels, PositionedPixels):
        return _of_positions(pixels, search, bin_type)
    raise UsageError(f"{type(pixels).__name__} are no pixels of which bins can be found")


def _of_grids(pixels: GridPixels, search: _Search, bin_type: Any) -> Iterator[tuple[Array, Array, Array]]:
    n_sub = search.n_splitting**2
    most = max(grid.shape[1] for grid in pixels.grids) * n_sub
    tallest = max(grid.shape[0] for grid in pixels.grids)
    buffers = search.room(min(tallest, max(1, SUB_PIXELS_AT_ONCE // most)) * most, bin_type)
    for grid in pixels.grids:
        numbers, step = grid.numbers(), buffers[0].size // (grid.shape[1] * n_sub)
        place = (grid.first_slow * search.n_fast + grid.first_fast, search.n_fast)
        for row in range(0, grid.shape[0], step):
            rows = row, min(grid.shape[0], row + step)
            n = search.loops.find_entries(
                numbers, search.unit.by_angle, search.measures, search.turns, search.excluded, rows, grid.shape[1],
                place, search.n_splitting, *buffers,
            )  # fmt: skip
            yield buffers[0][:n], buffers[1][:n], buffers[2][:n]


def _of_positions(pixels: PositionedPixels, search: _Search, bin_type: Any) -> Iterator[tuple[Array, Array, Array]]:
    n_slow, n_fast = pixels.shape
    in_row = n_fast * search.n_splitting**2
    step = min(n_slow, max(1, POSITIONS_AT_ONCE // in_row))
    buffers, turns = search.room(step * in_row, bin_type), search.turns
    for row in range(0, n_slow, step):
        rows = slice(row, min(n_slow, row + step))
        at = pixels.sub_positions(rows, search.n_splitting)
        at = Positions(*(part.reshape(part.shape[0], -1) for part in at))
        measures = search.unit.measure(at)
        turn = quadrants(at, turns[0]) if turns.size else np.zeros((measures.shape[0], 0))
        skip = search.excluded[row * n_fast : rows.stop * n_fast].reshape(-1, n_fast)
        n = search.loops.enter_measures(row * n_fast, measures, turn, search.measures, turns, skip, *buffers)
        yield buffers[0][:n], buffers[1][:n], buffers[2][:n]
