"""What a header may say about an array, checked before a byte is allocated for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from glimt.model.errors import DecodeError

MAX_ARRAY_BYTES = 1 << 31
"""Largest array a header may announce [bytes]; a 16-megapixel uint32 frame has 72 MB."""

MAX_DIMENSIONS = 4

DTYPE_NAMES = frozenset(
    f"{kind}{bits}"
    for kind, sizes in {"uint": (8, 16, 32, 64), "int": (8, 16, 32, 64), "float": (16, 32, 64)}.items()
    for bits in sizes
)
"""The element types detectors send. Never ``object``, ``str`` or ``void``."""


ArrayLayout = tuple[tuple[int, ...], np.dtype[np.generic], int]
"""Shape, element type and size [bytes]."""

# Frames of a stream are all alike, and this is asked for every one of them: half the cost of the cache below.
_last_checked: tuple[list[int], str, ArrayLayout] = ([], "", ((), np.dtype(np.uint8), 0))


@lru_cache(maxsize=1024)
def _checked(shape: tuple[int, ...], dtype_name: str, where: str) -> ArrayLayout:
    if dtype_name not in DTYPE_NAMES:
        raise DecodeError(f"type {dtype_name[:40]!r} is not one of {', '.join(sorted(DTYPE_NAMES))}", where=where)
    dtype = np.dtype(dtype_name)
    if not 1 <= len(shape) <= MAX_DIMENSIONS:
        raise DecodeError(f"shape has {len(shape)} dimensions, 1 to {MAX_DIMENSIONS} are allowed", where=where)
    if any(not isinstance(n, int) or isinstance(n, bool) or n < 0 for n in shape):
        raise DecodeError(f"shape {list(shape)} has a length that is not a whole number of pixels", where=where)
    nbytes = math.prod(shape) * dtype.itemsize
    if nbytes > MAX_ARRAY_BYTES:
        raise DecodeError(
            f"shape {list(shape)} of {dtype.name} is {nbytes} bytes, at most {MAX_ARRAY_BYTES} are accepted",
            where=where,
        )
    return shape, dtype, nbytes


def check_array(shape: Sequence[int], dtype_name: str, *, where: str) -> ArrayLayout:
    """Return shape, dtype and size of the array that a wire header announces.

    Parameters
    ----------
    shape : sequence of int
        Slowest axis first [px].
    dtype_name : str
        NumPy name such as ``"uint16"``; elements are little-endian, as on every machine glimt runs on.
    where : str
        For the error text.

    Returns
    -------
    tuple
        ``(shape, dtype, nbytes)``.

    Raises
    ------
    DecodeError
        The type is not a number type, the shape is negative, has too many axes or more than
        `MAX_ARRAY_BYTES` in all.
    """
    global _last_checked
    last_shape, last_name, layout = _last_checked
    if shape == last_shape and dtype_name == last_name and type(shape) is list:
        return layout
    try:
        layout = _checked(tuple(shape), dtype_name, where)
        _last_checked = list(shape), dtype_name, layout
        return layout
    except TypeError as error:  # an unhashable element, such as a list inside the shape
        raise DecodeError(f"shape or type is malformed ({error})", where=where) from None
