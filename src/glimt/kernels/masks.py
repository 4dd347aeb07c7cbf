"""Masks: which pixels tell nothing, by the detector, by value, and by shapes that a person draws.

Every function returns a new array (slow, fast) bool, True = excluded. Positions are in pixels, x along the fast axis
and y along the slow one, 0 at the outer edge of the first pixel. Shapes may reach beyond the frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from glimt.kernels.frame_check import checked_count, checked_number, checked_shape
from glimt.kernels.resolution import SpotResolution
from glimt.model.errors import UsageError

Mask: TypeAlias = npt.NDArray[np.bool_]

FARTHEST = 1e9
"""Largest position or radius of a shape [px]."""

MOST_CORNERS = 10_000


def _plane(values: npt.ArrayLike, name: str) -> npt.NDArray[Any]:
    array = np.asarray(values)
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        raise UsageError(f"the {name} has shape {array.shape} and type {array.dtype}; (slow, fast) numbers are needed")
    checked_shape(array.shape)
    return array


def mask_from_detector(pixel_mask: npt.ArrayLike) -> Mask:
    """Return the mask that a detector sends: NXmx and DECTRIS set a bit for each thing that is wrong with a pixel.

    Parameters
    ----------
    pixel_mask : array_like
        (slow, fast); every value other than 0 excludes.

    Raises
    ------
    UsageError
        Not a plane of numbers.
    """
    mask: Mask = _plane(pixel_mask, "pixel mask") != 0
    return mask


def mask_values(frame: npt.ArrayLike, values: Iterable[float]) -> Mask:
    """Return the mask of pixels that have a value of no meaning, such as -1 in the gaps and -2 in dead pixels.

    Parameters
    ----------
    frame : array_like
        (slow, fast). NaN pixels are excluded as well.
    values : iterable of float
        Values to exclude; -1 also means the greatest value of an unsigned type, and -2 the one before, which is how
        those values look when a frame of signed numbers is stored as unsigned ones.

    Raises
    ------
    UsageError
        Not a plane of numbers, or a value is not a number.
    """
    pixels = _plane(frame, "frame")
    mask: Mask = np.isnan(pixels) if pixels.dtype.kind == "f" else np.zeros(pixels.shape, np.bool_)
    for value in values:
        number = checked_number(value, "a masked value", -1.8e308, 1.8e308)
        if pixels.dtype.kind == "u" and number < 0:
            number += float(1 << 8 * pixels.dtype.itemsize)
        if pixels.dtype.kind == "f" or (number.is_integer() and _fits(int(number), pixels.dtype)):
            mask |= pixels == pixels.dtype.type(number)
    return mask


def _fits(number: int, dtype: np.dtype[Any]) -> bool:
    if dtype.kind == "b":
        return number in (0, 1)
    limits = np.iinfo(dtype)
    return limits.min <= number <= limits.max


def mask_outside(frame: npt.ArrayLike, lowest: float, highest: float) -> Mask:
    """Return the mask of pixels below ``lowest``, above ``highest`` or NaN: a trusted range, ends included.

    Raises
    ------
    UsageError
        Not a plane of numbers, or the range is empty.
    """
    pixels = _plane(frame, "frame")
    if not lowest <= highest:
        raise UsageError(f"the trusted range is {lowest} to {highest}: no pixel can be in it")
    mask: Mask = ~((pixels >= lowest) & (pixels <= highest))
    return mask


def mask_border(shape: tuple[int, int], width: int) -> Mask:
    """Return the mask of the outermost pixels, ``width`` of them on each side."""
    n_slow, n_fast = checked_shape(shape)
    width = checked_count(width, "the border", 0, 1 << 30)
    mask: Mask = np.ones((n_slow, n_fast), np.bool_)
    mask[min(width, n_slow) : max(n_slow - width, 0), min(width, n_fast) : max(n_fast - width, 0)] = False
    return mask


def mask_rectangle(shape: tuple[int, int], *, fast: tuple[int, int], slow: tuple[int, int]) -> Mask:
    """Return the mask of the pixels ``fast[0] <= x < fast[1]``, ``slow[0] <= y < slow[1]``.

    Raises
    ------
    UsageError
        A limit is not a whole number, or the last does not come after the first.
    """
    mask: Mask = np.zeros(checked_shape(shape), np.bool_)
    ends = []
    for name, pair in (("fast", fast), ("slow", slow)):
        first, last = (checked_count(end, f"{name} of a rectangle", -(1 << 30), 1 << 30) for end in _pair(pair, name))
        if last <= first:
            raise UsageError(f"{name} of a rectangle goes from {first} to {last}; the last has to come after the first")
        ends.append(slice(max(first, 0), max(last, 0)))
    mask[ends[1], ends[0]] = True
    return mask


def _pair(values: Any, name: str) -> tuple[Any, Any]:
    try:
        first, second = values
    except (TypeError, ValueError):
        raise UsageError(f"{name} is {str(values)[:40]}; two numbers are needed") from None
    return first, second


def mask_circle(shape: tuple[int, int], *, x: float, y: float, radius: float) -> Mask:
    """Return the mask of the pixels whose corner nearest to the origin is less than ``radius`` from (x, y).

    By that corner and not by the center, because so does DIALS.

    Raises
    ------
    UsageError
        A number is none, or the radius is not positive.
    """
    n_slow, n_fast = checked_shape(shape)
    x, y = (checked_number(value, f"{name} of a circle", -FARTHEST, FARTHEST) for name, value in (("x", x), ("y", y)))
    radius = checked_number(radius, "radius of a circle", 1e-9, FARTHEST)
    i, j = np.arange(n_fast)[np.newaxis, :], np.arange(n_slow)[:, np.newaxis]
    mask: Mask = (i - x) * (i - x) + (j - y) * (j - y) < radius * radius
    return mask


def mask_polygon(shape: tuple[int, int], corners: Sequence[tuple[float, float]]) -> Mask:
    """Return the mask of the pixels whose center is in a polygon, by the even-odd rule.

    Parameters
    ----------
    shape : (int, int)
        (slow, fast) [px].
    corners : sequence of (float, float)
        (x, y) of at least three corners [px]; it is closed by itself.

    Raises
    ------
    UsageError
        Fewer than three corners, more than ten thousand, or one that is not two finite numbers.
    """
    n_slow, n_fast = checked_shape(shape)
    points = _corners(corners)
    inside: Mask = np.zeros((n_slow, n_fast), np.bool_)
    # Only the rows and columns it reaches: a small polygon on a large detector is the usual one.
    first_x, first_y = np.clip(np.floor(points.min(axis=0)), 0, (n_fast, n_slow)).astype(int)
    last_x, last_y = np.clip(np.ceil(points.max(axis=0)), 0, (n_fast, n_slow)).astype(int)
    x = np.arange(first_x, last_x)[np.newaxis, :] + 0.5
    y = np.arange(first_y, last_y)[:, np.newaxis] + 0.5
    part = inside[first_y:last_y, first_x:last_x]
    for (ax, ay), (bx, by) in zip(points, np.roll(points, 1, axis=0), strict=True):
        if ay != by:
            part ^= ((ay > y) != (by > y)) & (x < (bx - ax) * (y - ay) / (by - ay) + ax)
    return inside


def _corners(corners: Sequence[tuple[float, float]]) -> npt.NDArray[np.float64]:
    try:
        points = np.array([tuple(corner) for corner in corners[: MOST_CORNERS + 1]], np.float64)
    except (TypeError, ValueError, OverflowError):
        raise UsageError(f"the corners of a polygon are {str(corners)[:60]}; pairs (x, y) are needed") from None
    if points.ndim != 2 or points.shape[1] != 2 or not 3 <= points.shape[0] <= MOST_CORNERS:
        raise UsageError(f"a polygon has 3 to {MOST_CORNERS} corners (x, y); these have the shape {points.shape}")
    if not (np.abs(points) <= FARTHEST).all():
        raise UsageError(f"a corner of the polygon is not finite or farther than {FARTHEST:g} px")
    return points


def mask_resolution(
    shape: tuple[int, int], resolution: SpotResolution, *, d_min: float = 0.0, d_max: float = float("inf")
) -> Mask:
    """Return the mask of the pixels whose center has a resolution in ``d_min <= d <= d_max`` [Å].

    Raises
    ------
    UsageError
        The range is empty, or the detector has several panels.
    """
    n_slow, n_fast = checked_shape(shape)
    if not 0 <= d_min <= d_max:
        raise UsageError(f"the resolution range is {d_min} to {d_max} Å; 0 <= d_min <= d_max is needed")
    mask: Mask = np.zeros((n_slow, n_fast), np.bool_)
    x = np.arange(n_fast) + 0.5
    for row in range(n_slow):
        d = resolution.d_spacing(x, np.full(n_fast, row + 0.5))
        mask[row] = (d >= d_min) & (d <= d_max)
    return mask


def combine_masks(first: npt.ArrayLike, *others: npt.ArrayLike) -> Mask:
    """Return the mask of the pixels that any of the masks excludes.

    Raises
    ------
    UsageError
        The masks have not one and the same shape.
    """
    mask = mask_from_detector(first)
    for other in others:
        more = mask_from_detector(other)
        if more.shape != mask.shape:
            raise UsageError(f"a mask of shape {more.shape} does not go with one of shape {mask.shape}")
        mask |= more
    return mask
