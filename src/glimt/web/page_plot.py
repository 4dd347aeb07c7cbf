"""A published value as one plot of the page: what is sent of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.kernels.pooling import Pooled, clipped, pool, thin_curves
from glimt.model.publish_value import TEXT
from glimt.pipeline.region_curves import Newest
from glimt.web.hdf_types import value_json
from glimt.web.page_feed import PageNode
from glimt.web.page_message import Buffers, sendable
from glimt.web.page_want import PlotWant
from glimt.web.pool_cache import PoolCache

Array = npt.NDArray[Any]

MAX_CURVES = 32
MAX_ROWS = 1000
NEWEST_ROWS = 200
MAX_TEXT = 64 << 10
MAX_CELL = 500


@dataclass(frozen=True, slots=True)
class Held(Newest):
    """The newest content of one path, and what the page is told of it; its version is that of the page."""

    node: PageNode


class CannotPlotError(ValueError):
    """What is published cannot be drawn in the way that is asked for."""


def plot_of(
    want: PlotWant,
    held: Held,
    buffers: Buffers,
    *,
    x: Array | None = None,
    excluded: Callable[[Held], Array | None] = lambda _: None,
    pools: PoolCache | None = None,
) -> dict[str, Any]:
    """Return what is sent for a plot, its arrays added to ``buffers``.

    Parameters
    ----------
    want : PlotWant
        What is asked for.
    held : Held
        The content.
    buffers : Buffers
        Of the message.
    x : ndarray, optional
        (n,) of a curve.
    excluded : callable
        Returns (slow, fast) bool of an image, True excludes a pixel; ``None`` for none.
    pools : PoolCache, optional
        Has pictures that another viewer asked for.

    Raises
    ------
    CannotPlotError
        It has another number of axes, or is no number.
    """
    if not held.array.size and 0 not in (held.node.shape or ()):
        raise CannotPlotError("this is too large to be shown; publish a smaller version of it")
    if want.kind == "text":
        return {"text": "\n".join(_texts(held.array)[:MAX_ROWS])[:MAX_TEXT]}
    if want.kind == "table":
        return _table(want, held.array, buffers)
    if held.array.dtype.kind not in "biufc":
        raise CannotPlotError(f"{held.node.dtype} is no number; show it as a table or text")
    if want.kind == "image":
        found = (pools or PoolCache()).get(_key(want, held), lambda: _pooled(want, held, excluded))
        return _image(held, *found, buffers)
    values = sendable(held.array)
    if want.kind == "curve":
        return _curve(want, values, buffers, x)
    if values.shape:
        raise CannotPlotError(f"an array {list(held.node.shape or ())} is no number")
    return {"value": float(values)}


def _key(want: PlotWant, held: Held) -> tuple[Any, ...]:
    return want.path, held.version, want.rows, want.columns, want.size, want.pool


def _pooled(want: PlotWant, held: Held, excluded: Callable[[Held], Array | None]) -> Pooled:
    if held.array.ndim != 2:
        raise CannotPlotError(f"an image has two axes, this has the shape {list(held.node.shape or ())}")
    image = held.array if held.array.dtype.kind in "iuf" else sendable(held.array)
    found = pool(image, rows=want.rows, columns=want.columns, size=want.size, how=want.pool, excluded=excluded(held))
    if found.pixels.dtype.itemsize != 8:
        return replace(found, pixels=sendable(found.pixels))
    # Half the bytes, and as many digits as a color or the value under a cursor shows.
    with np.errstate(over="ignore"):  # infinite, as a color it is the last one
        pixels = found.pixels.astype(np.float32)
    if found.invalid is not None:
        pixels[found.pixels == found.invalid] = np.nan
    return replace(found, pixels=pixels, invalid=None)


def _image(held: Held, found: Pooled, limits: tuple[float, float], buffers: Buffers) -> dict[str, Any]:
    shape = held.node.shape or ()
    told: dict[str, Any] = {
        "rows": found.rows,
        "columns": found.columns,
        "bin": found.factors,
        "invalid": found.invalid,
        "low": limits[0],
        "high": limits[1],
        "buffer": buffers.add(found.pixels),
    }
    return told if len(shape) < 3 else told | {"plane": [n - 1 for n in shape[:-2]]}


def _curve(want: PlotWant, values: Array, buffers: Buffers, x: Array | None) -> dict[str, Any]:
    if values.ndim not in {1, 2}:
        raise CannotPlotError("a curve has one axis, or two: one curve a row")
    first, last = clipped(want.columns, values.shape[-1])
    part = values[..., first:last]
    if part.ndim == 2:
        rows = clipped(want.rows, part.shape[0])
        part = part[rows[0] : min(rows[1], rows[0] + MAX_CURVES)]
    positions = None
    if x is not None and x.ndim == 1 and x.dtype.kind in "biuf" and x.size == values.shape[-1]:
        positions = x[first:last].astype(np.float64)
    n_most = max(want.size[1], 16) * 2
    is_thinned = part.shape[-1] > n_most
    if is_thinned:
        part, taken = thin_curves(part, n_most)
        positions = (taken + first).astype(np.float64) if positions is None else positions[taken]
    told = {"columns": (first, last), "x0": first, "step": 1, "is_thinned": is_thinned, "y": buffers.add(part)}
    return told | {"x": None if positions is None else buffers.add(positions)}


def _table(want: PlotWant, array: Array, buffers: Buffers) -> dict[str, Any]:
    if array.ndim > 2 or (array.dtype.names and array.ndim > 1):
        raise CannotPlotError("a table has rows and columns; this has more axes")
    whole = array.reshape(1) if not array.ndim else array
    n = whole.shape[0]
    first, last = clipped(want.rows or (max(n - NEWEST_ROWS, 0), n), n)
    part = whole[first : min(last, first + MAX_ROWS)]
    if part.dtype.names:
        columns = [(name, part[name]) for name in part.dtype.names]
    elif part.ndim == 2:
        columns = [(str(i), part[:, i]) for i in range(min(part.shape[1], 256))]
    else:
        columns = [("value", part)]
    fields = [_field(name, column, buffers) for name, column in columns]
    return {"fields": fields, "rows": (first, first + len(part))}


def _field(name: str, column: Array, buffers: Buffers) -> dict[str, Any]:
    if column.ndim == 1 and column.dtype.kind in "biufc":
        return {"name": name, "buffer": buffers.add(sendable(column))}
    return {"name": name, "texts": [text[:MAX_CELL] for text in _texts(column)]}


def _texts(array: Array) -> list[str]:
    if array.dtype == TEXT:
        return [str(text) for text in array.ravel().tolist()]
    if array.dtype.kind == "S":
        return [text.decode(errors="replace") for text in array.ravel().tolist()]
    if array.dtype.kind in "biufc" and array.ndim <= 1:
        return [str(value) for value in array.ravel().tolist()]
    return [str(value) for value in value_json(array[:MAX_ROWS] if array.ndim else array.reshape(1))]
