"""Frames and masks as the kernels take them: of the right shape, of few types, rows without gaps."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.model.errors import UsageError

Pixels = npt.NDArray[Any]

MAX_PIXELS = 1 << 28


def checked_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return (slow, fast) as two whole numbers.

    Raises
    ------
    UsageError
        Not two whole numbers of at least 1, or more than 2²⁸ pixels.
    """
    try:
        slow, fast = (int(n) for n in shape)
        whole = all(int(n) == n for n in shape)
    except (TypeError, ValueError, OverflowError):
        raise UsageError(f"a frame's shape is two whole numbers (slow, fast), not {str(shape)[:60]}") from None
    if not whole or slow < 1 or fast < 1 or slow * fast > MAX_PIXELS:
        raise UsageError(f"a frame of {str(shape)[:60]} pixels is not possible; it takes 1 to {MAX_PIXELS} pixels")
    return slow, fast


def checked_frame(frame: npt.ArrayLike, shape: tuple[int, int]) -> Pixels:
    """Return the frame with a type that kernels are compiled for, uncopied where it has one already.

    Parameters
    ----------
    frame : array_like
        (slow, fast). uint8, uint16, uint32, int32, float32 and float64 pass through; small integers become int32,
        64-bit integers float64 (exact up to 2⁵³), float16 becomes float32, bool uint8.

    Raises
    ------
    UsageError
        Another shape, or not made of real numbers.
    """
    values = np.asarray(frame)
    if values.shape != shape:
        raise UsageError(f"the frame has shape {values.shape}, not {shape}")
    kind, size = values.dtype.kind, values.dtype.itemsize
    if kind not in "biuf" or (kind == "f" and size > 8):
        raise UsageError(f"the frame has type {values.dtype}; pixels are integers or floating numbers")
    if kind == "b":
        return np.ascontiguousarray(values).view(np.uint8)
    # Few types, because each costs seconds of compiling: the common ones of detectors go through as they are.
    wanted: np.dtype[Any] = values.dtype.newbyteorder("=")
    if kind == "i":
        wanted = np.dtype(np.int32)
    if kind == "f" and size < 4:
        wanted = np.dtype(np.float32)
    if size > 4:
        wanted = np.dtype(np.float64)
    return np.ascontiguousarray(values, wanted)


def checked_mask(mask: npt.ArrayLike | None, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return the mask as bool, a new array; ``None`` excludes nothing.

    Raises
    ------
    UsageError
        Another shape, or not made of numbers.
    """
    if mask is None:
        return np.zeros(shape, np.bool_)
    array = np.asarray(mask)
    if array.shape != shape:
        raise UsageError(f"the mask has shape {array.shape}, the frame {shape}")
    if array.dtype.kind not in "biuf":
        raise UsageError(f"the mask has type {array.dtype}; True, or a number other than zero, excludes a pixel")
    return array.astype(np.bool_)


def checked_number(value: Any, name: str, low: float, high: float) -> float:
    """Return a finite number in ``low <= value <= high``.

    Raises
    ------
    UsageError
        It is not one.
    """
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise UsageError(f"{name} is {str(value)[:40]!r}; a number is needed") from None
    if not low <= number <= high:
        raise UsageError(f"{name} is {number:g}; {low:g} to {high:g} is possible")
    return number


def checked_count(value: Any, name: str, low: int, high: int) -> int:
    """Return a whole number in ``low <= value <= high``.

    Raises
    ------
    UsageError
        It is not one.
    """
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or not low <= int(value) <= high:
        raise UsageError(f"{name} is {str(value)[:40]}; a whole number from {low} to {high} is needed")
    return int(value)
