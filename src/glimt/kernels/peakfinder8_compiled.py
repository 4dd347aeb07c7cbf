"""The search of peakfinder8, compiled; `glimt.kernels.peakfinder8_plain` is the same in Python."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.model.compiled_code import compiled

Array = npt.NDArray[Any]
Rule = tuple[int, int, int, float]
Box = tuple[int, int, int, int, int]

LARGEST = 3.4028234663852886e38
NO_BACKGROUND_SIGMA = 0.01
TINY = 1e-10
NEARLY = 1.0 - 1e-9
"""Counts are whole numbers, so that signal to noise often is the least one exactly, but for rounding."""


@compiled
def _fill(values: Array, bins: Array, thresholds: Array, box: Box, state: tuple[Array, Array], n: int) -> int:
    """Queue all pixels above their thresholds that touch the ones queued from ``n`` on; return the queue's new end."""
    n_fast, ss_min, ss_max, fs_min, fs_max = box
    in_peak, queue = state
    q, n = n, n + 1
    while q < n:
        pixel: Any = np.int64(queue[q])
        ss, fs = pixel // n_fast, pixel % n_fast
        for y in range(max(ss - 1, ss_min), min(ss + 2, ss_max)):
            for x in range(max(fs - 1, fs_min), min(fs + 2, fs_max)):
                near = y * n_fast + x
                if not in_peak[near] and thresholds[bins[near]] < values[near] <= LARGEST:
                    in_peak[near] = True
                    queue[n] = near
                    n += 1
        q += 1
    return n


@compiled
def _local_background(
    values: Array,
    bins: Array,
    thresholds: Array,
    in_peak: Array,
    box: Box,
    at: tuple[int, int, int],
) -> tuple[int, float, float, float]:
    """Return number, mean, standard deviation and maximum (at least 0) of the pixels around a peak that are in none."""
    n_fast, ss_min, ss_max, fs_min, fs_max = box
    ss, fs, width = at
    none = thresholds.size - 1
    n, total, square, largest = 0, 0.0, 0.0, 0.0
    for y in range(max(ss - width, ss_min), min(ss + width, ss_max)):
        for x in range(max(fs - width, fs_min), min(fs + width, fs_max)):
            pixel = y * n_fast + x
            b = bins[pixel]
            if (y - ss) ** 2 + (x - fs) ** 2 > width * width or b == none or in_peak[pixel]:
                continue
            v = np.float64(values[pixel])
            if -LARGEST <= v < thresholds[b]:
                n += 1
                total += v
                square += v * v
                largest = max(largest, v)
    if n == 0:
        return 0, 0.0, NO_BACKGROUND_SIGMA, 0.0
    mean = total / n
    variance = square / n - mean * mean
    return n, mean, np.sqrt(variance) if variance >= 0.0 else NO_BACKGROUND_SIGMA, largest


@compiled
def _first_center(values: Array, bins: Array, offsets: Array, peak: Array, box: Box) -> tuple[int, int]:
    """Return the nearest pixel to the centroid above the radial background, -1 if it has none.

    In 32 bits, as Cheetah does: two equal pixels have their centroid between them, and rounding decides on one.
    """
    n_fast, ss_min, _, fs_min, _ = box
    total, ss, fs = np.float32(0.0), np.float32(0.0), np.float32(0.0)
    for k in range(peak.size):
        pixel: Any = np.int64(peak[k])
        weight = np.float32(abs(np.float32(values[pixel]) - np.float32(offsets[bins[pixel]])))
        total += weight
        ss += weight * np.float32(pixel // n_fast - ss_min)
        fs += weight * np.float32(pixel % n_fast - fs_min)
    if total < TINY:
        return -1, -1
    return int(np.rint(ss / total)) + ss_min, int(np.rint(fs / total)) + fs_min


@compiled
def _integrate(values: Array, peak: Array, background: float, box: Box) -> tuple[float, float, float, float]:
    """Return intensity and maximum above the background, and the centroid within the panel of the bare pixels."""
    n_fast, ss_min, _, fs_min, _ = box
    raw, ss, fs, intensity, largest = 0.0, 0.0, 0.0, 0.0, 0.0
    for k in range(peak.size):
        pixel: Any = np.int64(peak[k])
        v = np.float64(values[pixel])
        raw += v
        ss += v * (pixel // n_fast - ss_min)
        fs += v * (pixel % n_fast - fs_min)
        intensity += v - background
        largest = max(largest, v - background)
    if abs(raw) < TINY:
        return 0.0, 0.0, -1.0, -1.0
    return intensity, largest, ss / abs(raw), fs / abs(raw)


@compiled
def _measure(
    values: Array,
    maps: tuple[Array, Array, Array, Array],
    in_peak: Array,
    peak: Array,
    box: Box,
    rule: Rule,
    row: Array,
) -> bool:
    """Fill one row of the table; return whether the pixels make a peak."""
    bins, all_bins, thresholds, offsets = maps
    least, most, radius, minimum_snr = rule
    if not least <= peak.size <= most:
        return False
    n_fast, ss_min, ss_max, fs_min, fs_max = box
    ss, fs = _first_center(values, bins, offsets, peak, box)
    if ss < 0:
        return False
    around = _local_background(values, bins, thresholds, in_peak, box, (ss, fs, 2 * radius))
    n, mean, sigma, largest = around
    if n == 0:
        mean = offsets[all_bins[ss * n_fast + fs]]
    intensity, maximum, ss_panel, fs_panel = _integrate(values, peak, mean, box)
    snr = intensity / sigma if sigma > TINY else 0.0
    if snr < minimum_snr * NEARLY or maximum < largest - mean:
        return False
    if not (0.0 <= ss_panel <= ss_max - ss_min - 1 and 0.0 <= fs_panel <= fs_max - fs_min - 1):
        return False
    row[0], row[1], row[2] = fs_panel + fs_min, ss_panel + ss_min, intensity
    row[3], row[4], row[5] = maximum, snr, peak.size
    return True


@compiled
def find_peaks(
    values: Array,
    maps: tuple[Array, Array, Array, Array],
    n_fast: int,
    panel: tuple[int, int],
    candidates: Array,
    state: tuple[Array, Array],
    rule: Rule,
    table: Array,
) -> int:
    """Find the peaks that start from candidates, in their order; return how many there are.

    Parameters
    ----------
    values : ndarray
        (n_pixels,) the frame.
    maps : tuple of ndarray
        (n_pixels,) bins, (n_pixels,) bins as if nothing were excluded, (n_bins + 1,) thresholds, infinite for the last
        bin, which is that of excluded pixels, (n_bins + 1,) means.
    n_fast : int
        Pixels in a row.
    panel : (int, int)
        Pixels of a panel (slow, fast).
    candidates : ndarray
        (n,) flat pixel numbers.
    state : tuple of ndarray
        (n_pixels,) bool, all False before and after, and (n_pixels,) uint32 for a queue.
    rule : tuple
        Fewest pixels, most pixels, radius of the local background, least signal to noise.
    table : ndarray
        (n, 6) float64, changed: fs, ss, intensity, maximum, signal to noise, pixels. Further peaks are only counted.
    """
    in_peak, queue = state
    row = np.zeros(6)
    n_peaks, end = 0, 0
    for k in range(candidates.size):
        pixel: Any = np.int64(candidates[k])
        if in_peak[pixel] or not maps[2][maps[0][pixel]] < values[pixel] <= LARGEST:
            continue
        ss, fs = pixel // n_fast, pixel % n_fast
        ss_min, fs_min = ss // panel[0] * panel[0], fs // panel[1] * panel[1]
        box = (n_fast, ss_min, ss_min + panel[0], fs_min, fs_min + panel[1])
        if not (0 < ss - ss_min < panel[0] - 1 and 0 < fs - fs_min < panel[1] - 1):
            continue
        first = end
        queue[end] = pixel
        in_peak[pixel] = True
        end = _fill(values, maps[0], maps[2], box, state, end)
        if _measure(values, maps, in_peak, queue[first:end], box, rule, row):
            if n_peaks < table.shape[0]:
                table[n_peaks] = row
            n_peaks += 1
    for k in range(end):
        in_peak[queue[k]] = False
    return n_peaks


@compiled
def order_by_panel(listed: Array, n_fast: int, panel: tuple[int, int], starts: Array, ordered: Array) -> None:
    """Sort candidates by panel, panels row by row, keeping their order within each.

    Parameters
    ----------
    listed, ordered : ndarray
        (n,) flat pixel numbers; the second is changed.
    starts : ndarray
        (n_panels + 1,) int64, changed.
    """
    panels_fast = n_fast // panel[1]
    starts[:] = 0
    for k in range(listed.size):
        pixel: Any = np.int64(listed[k])
        starts[pixel // n_fast // panel[0] * panels_fast + pixel % n_fast // panel[1] + 1] += 1
    for p in range(1, starts.size):
        starts[p] += starts[p - 1]
    for k in range(listed.size):
        pixel = np.int64(listed[k])
        p = pixel // n_fast // panel[0] * panels_fast + pixel % n_fast // panel[1]
        ordered[starts[p]] = pixel
        starts[p] += 1
