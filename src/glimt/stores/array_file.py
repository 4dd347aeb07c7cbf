"""One array as a file that other programs read: CSV, NumPy, HDF5."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from glimt.model.errors import UsageError
from glimt.model.publish_value import TEXT

__all__ = ["FORMATS", "array_file", "table_csv"]

Array = npt.NDArray[Any]

FORMATS = ("csv", "npy", "h5")
MAX_CSV_ELEMENTS = 5_000_000


def array_file(
    array: Array, path: str, file_format: str, *, x: tuple[str, Array] | None = None, units: str | None = None
) -> bytes:
    """Return the content of a file with an array.

    Parameters
    ----------
    array : ndarray
        Of a type that can be published; text is `glimt.model.publish_value.TEXT`.
    path : str
        Of the dataset in HDF5, such as ``"/diffraction/image"``; its last part heads the column of a CSV.
    file_format : str
        One of `FORMATS`. CSV has a column of indices where there are no ``x``, NumPy the array alone.
    x : (str, ndarray), optional
        Path and values of the x axis.
    units : str, optional
        Attribute of the dataset in HDF5.

    Raises
    ------
    UsageError
        There is no such format, or the array is too large for it.
    """
    if file_format == "csv":
        return _csv(array, path, x)
    if file_format == "npy":
        content = io.BytesIO()
        np.save(content, array.astype(np.str_) if array.dtype == TEXT else array, allow_pickle=False)
        return content.getvalue()
    if file_format == "h5":
        return _h5(array, path, x, units)
    raise UsageError(f"there is no format {file_format[:20]!r}; there are {', '.join(FORMATS)}")


def table_csv(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """Return a table as CSV, with a line of names."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(names)
    writer.writerows(rows)
    return text.getvalue().encode("utf-8", "replace")


def _csv(array: Array, path: str, x: tuple[str, Array] | None) -> bytes:
    if array.size > MAX_CSV_ELEMENTS:
        raise UsageError(f"{array.size} elements are too many for CSV; take npy or h5")
    if array.dtype.names:
        return table_csv(array.dtype.names, (row.tolist() for row in array.reshape(-1)))
    name, values = path.rpartition("/")[2], np.atleast_1d(array)
    if x is not None and values.ndim == 1 and x[1].shape == values.shape:
        return table_csv([x[0].rpartition("/")[2], name], zip(x[1].tolist(), values.tolist(), strict=True))
    if values.ndim == 1:
        return table_csv(["index", name], enumerate(values.tolist()))
    return table_csv([str(i) for i in range(values.shape[1])], values.tolist())


def _h5(array: Array, path: str, x: tuple[str, Array] | None, units: str | None) -> bytes:
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        for name, values in ((path, array), *(() if x is None else (x,))):
            file.create_dataset(name, data=values, dtype=h5py.string_dtype() if values.dtype == TEXT else None)
        if units is not None:
            file[path].attrs["units"] = units
    return content.getvalue()
