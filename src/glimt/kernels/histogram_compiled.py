"""Histogram of pixel values, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.model.compiled_code import compiled

Array = npt.NDArray[Any]


@compiled
def count_whole(values: Array, keep: Array, low: int, counts: Array) -> None:
    """Count whole numbers into bins of width 1.

    Parameters
    ----------
    values, keep : ndarray
        (n_pixels,) integers and bool.
    low : int
        First edge.
    counts : ndarray
        (2, 1 + n_bins + 2) int64, changed: below, bins, above, NaN.
    """
    above = counts.shape[1] - 2
    for i in range(values.size):
        if keep[i]:
            counts[i & 1, min(max(np.int64(values[i]) - low + 1, 0), above)] += 1


@compiled
def count(values: Array, keep: Array, edges: Array, counts: Array) -> None:
    """Count numbers between equidistant ``edges`` (n_bins + 1,); as `count_whole`."""
    last = edges.size - 1
    scale = last / (edges[last] - edges[0])
    for i in range(values.size):
        if not keep[i]:
            continue
        v = np.float64(values[i])
        if np.isnan(v):
            counts[0, last + 2] += 1
        elif v < edges[0]:
            counts[0, 0] += 1
        elif v >= edges[last]:
            counts[0, last + 1] += 1
        else:
            b = min(int((v - edges[0]) * scale), last - 1)
            while v < edges[b]:  # rounding puts it off by one at most
                b -= 1
            while v >= edges[b + 1]:
                b += 1
            counts[i & 1, b + 1] += 1
