"""Radial statistics in NumPy: what `glimt.kernels.radial_statistics_compiled` is held against."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

LARGEST = float(np.finfo(np.float32).max)


def clip_bins(values: Array, bins: Array, n_bins: int, rule: tuple[float, float, int]) -> tuple[Array, ...]:
    """Return mean, standard deviation, threshold and number of all bins, clipping all pixels again and again."""
    minimum_snr, least, n_iterations = rule
    mean, sigma, n = np.zeros(n_bins), np.zeros(n_bins), np.zeros(n_bins, np.int64)
    low, high = np.full(n_bins, -1e9), np.full(n_bins, 1e9)
    used = bins < n_bins
    bins, pixels = bins[used].astype(np.int64), values[used].astype(np.float64)
    for _ in range(n_iterations):
        inside = (low[bins] < pixels) & (pixels < high[bins])
        chosen, v = bins[inside], pixels[inside]
        n = np.bincount(chosen, minlength=n_bins)
        count = np.maximum(n, 1)
        mean = np.bincount(chosen, v, n_bins) / count
        variance = np.bincount(chosen, v * v, n_bins) / count - mean**2
        sigma = np.sqrt(np.maximum(variance, 0.0))
        low = np.where(n > 0, mean - minimum_snr * sigma, 0.0)
        high = np.where(n > 0, np.maximum(mean + minimum_snr * sigma, least), LARGEST)
    return mean, sigma, high, n
