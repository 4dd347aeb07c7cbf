"""Integration of a peak in a disc, with the background from a ring around it; compiled.

`glimt.kernels.zaef_plain.integrate_ring` is the same in NumPy.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.model.compiled_code import compiled

Array = npt.NDArray[Any]
Box = tuple[int, int, int, int, int]
Radii = tuple[float, float, float]


@compiled
def ring_background(
    values: Array, excluded: Array, box: Box, ss: int, fs: int, radii: Radii
) -> tuple[int, float, float]:
    """Return number, mean and variance of the ring's pixels; number -1 if a pixel of ring or disc is bad or missing."""
    n_fast, ss_min, ss_max, fs_min, fs_max = box
    inner, middle, outer = radii
    n, total, square = 0, 0.0, 0.0
    reach = int(outer)
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            d = dy * dy + dx * dx
            if d > outer * outer or inner * inner < d < middle * middle:
                continue
            y, x = ss + dy, fs + dx
            if not (ss_min <= y < ss_max and fs_min <= x < fs_max):
                return -1, 0.0, 0.0
            v = np.float64(values[y * n_fast + x])
            if excluded[y * n_fast + x] or not np.isfinite(v):
                return -1, 0.0, 0.0
            if d >= middle * middle:
                n += 1
                total += v
                square += v * v
    if n == 0:
        return 0, 0.0, 0.0
    mean = total / n
    return n, mean, max(square / n - mean * mean, 0.0)


@compiled
def integrate_ring(
    values: Array,
    excluded: Array,
    box: Box,
    ss: int,
    fs: int,
    radii: Radii,
    adu_per_photon: float,
    row: Array,
) -> bool:
    """Integrate around one pixel; return whether that was possible and the centroid lies in the disc.

    Parameters
    ----------
    values, excluded : ndarray
        (n_pixels,) frame and bool.
    box : tuple
        Pixels in a row, and the panel: first and end of ss, first and end of fs.
    ss, fs : int
        Middle of disc and ring.
    radii : tuple of float
        Of the disc, of the ring inside and outside [px].
    adu_per_photon : float
        Counts of one photon.
    row : ndarray
        (6,) float64, changed: fs, ss, intensity, maximum, signal to noise, pixels of the disc.
    """
    n_ring, mean, variance = ring_background(values, excluded, box, ss, fs, radii)
    if n_ring <= 0:
        return False
    n, intensity, y_sum, x_sum, largest = 0, 0.0, 0.0, 0.0, 0.0
    reach = int(radii[0])
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            if dy * dy + dx * dx <= radii[0] * radii[0]:
                v = np.float64(values[(ss + dy) * box[0] + fs + dx]) - mean
                n += 1
                intensity += v
                y_sum += v * dy
                x_sum += v * dx
                largest = max(largest, v)
    square = n * variance + adu_per_photon * intensity
    if intensity <= 0.0 or square <= 0.0 or x_sum**2 + y_sum**2 > (radii[0] * intensity) ** 2:
        return False
    row[0], row[1], row[2] = fs + x_sum / intensity, ss + y_sum / intensity, intensity
    row[3], row[4], row[5] = largest, intensity / np.sqrt(square), n
    return True
