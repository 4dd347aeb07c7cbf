"""Weights of a frame along both axes, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.model.compiled_code import compiled

Array = npt.NDArray[Any]


@compiled
def project_weights(values: Array, keep: Array, rule: tuple[float, float], out: tuple[Array, Array]) -> None:
    """Add up the weights of rows and columns, and count their pixels.

    Parameters
    ----------
    values, keep : ndarray
        (slow, fast) frame and bool.
    rule : tuple of float
        Pixels above the first take part, with their value less the second as weight.
    out : tuple of ndarray
        (2, fast) and (2, slow) float64 weights and numbers, changed; the first has to be zero.
    """
    threshold, offset = rule
    weights, numbers = out[0][0], out[0][1]
    for y in range(values.shape[0]):
        row, kept = values[y], keep[y]
        total, n = 0.0, 0.0
        for x in range(row.size):
            v = np.float64(row[x])
            taken = kept[x] and v > threshold and abs(v) < np.inf
            weight = v - offset if taken else 0.0
            one = 1.0 if taken else 0.0
            weights[x] += weight
            numbers[x] += one
            total += weight
            n += one
        out[1][0, y], out[1][1, y] = total, n
