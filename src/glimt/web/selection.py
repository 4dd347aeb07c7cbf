"""Which elements of a dataset a client asks for: the ``select`` of the HDF REST API, and lists of points."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from glimt.model.errors import UsageError

Array: TypeAlias = npt.NDArray[Any]
Axis: TypeAlias = tuple[int | None, int | None, int] | list[int]
"""``(start, stop, step)``, None where the end of the axis is meant, or a list of positions."""

MAX_AXES = 64
_PART = re.compile(r"\[[^\[\]]*\]|[^,\[\]]+")
_RANGE = re.compile(r"(\d{1,18})?:(\d{1,18})?(?::(\d{1,18}))?")
_NUMBER = re.compile(r"\d{1,18}")


@dataclass(frozen=True, slots=True)
class Selection:
    """One range or list of positions for each axis.

    Attributes
    ----------
    axes : tuple
        Slowest axis first.
    """

    axes: tuple[Axis, ...]

    def __call__(self, array: Array) -> Array:
        """Return the selected elements, all axes kept; a view where ranges are enough.

        Raises
        ------
        UsageError
            The array has other axes, or they are shorter than what is selected.
        """
        if array.ndim != len(self.axes):
            raise UsageError(f"select has {len(self.axes)} axes, the dataset has shape {list(array.shape)}")
        ranges = []
        for number, (axis, length) in enumerate(zip(self.axes, array.shape, strict=True)):
            ranges.append(_slice_of(axis, length, number) if isinstance(axis, tuple) else slice(None))
        chosen = array[tuple(ranges)]
        for number, axis in enumerate(self.axes):
            if isinstance(axis, list):
                if max(axis) >= array.shape[number]:
                    raise _too_short(f"position {max(axis)}", number, array.shape[number])
                chosen = np.take(chosen, axis, axis=number)
        return chosen


def _slice_of(axis: tuple[int | None, int | None, int], length: int, number: int) -> slice:
    start, stop, step = axis
    first, last = start or 0, length if stop is None else stop
    if last > length or first > last:
        raise _too_short(f"{first}:{last}", number, length)
    return slice(first, last, step)


def _too_short(what: str, axis: int, length: int) -> UsageError:
    return UsageError(f"select has {what} on axis {axis}, which has {length} elements now; read its shape again")


def parse_select(text: str) -> Selection:
    """Return the selection that ``[start:stop:step,number,[list,of,numbers],:]`` stands for.

    Raises
    ------
    UsageError
        The text is no selection.
    """
    text = "".join(text.split())
    inner = text[1:-1]
    parts = _PART.findall(inner)
    whole = text.startswith("[") and text.endswith("]") and ",".join(parts) == inner
    if not whole or not 1 <= len(parts) <= MAX_AXES:
        raise _no_selection(text)
    return Selection(tuple(_parse_axis(part, text) for part in parts))


def _parse_axis(part: str, text: str) -> Axis:
    if part.startswith("["):
        numbers = part[1:-1].split(",")
        if not all(_NUMBER.fullmatch(number) for number in numbers):
            raise _no_selection(text)
        return [int(number) for number in numbers]
    if _NUMBER.fullmatch(part):
        return int(part), int(part) + 1, 1
    match = _RANGE.fullmatch(part)
    if match is None:
        raise _no_selection(text)
    start, stop, step = (None if group is None else int(group) for group in match.groups())
    if step == 0:
        raise _no_selection(text)
    return start, stop, step or 1


def _no_selection(text: str) -> UsageError:
    return UsageError(f"select={text[:100]!r} is no selection; write one range an axis, such as [0:10,5:8:2]")


@dataclass(frozen=True, slots=True)
class Points:
    """Single elements.

    Attributes
    ----------
    numbers : ndarray
        (point, axis), integers.
    """

    numbers: npt.NDArray[np.uint64]

    def __call__(self, array: Array) -> Array:
        """Return the elements (point).

        Raises
        ------
        UsageError
            The array has other axes, or a point lies outside.
        """
        count, axes = self.numbers.shape
        if array.ndim != axes:
            raise UsageError(f"points have {axes} axes, the dataset has shape {list(array.shape)}")
        if count and np.any(self.numbers.max(axis=0) >= np.array(array.shape, np.uint64)):
            raise UsageError(f"a point lies outside of the dataset, which has shape {list(array.shape)} now")
        return np.asarray(array[tuple(self.numbers.T.astype(np.intp))])


def points_from_bytes(body: bytes, axes: int) -> Points:
    """Return points sent as little-endian uint64 (point, axis).

    Raises
    ------
    UsageError
        The bytes do not divide into points, or the dataset has no axes.
    """
    if axes < 1 or len(body) % (8 * axes):
        raise UsageError(f"{len(body)} bytes are no whole number of points of {axes} axes, 8 bytes a number")
    return Points(np.frombuffer(body, "<u8").reshape(-1, axes))


def points_from_list(points: Sequence[Any]) -> Points:
    """Return points sent as a JSON list: of lists, or of numbers for one axis.

    Raises
    ------
    UsageError
        It is no list of points.
    """
    try:
        numbers = np.array(points, dtype=np.uint64)
    except (ValueError, TypeError, OverflowError):
        raise UsageError("points must be a list of lists of whole numbers from 0, all of one length") from None
    if numbers.ndim == 1:
        numbers = numbers.reshape(-1, 1)
    if numbers.ndim != 2:
        raise UsageError("points must be a list of points, one number an axis")
    return Points(numbers)
