"""Running mean and variance, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.model.compiled_code import compiled

Array = npt.NDArray[Any]


@compiled
def add_whole(values: Array, n_frames: int, mean: Array, squares: Array) -> None:
    """Add one frame, the ``n_frames``-th, without NaN; arrays (n_pixels,)."""
    part = 1.0 / n_frames
    for i in range(values.size):
        difference = np.float64(values[i]) - mean[i]
        mean[i] += difference * part
        squares[i] += difference * (np.float64(values[i]) - mean[i])


@compiled
def add_known(values: Array, count: Array, mean: Array, squares: Array) -> None:
    """Add one frame; pixels that are NaN stay as they are. Arrays (n_pixels,), ``count`` int64."""
    for i in range(values.size):
        v = np.float64(values[i])
        if not np.isnan(v):
            count[i] += 1
            difference = v - mean[i]
            mean[i] += difference / count[i]
            squares[i] += difference * (v - mean[i])
