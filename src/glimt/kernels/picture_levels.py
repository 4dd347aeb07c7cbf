"""Brightness of a pixel of a picture from its value, on a linear, square root or logarithmic scale."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from glimt.kernels.frame_check import checked_number
from glimt.model.errors import UsageError

SCALES = ("linear", "sqrt", "log")

SHIFT = 13
"""A value's level is looked up by the upper 19 bits of the float32 that it is: sign, exponent, 10 bits of mantissa.
One part in a thousand is finer than the levels of any scale, and looking up takes a third of a square root's time."""


def level_table(value_range: tuple[float, float], scale: str) -> npt.NDArray[np.uint8]:
    """Return the level of every float32, by its upper bits.

    Parameters
    ----------
    value_range : (float, float)
        Values up to the first get level 1, from the second on level 255.
    scale : str
        ``linear``, ``sqrt`` or ``log`` (of 1 + value - first) in between.

    Returns
    -------
    ndarray
        (2¹⁹,) uint8; 0 for NaN.

    Raises
    ------
    UsageError
        No such scale, or a range that does not grow.
    """
    low, high = (checked_number(value, "value_range", -1e30, 1e30) for value in value_range)
    if not low < high:
        raise UsageError(f"the range of values, {low:g} to {high:g}, does not grow")
    if scale not in SCALES:
        raise UsageError(f"there is no scale {str(scale)[:40]!r}; there are {', '.join(SCALES)}")
    words = np.arange(1 << (32 - SHIFT), dtype=np.uint32) << np.uint32(SHIFT)
    with np.errstate(invalid="ignore"):  # some of the bit patterns are signaling NaN
        values = words.view(np.float32).astype(np.float64)
    missing = np.isnan(values)
    part = np.clip(np.where(missing, low, values), low, high) - low
    if scale == "linear":
        share = part / (high - low)
    elif scale == "sqrt":
        share = np.sqrt(part / (high - low))
    else:
        share = np.log1p(part) / math.log1p(high - low)
    return np.where(missing, 0, 1 + np.rint(share * 254)).astype(np.uint8)
