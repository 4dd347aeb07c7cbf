"""The gradient search of Zaefferer, compiled; `glimt.kernels.zaef_plain` is the same in Python."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.kernels.ring_integration_compiled import Box, Radii, integrate_ring
from glimt.model.compiled_code import compiled

Array = npt.NDArray[Any]


@compiled
def _gradient(values: Array, pixel: int, n_fast: int) -> float:
    """Return the mean square of two differences along fs plus that of two along ss, one of which is diagonal."""
    v: Any = np.float64(values[pixel])
    dx1, dx2 = v - values[pixel + 1], values[pixel - 1] - v
    dy1, dy2 = v - values[pixel + n_fast + 1], values[pixel - n_fast] - v
    gradient: float = 0.5 * (dx1 * dx1 + dx2 * dx2) + 0.5 * (dy1 * dy1 + dy2 * dy2)
    return gradient


@compiled
def _summit(values: Array, excluded: Array, box: Box, pixel: int, reach: float) -> int:
    """Return the maximum that the steepest way leads to, -1 if it is more than ``reach`` away."""
    n_fast, ss_min, ss_max, fs_min, fs_max = box
    step = int(reach)
    best = pixel
    while True:
        here = best
        ss, fs = here // n_fast, here % n_fast
        for y in range(max(ss - step, ss_min), min(ss + step + 1, ss_max)):
            for x in range(max(fs - step, fs_min), min(fs + step + 1, fs_max)):
                near = y * n_fast + x
                if values[near] > values[best] and not excluded[near]:
                    best = near
        dy, dx = best // n_fast - pixel // n_fast, best % n_fast - pixel % n_fast
        if dy * dy + dx * dx > reach * reach:
            return -1
        if best == here:
            return best


@compiled
def _crowded(table: Array, cells: tuple[Array, Array, int], side: float, row: Array) -> bool:
    """Return whether a peak of the table is nearer than ``side``; ``cells`` list the peaks of squares of that side."""
    heads, after, n_across = cells
    y, x = int(row[1] / side), int(row[0] / side)
    for cy in range(max(y - 1, 0), min(y + 2, heads.size // n_across)):
        for cx in range(max(x - 1, 0), min(x + 2, n_across)):
            k = heads[cy * n_across + cx]
            while k >= 0:
                dy, dx = table[k, 1] - row[1], table[k, 0] - row[0]
                if dy * dy + dx * dx < side * side:
                    return True
                k = after[k]
    return False


@compiled
def find_peaks(
    values: Array,
    excluded: Array,
    n_fast: int,
    panel: tuple[int, int],
    candidates: Array,
    state: tuple[Array, Array, Array],
    rule: tuple[float, float, Radii, float],
    table: Array,
) -> int:
    """Find the peaks whose slopes hold candidates, in their order; return how many fit into the table.

    Parameters
    ----------
    values, excluded : ndarray
        (n_pixels,) frame and bool.
    n_fast : int
        Pixels in a row.
    panel : (int, int)
        Pixels of a panel (slow, fast).
    candidates : ndarray
        (n,) flat numbers of the pixels above the threshold.
    state : tuple of ndarray
        (n_pixels,) bool, all False before and after; (cells,) int32, changed, of squares of twice the inner radius;
        (most peaks,) int32, changed.
    rule : tuple
        Least squared gradient, least signal to noise, radii, counts of one photon.
    table : ndarray
        (most peaks, 6) float64, changed: fs, ss, intensity, maximum, signal to noise, pixels.
    """
    seen, heads, after = state
    least_gradient, least_snr, radii, adu_per_photon = rule
    side = 2.0 * radii[0]
    n_across = int(n_fast / side) + 2
    heads[:] = -1
    row, n = np.zeros(6), 0
    for k in range(candidates.size):
        pixel: Any = np.int64(candidates[k])
        ss, fs = pixel // n_fast, pixel % n_fast
        ss_min, fs_min = ss // panel[0] * panel[0], fs // panel[1] * panel[1]
        box = (n_fast, ss_min, ss_min + panel[0], fs_min, fs_min + panel[1])
        inside = 0 < ss - ss_min < panel[0] - 1 and 0 < fs - fs_min < panel[1] - 1
        if not inside or not _gradient(values, pixel, n_fast) >= least_gradient:
            continue
        summit = _summit(values, excluded, box, pixel, radii[0])
        if summit < 0 or seen[summit]:
            continue
        seen[summit] = True  # what is decided once about a summit stays true
        if not integrate_ring(values, excluded, box, summit // n_fast, summit % n_fast, radii, adu_per_photon, row):
            continue
        if row[4] < least_snr or _crowded(table, (heads, after, n_across), side, row):
            continue
        if n == table.shape[0]:
            break
        table[n] = row
        cell = int(row[1] / side) * n_across + int(row[0] / side)
        after[n] = heads[cell]
        heads[cell] = n
        n += 1
    for k in range(candidates.size):  # a summit is higher than the pixel it was found from: a candidate as well
        seen[candidates[k]] = False
    return n
