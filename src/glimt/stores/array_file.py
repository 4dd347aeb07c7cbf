"""One array as a file that other programs read: CSV, NumPy, HDF5."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from glimt.model.errors import UsageError
from glimt.model.publish_value import TEXT

__all__ = ["FORMATS", "array_file", "table_csv", "table_file"]

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
        Path and values of the last axis; the first column of a CSV, of two axes the head of its columns.
    units : str, optional
        Attribute of the dataset in HDF5.

    Raises
    ------
    UsageError
        There is no such format, the array is too large for it, or there are more or fewer x values than elements:
        neither indices instead of these nor values beside the wrong ones are written.
    """
    if x is not None and file_format != "npy" and array.ndim:
        _check_x(array, path, x)
    if file_format == "csv":
        return _csv(array, path, x if array.ndim else None)
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


def table_file(names: Sequence[str], rows: Array, file_format: str) -> bytes:
    """Return a table as CSV, or as HDF5 with a dataset of one axis for each column.

    Parameters
    ----------
    names : sequence of str
        Of the columns. A dataset has another one where HDF5 allows it not, or has it already; its attribute ``name``
        always tells the first.
    rows : ndarray
        (n, n_columns).
    file_format : str
        ``"csv"`` or ``"h5"``.

    Raises
    ------
    UsageError
        There is no such format, or the table is too large for it.
    """
    if file_format == "csv":
        _check_csv_size(rows, "h5")
        return table_csv(names, rows.tolist())
    if file_format != "h5":
        raise UsageError(f"there is no format {file_format[:20]!r} for a table; there are csv and h5")
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        for i, name in enumerate(names):
            wanted = re.sub(r"[/\0]", "_", name)
            free = wanted if wanted not in {"", "."} and wanted not in file else f"{wanted}_{i + 1}"
            while free in file:
                free += "_"
            file.create_dataset(free, data=rows[:, i]).attrs["name"] = name.replace("\0", "_")
    return content.getvalue()


def _check_csv_size(array: Array, instead: str) -> None:
    if array.size > MAX_CSV_ELEMENTS:
        raise UsageError(f"{array.size} elements are too many for CSV; take {instead}")


def _check_x(array: Array, path: str, x: tuple[str, Array]) -> None:
    if x[1].shape != array.shape[-1:]:
        raise UsageError(
            f"{path} has the shape {list(array.shape)} and {x[0]}, its x values, {list(x[1].shape)}: publish one for "
            "each element of the last axis, both at once (hold publish_rlock); npy has the array without them"
        )


def _csv(array: Array, path: str, x: tuple[str, Array] | None) -> bytes:
    _check_csv_size(array, "npy or h5")
    name, values = path.rpartition("/")[2], np.atleast_1d(array)
    if values.ndim > 1 and not array.dtype.names:
        return table_csv([str(i) for i in range(values.shape[1])] if x is None else x[1].tolist(), values.tolist())
    names = list(array.dtype.names or [name])
    rows = ([*row] if array.dtype.names else [row] for row in values.reshape(-1).tolist())
    if x is not None and values.ndim == 1:
        return table_csv(
            [x[0].rpartition("/")[2], *names], ([at, *row] for at, row in zip(x[1].tolist(), rows, strict=True))
        )
    return table_csv(names, rows) if array.dtype.names else table_csv(["index", name], enumerate(values.tolist()))


def _h5(array: Array, path: str, x: tuple[str, Array] | None, units: str | None) -> bytes:
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        for name, values in ((path, array), *(() if x is None else (x,))):
            file.create_dataset(name, data=values, dtype=h5py.string_dtype() if values.dtype == TEXT else None)
        if units is not None:
            file[path].attrs["units"] = units
    return content.getvalue()
