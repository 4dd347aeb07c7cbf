"""The search of peakfinder8 in plain Python: what `glimt.kernels.peakfinder8_compiled` is held against."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

LARGEST = float(np.finfo(np.float32).max)


def _blob(above: Array, taken: Array, start: tuple[int, int]) -> list[tuple[int, int]]:
    """Return all pixels connected to one, itself first, and take them."""
    queue, taken[start] = [start], True
    for ss, fs in queue:
        for y, x in np.ndindex(3, 3):
            near = ss + y - 1, fs + x - 1
            if 0 <= near[0] < above.shape[0] and 0 <= near[1] < above.shape[1] and above[near] and not taken[near]:
                taken[near] = True
                queue.append(near)
    return queue


def _first_center(v: Array, offset: Array, place: Array) -> int:
    """Return the centroid in 32 bits, as Cheetah rounds it."""
    weights = np.abs(v.astype(np.float32) - offset.astype(np.float32))
    total = moment = np.float32(0)
    for weight, at in zip(weights, place.astype(np.float32), strict=True):
        total, moment = total + weight, moment + weight * at
    return int(np.rint(moment / total))


def _measure(
    panel: Array, threshold: Array, means: tuple[Array, Array], taken: Array, blob: list[tuple[int, int]], rule: Any
) -> tuple[float, ...] | None:
    """Return fs, ss, intensity, maximum, signal to noise and number of pixels, or None if it is no peak."""
    least, most, radius, minimum_snr = rule
    ss, fs = np.array(blob).T
    v = panel[ss, fs]
    weight = np.abs(v - means[0][ss, fs])
    if not least <= len(blob) <= most or weight.sum() < 1e-10:
        return None
    center = _first_center(v, means[0][ss, fs], ss), _first_center(v, means[0][ss, fs], fs)
    y, x = np.indices(panel.shape)
    dy, dx, width = y - center[0], x - center[1], 2 * radius
    around = (-width <= dy) & (dy < width) & (-width <= dx) & (dx < width) & (dy**2 + dx**2 <= width**2)
    free = panel[around & ~taken & (panel < threshold) & (panel >= -LARGEST) & np.isfinite(threshold)]
    background, sigma, largest = means[1][center], 0.01, 0.0
    if free.size:
        background = free.sum() / free.size
        variance = (free * free).sum() / free.size - background**2
        sigma, largest = np.sqrt(variance) if variance >= 0 else 0.01, max(free.max(), 0.0)
    if abs(v.sum()) < 1e-10:
        return None
    intensity, maximum = (v - background).sum(), max((v - background).max(), 0.0)
    at = (v * fs).sum() / abs(v.sum()), (v * ss).sum() / abs(v.sum())
    snr = intensity / sigma if sigma > 1e-10 else 0.0
    inside = 0 <= at[0] <= panel.shape[1] - 1 and 0 <= at[1] <= panel.shape[0] - 1
    if snr < minimum_snr * (1 - 1e-9) or maximum < largest - background or not inside:
        return None
    return (*at, intensity, maximum, snr, len(blob))


def find_peaks(
    frame: Array, maps: tuple[Array, Array, Array, Array], panel_shape: tuple[int, int], rule: Any
) -> list[tuple[float, ...]]:
    """Return the peaks of a frame, panel by panel: fs, ss, intensity, maximum, signal to noise, pixels.

    Parameters
    ----------
    frame : ndarray
        (slow, fast).
    maps, rule
        As in `glimt.kernels.peakfinder8_compiled.find_peaks`.
    panel_shape : (int, int)
        (slow, fast).
    """
    bins, all_bins = maps[0].reshape(frame.shape), maps[1].reshape(frame.shape)
    peaks = []
    for first_ss in range(0, frame.shape[0], panel_shape[0]):
        for first_fs in range(0, frame.shape[1], panel_shape[1]):
            where = slice(first_ss, first_ss + panel_shape[0]), slice(first_fs, first_fs + panel_shape[1])
            panel, threshold = frame[where].astype(np.float64), maps[2][bins[where]]
            means = maps[3][bins[where]], maps[3][all_bins[where]]
            above = (panel > threshold) & (panel <= LARGEST)
            taken = np.zeros(panel.shape, np.bool_)
            for ss, fs in np.argwhere(above[1:-1, 1:-1]) + 1:
                if taken[ss, fs]:
                    continue
                found = _measure(panel, threshold, means, taken, _blob(above, taken, (int(ss), int(fs))), rule)
                if found:
                    peaks.append((found[0] + first_fs, found[1] + first_ss, *found[2:]))
    return peaks
