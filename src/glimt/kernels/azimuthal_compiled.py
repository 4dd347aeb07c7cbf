"""The loops of azimuthal integration, compiled; `glimt.kernels.azimuthal_plain` is the same in NumPy.

Importing this module imports Numba, so it is left to the first use. Sums go to four interleaved accumulators:
neighboring pixels often share a bin, and adding twice to the same address in a row waits for the first store
(1.7 times slower, measured). One loop runs over pixels and one over (pixel, bin) entries of split pixels.
Functions that take arrays are called once a detector row, not once a pixel: each such call counts references
atomically, which made the bin search four times slower.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.model.compiled_code import compiled

Array = npt.NDArray[Any]


@compiled
def _bin_of(edges: Array, value: float, guess: int) -> int:
    """Return the bin with ``edges[bin] <= value < edges[bin + 1]``, -1 if none; ``guess`` is tried first."""
    last = edges.size - 1
    if not (edges[0] <= value < edges[last]):
        return -1
    for near in (guess, guess + 1, guess - 1):
        if 0 <= near < last and edges[near] <= value < edges[near + 1]:
            return near
    low, high = 0, last
    while high - low > 1:
        middle = (low + high) // 2
        if value < edges[middle]:
            high = middle
        else:
            low = middle
    return low


@compiled
def _turn(t1: float, t2: float, first: float) -> float:
    """Return the azimuth as quadrants and fraction of one, from ``first`` to less than ``first + 4``."""
    a1, a2 = abs(t1), abs(t2)
    if a1 + a2 == 0.0:
        turn = 0.0
    elif t1 >= 0.0:
        turn = a1 / (a1 + a2) if t2 >= 0.0 else 1.0 + a2 / (a1 + a2)
    else:
        turn = 2.0 + a1 / (a1 + a2) if t2 < 0.0 else 3.0 + a2 / (a1 + a2)
    while turn < first:
        turn += 4.0
    while turn >= first + 4.0:
        turn -= 4.0
    return turn


@compiled
def _measure_row(
    slow: int, n_splitting: int, grid: Array, by_angle: bool, first: float, measures: Array, turns: Array
) -> None:
    """Fill in radial and, if ``turns`` is not empty, azimuthal measure of each sub-pixel of a detector row."""
    i = 0
    for fast in range(measures.size // (n_splitting * n_splitting)):
        for j in range(n_splitting):
            p1 = grid[0] + (slow + (j + 0.5) / n_splitting) * grid[1]
            for k in range(n_splitting):
                p2 = grid[2] + (fast + (k + 0.5) / n_splitting) * grid[3]
                t1 = grid[5] * p1 + grid[6] * p2 + grid[7] * grid[4]
                t2 = grid[8] * p1 + grid[9] * p2 + grid[10] * grid[4]
                measure = t1 * t1 + t2 * t2
                if by_angle:
                    t3 = grid[11] * p1 + grid[12] * p2 + grid[13] * grid[4]
                    d = np.sqrt(measure + t3 * t3)
                    measure = measure / (2.0 * d * (d + abs(t3)))
                    if t3 < 0:
                        measure = 1.0 - measure
                measures[i] = measure
                if turns.size:
                    turns[i] = _turn(t1, t2, first)
                i += 1


@compiled
def _enter_row(
    pixel: int,
    measures: Array,
    turns: Array,
    radial: Array,
    azimuthal: Array,
    excluded: Array,
    pixels: Array,
    bins: Array,
    counts: Array,
    n: int,
) -> int:
    """Write the entries of a detector row that starts at ``pixel``, from entry ``n`` on; return the next ``n``."""
    n_sub = measures.size // excluded.size
    near, turn = 0, 0
    for fast in range(excluded.size):
        if excluded[fast]:
            continue
        start = n
        for i in range(fast * n_sub, (fast + 1) * n_sub):
            found = _bin_of(radial, measures[i], near)
            if found < 0:
                continue
            near = found
            if turns.size:
                turn = _bin_of(azimuthal, turns[i], max(turn, 0))
                if turn < 0:
                    continue
                found += turn * (radial.size - 1)
            entry = start
            while entry < n and bins[entry] != found:
                entry += 1
            if entry == n:
                pixels[n], bins[n], counts[n] = pixel + fast, found, 0
                n += 1
            counts[entry] += 1
    return n


@compiled
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
    """Find the bins of all sub-pixels of some rows of a detector or panel.

    Parameters
    ----------
    grid : ndarray
        (5 + 9,) float64: origin and step of the slow and of the fast axis, distance [m], rotation matrix by rows;
        the origins are from the foot of the normal.
    by_angle, radial, azimuthal : bool, ndarray, ndarray
        Kind of measure and measures of the edges, of `glimt.kernels.radial_units` and `glimt.kernels.bin_edges`; no
        azimuthal edges for 1-D.
    excluded : ndarray
        (n_pixels,) bool; such pixels have no entries.
    rows, n_fast, n_splitting : (int, int), int, int
        Which rows of it, their length [px], and sub-pixels along each side.
    place : (int, int)
        Flat number of its first pixel in the frame, and length of the frame's rows.
    pixels, bins, counts : ndarray
        Written: flat pixel number, bin number (azimuthal x radial), and how many sub-pixels fall into it. Has to have
        room for each sub-pixel of ``rows``.

    Returns
    -------
    int
        Number of entries written, in order of pixels; the bins of a pixel in no particular order.
    """
    measures = np.empty(n_fast * n_splitting * n_splitting)
    turns = np.empty(measures.size if azimuthal.size else 0)
    first = azimuthal[0] if azimuthal.size else 0.0
    n = 0
    for slow in range(rows[0], rows[1]):
        pixel = place[0] + slow * place[1]
        skip = excluded[pixel : pixel + n_fast]
        _measure_row(slow, n_splitting, grid, by_angle, first, measures, turns)
        n = _enter_row(pixel, measures, turns, radial, azimuthal, skip, pixels, bins, counts, n)
    return n


@compiled
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
    """Find the bins of sub-pixels whose measures are known.

    Parameters
    ----------
    first : int
        Flat number of the first pixel in the frame.
    measures, turns : ndarray
        (slow, sub-pixels of a row) float64, those of a pixel beside each other; NaN belongs nowhere. ``turns`` is
        (slow, 0) for 1-D.
    radial, azimuthal, pixels, bins, counts
        As in `find_entries`.
    excluded : ndarray
        (slow, fast) bool.

    Returns
    -------
    int
        Number of entries written.
    """
    n = 0
    for slow in range(measures.shape[0]):
        pixel = first + slow * excluded.shape[1]
        n = _enter_row(pixel, measures[slow], turns[slow], radial, azimuthal, excluded[slow], pixels, bins, counts, n)
    return n


@compiled
def add_pixels(values: Array, bins: Array, sums: Array) -> None:
    """Add every pixel to the sum of its bin.

    Parameters
    ----------
    values : ndarray
        (n_pixels,).
    bins : ndarray
        (n_pixels,) unsigned, all smaller than the length of a row of ``sums``.
    sums : ndarray
        (lanes, n_bins + 1), int64 or float64, added to; rows are partial sums, the last column is nobody's.
    """
    lanes = sums.shape[0]
    a0, a1, a2, a3 = sums[0], sums[1 % lanes], sums[2 % lanes], sums[3 % lanes]
    fours = values.size // 4
    for k in range(fours):
        i = 4 * k
        a0[bins[i]] += values[i]
        a1[bins[i + 1]] += values[i + 1]
        a2[bins[i + 2]] += values[i + 2]
        a3[bins[i + 3]] += values[i + 3]
    for i in range(4 * fours, values.size):
        a0[bins[i]] += values[i]


@compiled
def add_weighted_pixels(values: Array, bins: Array, weights: Array, sums: Array) -> None:
    """Add every pixel times its weight to the sum of its bin.

    As `add_pixels`, with weights (n_pixels,) float32 and ``sums`` float64.
    """
    lanes = sums.shape[0]
    a0, a1, a2, a3 = sums[0], sums[1 % lanes], sums[2 % lanes], sums[3 % lanes]
    fours = values.size // 4
    for k in range(fours):
        i = 4 * k
        a0[bins[i]] += np.float64(values[i]) * np.float64(weights[i])
        a1[bins[i + 1]] += np.float64(values[i + 1]) * np.float64(weights[i + 1])
        a2[bins[i + 2]] += np.float64(values[i + 2]) * np.float64(weights[i + 2])
        a3[bins[i + 3]] += np.float64(values[i + 3]) * np.float64(weights[i + 3])
    for i in range(4 * fours, values.size):
        a0[bins[i]] += np.float64(values[i]) * np.float64(weights[i])


@compiled
def add_entries(values: Array, pixels: Array, bins: Array, weights: Array, sums: Array) -> None:
    """Add the pixel of every entry times the entry's weight to the sum of the entry's bin.

    As `add_weighted_pixels`; ``pixels``, ``bins`` and ``weights`` are (n_entries,).
    """
    lanes = sums.shape[0]
    a0, a1, a2, a3 = sums[0], sums[1 % lanes], sums[2 % lanes], sums[3 % lanes]
    fours = bins.size // 4
    for k in range(fours):
        i = 4 * k
        a0[bins[i]] += np.float64(values[pixels[i]]) * np.float64(weights[i])
        a1[bins[i + 1]] += np.float64(values[pixels[i + 1]]) * np.float64(weights[i + 1])
        a2[bins[i + 2]] += np.float64(values[pixels[i + 2]]) * np.float64(weights[i + 2])
        a3[bins[i + 3]] += np.float64(values[pixels[i + 3]]) * np.float64(weights[i + 3])
    for i in range(4 * fours, bins.size):
        a0[bins[i]] += np.float64(values[pixels[i]]) * np.float64(weights[i])
