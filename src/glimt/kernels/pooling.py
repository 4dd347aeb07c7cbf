"""Arrays made as small as a screen needs them: images cut out and pooled, curves thinned to their extremes.

`glimt.kernels.preview.Preview` makes whole colored pictures of squares of pixels; here the values are kept, of the
image's type, of any part of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Pooled", "clipped", "limits", "pool", "thin_curves"]

Array = npt.NDArray[Any]

_SAMPLES = 1 << 14


@dataclass(frozen=True, slots=True)
class Pooled:
    """A part of an image, made smaller.

    Attributes
    ----------
    pixels : ndarray
        (rows, columns), of the image's type, or float32 of means.
    rows, columns : (int, int)
        Which part, half-open.
    factors : (int, int)
        Rows and columns of the image that became one.
    invalid : int or None
        Value of pixels of which none is valid; ``None`` if there is none such. Floats have NaN there.
    """

    pixels: Array
    rows: tuple[int, int]
    columns: tuple[int, int]
    factors: tuple[int, int]
    invalid: int | None


def clipped(asked: tuple[int, int] | None, n: int) -> tuple[int, int]:
    """Return a half-open range that lies within ``n`` and holds something, if there is anything."""
    first, last = (0, n) if asked is None else asked
    first = min(max(first, 0), max(n - 1, 0))
    return first, max(min(last, n), min(first + 1, n))


def pool(
    image: Array,
    *,
    rows: tuple[int, int] | None = None,
    columns: tuple[int, int] | None = None,
    size: tuple[int, int] = (512, 512),
    how: str = "max",
    excluded: npt.NDArray[np.bool_] | None = None,
) -> Pooled:
    """Return a picture of at most ``size`` pixels: largest values, so that a spot of one pixel stays; or means.

    Parameters
    ----------
    image : ndarray
        (slow, fast), integers or floating; NaN is left out.
    rows, columns : (int, int), optional
        Which part; clipped to the image.
    size : (int, int)
        Largest number of rows and columns.
    how : str
        ``max`` or ``mean``.
    excluded : ndarray, optional
        (slow, fast) bool, True excludes a pixel.
    """
    rows, columns = clipped(rows, image.shape[0]), clipped(columns, image.shape[1])
    part = image[rows[0] : rows[1], columns[0] : columns[1]]
    out = None if excluded is None else excluded[rows[0] : rows[1], columns[0] : columns[1]]
    factors = max(-(-part.shape[0] // size[0]), 1), max(-(-part.shape[1] // size[1]), 1)
    if how == "mean":
        pixels, invalid = _means(part, out, factors), None
    elif part.dtype.kind == "f":
        if out is not None:
            part = np.where(out, part.dtype.type(np.nan), part)
        pixels, invalid = _largest(part, factors, np.fmax), None
    else:
        pixels, invalid = _largest_whole(part, out, factors)
    return Pooled(pixels, rows, columns, factors, invalid)


def _largest_whole(part: Array, out: Array | None, factors: tuple[int, int]) -> tuple[Array, int | None]:
    if out is None:
        return _largest(part, factors, np.maximum), None
    least = int(np.iinfo(part.dtype).min)
    if part.dtype.kind == "i":
        return _largest(np.where(out, part.dtype.type(least), part), factors, np.maximum), least
    # One up, so that 0 is free to mean excluded, and back: then 0 - 1 is the largest value, which is rarely a count.
    top = np.iinfo(part.dtype).max
    lifted = np.where(out | (part == top), part.dtype.type(0), part + part.dtype.type(1))
    return _largest(lifted, factors, np.maximum) - part.dtype.type(1), int(top)


def _largest(part: Array, factors: tuple[int, int], larger: Any) -> Array:
    for axis, factor in enumerate(factors):
        part = _reduced(part, axis, factor, larger)
    return np.ascontiguousarray(part)


def _reduced(part: Array, axis: int, factor: int, larger: Any) -> Array:
    """Return the array with every ``factor`` neighbors along an axis combined; the last ones may be fewer."""
    n = part.shape[axis]
    if factor == 1 or n == 0:
        return part
    whole = n // factor * factor
    cut = [slice(None), slice(None)]

    def every(first: int) -> Array:
        cut[axis] = slice(first, whole, factor)
        return part[tuple(cut)]

    # Whole strided arrays at a time: twenty times as fast as a reduction along a short axis.
    found = larger(every(0), every(1))
    for first in range(2, factor):
        larger(found, every(first), out=found)
    if whole == n:
        return np.asarray(found)
    cut[axis] = slice(whole, n)
    return np.concatenate([found, larger.reduce(part[tuple(cut)], axis=axis, keepdims=True)], axis=axis)


def _means(part: Array, out: Array | None, factors: tuple[int, int]) -> Array:
    valid = ~np.isnan(part) if part.dtype.kind == "f" else np.ones(part.shape, np.bool_)
    if out is not None:
        valid &= ~out
    values = np.where(valid, part, part.dtype.type(0)).astype(np.float64)
    counts = valid.astype(np.float64)
    for axis, factor in enumerate(factors):
        values, counts = (_reduced(array, axis, factor, np.add) for array in (values, counts))
    means = np.full(values.shape, np.nan)
    np.divide(values, counts, out=means, where=counts > 0)
    return means.astype(np.float32)


def limits(pooled: Pooled) -> tuple[float, float]:
    """Return the 1 and 99.5 percentiles of a sample of the valid pixels, to begin a color scale with; 0, 1 of none."""
    flat = pooled.pixels.ravel()
    some = flat[:: max(flat.size // _SAMPLES, 1)]
    some = some[np.isfinite(some)] if some.dtype.kind == "f" else some
    if pooled.invalid is not None:
        some = some[some != pooled.invalid]
    if not some.size:
        return 0.0, 1.0
    low, high = np.percentile(some, [1.0, 99.5])
    return float(low), float(high)


def thin_curves(curves: Array, n_most: int) -> tuple[Array, npt.NDArray[np.int64]]:
    """Return at most ``n_most`` points of curves, and their indices.

    Parameters
    ----------
    curves : ndarray
        (n,): of neighbors the smallest and the largest are kept, in order, so that no peak is lost; NaN is neither.
        (curve, n): points at even steps, the same of all.
    n_most : int
        Points to keep, at least 2; of fewer points all are kept.
    """
    n = curves.shape[-1]
    if n <= n_most:
        return curves, np.arange(n)
    if curves.ndim == 2:
        taken = np.linspace(0, n - 1, n_most).astype(np.int64)
        return curves[:, taken], taken
    n_bins = n_most // 2
    edges = np.linspace(0, n, n_bins + 1).astype(np.int64)
    width = int(np.diff(edges).max())
    indices = np.minimum(edges[:-1, np.newaxis] + np.arange(width), edges[1:, np.newaxis] - 1)
    bins = curves[indices]
    low = high = bins
    if bins.dtype.kind == "f":
        low, high = (np.where(np.isnan(bins), fill, bins) for fill in (np.inf, -np.inf))
    row = np.arange(n_bins)
    pairs = np.stack([indices[row, low.argmin(axis=1)], indices[row, high.argmax(axis=1)]], axis=1)
    taken = np.sort(pairs, axis=1).ravel()
    return curves[taken], taken
