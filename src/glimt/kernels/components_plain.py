"""Connected components and the sums over each, in plain Python and NumPy: what the compiled ones are held against."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def label(pixels: Array, shape: tuple[int, int], diagonal: bool, labels: Array) -> int:
    """Give each component a number; as in `glimt.kernels.components_compiled`."""
    n_slow, n_fast = shape
    if not ((np.diff(pixels, prepend=-1) > 0) & (pixels < n_slow * n_fast)).all():
        return -1
    places = {(int(p) // n_fast, int(p) % n_fast): i for i, p in enumerate(pixels)}
    steps = [(-1, 0), (1, 0), (0, -1), (0, 1)] + ([(-1, -1), (-1, 1), (1, -1), (1, 1)] if diagonal else [])
    labels[:] = -1
    n = 0
    for first, i in places.items():
        if labels[i] >= 0:
            continue
        waiting = [first]
        labels[i] = n
        while waiting:
            slow, fast = waiting.pop()
            for j, k in steps:
                other = places.get((slow + j, fast + k), -1)
                if other >= 0 and labels[other] < 0:
                    labels[other] = n
                    waiting.append((slow + j, fast + k))
        n += 1
    return n


def measure(frame: Array, pixels: Array, labels: Array, n_fast: int, spots: Array) -> None:
    """Fill in the table of spots; as in `glimt.kernels.components_compiled`."""
    for number, spot in enumerate(spots):
        own = pixels[labels == number]
        slow, fast, values = own // n_fast, own % n_fast, frame[own].astype(np.float64)
        brightest = int(np.argmax(values))
        total = values.sum()
        spot["n_pixels"], spot["intensity"], spot["variance"] = own.size, total, abs(total)
        spot["peak"], spot["peak_fast"], spot["peak_slow"] = values[brightest], fast[brightest], slow[brightest]
        spot["fast_start"], spot["fast_stop"] = fast.min(), fast.max() + 1
        spot["slow_start"], spot["slow_stop"] = slow.min(), slow.max() + 1
        if total > 0:
            spot["x"], spot["y"] = (values @ (fast + 0.5)) / total, (values @ (slow + 0.5)) / total
        else:
            spot["x"] = 0.5 * (spot["fast_start"] + spot["fast_stop"])
            spot["y"] = 0.5 * (spot["slow_start"] + spot["slow_stop"])
