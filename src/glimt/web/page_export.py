"""What is on the page as a file: CSV, NumPy and HDF5."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from starlette.responses import Response

from glimt.model.errors import UsageError
from glimt.model.publish_value import TEXT
from glimt.web.page_plot import Held

Array = npt.NDArray[Any]

MAX_CSV_ELEMENTS = 5_000_000

_TYPES = {"csv": "text/csv; charset=utf-8", "npy": "application/octet-stream", "h5": "application/x-hdf5"}


def export(path: str, held: Held, x: tuple[str, Array] | None, kind: str) -> Response:
    """Return an array as a download.

    Parameters
    ----------
    path : str
        Names the file.
    held : Held
        The array.
    x : (str, ndarray) or None
        Path and values of the x axis.
    kind : str
        ``csv``, ``npy`` or ``h5``.

    Raises
    ------
    UsageError
        There is no such kind, or the array is too large for it.
    """
    if kind not in _TYPES:
        raise UsageError(f"there is no format {kind[:20]!r}; there are {', '.join(_TYPES)}")
    make = {"csv": _csv, "npy": _npy, "h5": _h5}[kind]
    return download(make(path, held, x), path, kind)


def download(content: bytes, path: str, kind: str) -> Response:
    """Return a file for the browser to keep; its name has letters, digits, ``-`` and ``_`` only."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", path).strip("_")[:100] or "glimt"
    headers = {"Content-Disposition": f'attachment; filename="{name}.{kind}"', "X-Content-Type-Options": "nosniff"}
    return Response(content, media_type=_TYPES[kind], headers=headers)


def csv_bytes(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """Return a table as CSV, with a line of names."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(names)
    writer.writerows(rows)
    return text.getvalue().encode("utf-8", "replace")


def _csv(path: str, held: Held, x: tuple[str, Array] | None) -> bytes:
    array, name = held.array, path.rpartition("/")[2]
    if array.size > MAX_CSV_ELEMENTS:
        raise UsageError(f"{array.size} elements are too many for CSV; take npy or h5")
    if array.dtype.names:
        return csv_bytes(array.dtype.names, (row.tolist() for row in array.reshape(-1)))
    values = np.atleast_1d(array)
    if x is not None and values.ndim == 1 and x[1].shape == values.shape:
        return csv_bytes([x[0].rpartition("/")[2], name], zip(x[1].tolist(), values.tolist(), strict=True))
    if values.ndim == 1:
        return csv_bytes(["index", name], enumerate(values.tolist()))
    return csv_bytes([str(i) for i in range(values.shape[1])], values.tolist())


def _npy(path: str, held: Held, x: tuple[str, Array] | None) -> bytes:
    array = held.array.astype(np.str_) if held.array.dtype == TEXT else held.array
    content = io.BytesIO()
    np.save(content, array, allow_pickle=False)
    return content.getvalue()


def _h5(path: str, held: Held, x: tuple[str, Array] | None) -> bytes:
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        for name, array in ((path, held.array), *(() if x is None else (x,))):
            dtype = h5py.string_dtype() if array.dtype == TEXT else None
            file.create_dataset(name, data=array, dtype=dtype)
        units = held.node.attributes.get("units")
        if isinstance(units, str):
            file[path].attrs["units"] = units
    return content.getvalue()
