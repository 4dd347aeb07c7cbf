"""The quick tests of the dispersion thresholds lose no pixel where their small integers are cut or clamped."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from glimt.kernels.strong_pixels import StrongPixelFinder, Threshold

SHAPE = (64, 320)


def _frame(mean: float, odd: tuple[int, ...], dtype: str) -> Any:
    """Return rows from dark to bright with peaks, and counts on both sides of where something is cut."""
    random, (slow, fast) = np.random.default_rng(3), np.indices(SHAPE)
    expected = mean * np.geomspace(0.05, 20.0, SHAPE[0])[:, np.newaxis] * np.ones(SHAPE)
    for _ in range(25):
        y, x = random.random(2) * SHAPE
        height = np.exp(random.uniform(1, 8))
        expected += height * np.exp(-((slow - y) ** 2 + (fast - x) ** 2) / (2 * random.uniform(0.5, 1.5) ** 2))
    frame = random.poisson(expected)
    for value in odd:
        frame[random.random(SHAPE) < 0.002] = value
    return np.minimum(frame, np.iinfo(dtype).max).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int32"])
@pytest.mark.parametrize("threshold", ["dispersion", "dispersion_extended"])
@pytest.mark.parametrize("mean", [0.1, 3.0, 40.0])
@pytest.mark.parametrize(
    ("kernel", "odd"),
    [
        ((3, 3), (36, 37, 38, 96, 97, 98, 1336, 1337, 1338)),
        ((1, 1), (85, 86, 147, 148, 7280, 7281, 7282)),
        ((9, 9), (13, 14, 58, 59, 180, 181, 182)),
        ((25, 25), (5, 6, 24, 25, 26)),
    ],
)
def test_no_pixel_is_lost_where_sums_are_cut(
    kernel: tuple[int, int], odd: tuple[int, ...], mean: float, threshold: Threshold, dtype: str
) -> None:
    frame, mask = _frame(mean, odd, dtype), np.zeros(SHAPE, np.bool_)
    mask[:, 100:104] = mask[30:33] = True
    compiled, plain = (
        StrongPixelFinder(
            SHAPE, threshold=threshold, kernel_size=kernel, mask=mask, max_strong_fraction=1.0, compiled=c
        )
        for c in (True, False)
    )
    expected = plain.find(frame)
    assert expected.size
    np.testing.assert_array_equal(compiled.find(frame), expected)
