"""The loops of azimuthal integration in NumPy: what `glimt.kernels.azimuthal_compiled` is held against."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.kernels.pixel_positions import Positions
from glimt.kernels.radial_units import quadrants

Array = npt.NDArray[Any]


def _bin_of(edges: Array, values: Array) -> Array:
    found: Array = np.searchsorted(edges, values, side="right") - 1
    found[~((values >= edges[0]) & (values < edges[-1]))] = -1
    return found


def find_entries(
    grid: Array,
    by_angle: bool,
    radial: Array,
    azimuthal: Array,
    excluded: Array,
    rows: tuple[int, int],
    n_fast: int,
    place: tuple[int, int],
    n_splitting: int,
    pixels: Array,
    bins: Array,
    counts: Array,
) -> int:
    """Find the bins of all sub-pixels of some detector rows; as in `glimt.kernels.azimuthal_compiled`."""
    slow, fast, j, k = np.meshgrid(
        np.arange(*rows), np.arange(n_fast), np.arange(n_splitting), np.arange(n_splitting), indexing="ij"
    )
    p1 = grid[0] + (slow + (j + 0.5) / n_splitting) * grid[1]
    p2 = grid[2] + (fast + (k + 0.5) / n_splitting) * grid[3]
    t1, t2, t3 = (grid[5 + 3 * a] * p1 + grid[6 + 3 * a] * p2 + grid[7 + 3 * a] * grid[4] for a in range(3))
    measure = t1 * t1 + t2 * t2
    if by_angle:
        d = np.sqrt(measure + t3 * t3)
        measure = measure / (2.0 * d * (d + np.abs(t3)))
        measure = np.where(t3 < 0, 1.0 - measure, measure)
    turns = quadrants(Positions(t1, t2, t3), azimuthal[0]) if azimuthal.size else measure
    found = _bins(radial, azimuthal, measure, turns)
    pixel = place[0] + slow * place[1] + fast
    return _enter(pixel, found, (found >= 0) & ~excluded[pixel], pixels, bins, counts)


def enter_measures(
    first: int,
    measures: Array,
    turns: Array,
    radial: Array,
    azimuthal: Array,
    excluded: Array,
    pixels: Array,
    bins: Array,
    counts: Array,
) -> int:
    """Find the bins of sub-pixels whose measures are known; as in `glimt.kernels.azimuthal_compiled`."""
    n_sub = measures.shape[1] // excluded.shape[1]
    found = _bins(radial, azimuthal, measures, turns)
    fast = np.arange(measures.shape[1]) // n_sub
    pixel = first + np.arange(measures.shape[0])[:, np.newaxis] * excluded.shape[1] + fast
    return _enter(pixel, found, (found >= 0) & ~excluded[:, fast], pixels, bins, counts)


def _bins(radial: Array, azimuthal: Array, measures: Array, turns: Array) -> Array:
    found = _bin_of(radial, measures)
    if not azimuthal.size:
        return found
    turn = _bin_of(azimuthal, turns)
    both: Array = np.where((found < 0) | (turn < 0), -1, turn * (radial.size - 1) + found)
    return both


def _enter(pixel: Array, found: Array, used: Array, pixels: Array, bins: Array, counts: Array) -> int:
    pairs, times = np.unique(np.stack([pixel[used], found[used]]), axis=1, return_counts=True)
    n = times.size
    pixels[:n], bins[:n], counts[:n] = pairs[0], pairs[1], times
    return n


def add_pixels(values: Array, bins: Array, sums: Array) -> None:
    """Add every pixel to the sum of its bin; as in `glimt.kernels.azimuthal_compiled`."""
    sums[0] += np.bincount(bins, weights=values, minlength=sums.shape[1]).astype(sums.dtype)


def add_weighted_pixels(values: Array, bins: Array, weights: Array, sums: Array) -> None:
    """Add every pixel times its weight to the sum of its bin; as in `glimt.kernels.azimuthal_compiled`."""
    sums[0] += np.bincount(bins, weights=values.astype(np.float64) * weights, minlength=sums.shape[1])


def add_entries(values: Array, pixels: Array, bins: Array, weights: Array, sums: Array) -> None:
    """Add the pixel of every entry times its weight to the bin of the entry; as in `azimuthal_compiled`."""
    add_weighted_pixels(values[pixels], bins, weights, sums)
