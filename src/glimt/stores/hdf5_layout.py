"""Where things are in a result file, and how they are made there.

========================================  ==========================================================================
``/<name>``                               values: one row for each event (``put``) or one value (``put_once``)
``/entry`` (NXentry)                      ``start_time``, ``end_time``
``/entry/data`` (NXdata)                  links to the values, so that silx, h5web and NeXpy draw them
``/entry/present/<name>``                 True where an event has a row of that name: tells a gap from a zero
``/entry/process`` (NXprocess)            who wrote the file, with what, when; ``complete``: closed, no row lost
``/entry/process/parameters``             parameters at the start
``/entry/process/parameter_changes/<n>``  all parameters from event ``event_number`` (an attribute) on
========================================  ==========================================================================
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import h5py
import hdf5plugin
import numpy as np

from glimt.stores.parameter_snapshot import ParameterSnapshot
from glimt.stores.provenance import Provenance
from glimt.stores.row_type import RowType
from glimt.stores.schema import Column, OnceValue

Compression = Literal["bslz4"]

PRESENT = "entry/present"
PROCESS = "entry/process"
CHUNK_BYTES = 1 << 20
CHUNK_ROWS = 4096
COMPRESSED_ROW_BYTES = 1024


@dataclass(frozen=True, slots=True)
class ParameterChange:
    """Parameters that hold from an event on."""

    event_number: int
    time_ns: int
    snapshot: ParameterSnapshot


def chunk_rows(row_type: RowType, compression: Compression | None) -> int:
    """Return how many rows go into a chunk.

    About 1 MiB, at most 4096 rows: a partly filled chunk is written whole at every flush. Compressed rows get a chunk
    each, because a compressed chunk that is written again takes new space in the file.
    """
    if is_compressed(row_type, compression):
        return 1
    return max(1, min(CHUNK_BYTES // row_type.row_bytes, CHUNK_ROWS))


def is_compressed(row_type: RowType, compression: Compression | None) -> bool:
    """Return whether rows of this type are compressed: below 1 KiB it does not pay."""
    return compression is not None and row_type.row_bytes >= COMPRESSED_ROW_BYTES


def write_start(file: Any, provenance: Provenance, parameters: ParameterSnapshot) -> None:
    """Write what is known before the first result."""
    file.attrs.update(NX_class="NXroot", default="entry", creator=f"glimt {provenance.versions['glimt']}")
    entry = _group(file, "entry", "NXentry")
    entry.attrs["default"] = "data"
    entry["start_time"] = _iso(provenance.started_ns)
    _group(entry, "data", "NXdata")
    _group(file, PRESENT, "NXcollection")
    process = _group(file, PROCESS, "NXprocess")
    process["program"], process["version"] = "glimt", provenance.versions["glimt"]
    process["date"] = _iso(provenance.started_ns)
    process["start_time_ns"] = provenance.started_ns
    process["process_id"] = provenance.process_id
    for name in ("host", "user", "command_line", "working_directory", "worker", "reducer"):
        process[name] = _text(getattr(provenance, name))
    for name, version in {**provenance.versions, "hdf5": h5py.version.hdf5_version}.items():
        process[f"versions/{name}"] = version
    process["complete"] = False
    _write_parameters(_group(process, "parameters", "NXparameters"), parameters)
    _group(process, "parameter_changes", "NXcollection")


def write_end(file: Any, *, n_rows: int, n_lost: int, columns: Iterable[Column]) -> None:
    """Write what is known after the last result; all names get the same number of rows."""
    now = time.time_ns()
    file["entry/end_time"] = _iso(now)
    process = file[PROCESS]
    process["end_time_ns"], process["n_rows"], process["n_rows_lost"] = now, n_rows, n_lost
    process["complete"][()] = n_lost == 0
    names = [column.name for column in columns]
    length = max((len(file[name]) for name in names), default=0)
    for name in names:
        for path in (name, f"{PRESENT}/{name}"):
            if len(file[path]) < length:
                file[path].resize(length, axis=0)


def add_columns(file: Any, columns: Iterable[Column], compression: Compression | None) -> None:
    """Make the datasets of new names, empty, with the one that says which rows are there."""
    made: dict[str, Any] = {}
    for column in columns:
        dataset = _dataset(file, column.row_type, compression)
        _describe(dataset, column)
        made[column.name] = dataset
        made[f"{PRESENT}/{column.name}"] = _dataset(
            file, RowType(column.name, np.dtype(bool), (), np.False_, False), compression
        )
        _add_to_plot(file["entry/data"], column)
    _link(file, made)


def add_once(file: Any, values: Iterable[OnceValue]) -> None:
    """Write values that belong to the whole run."""
    made: dict[str, Any] = {}
    for entry in values:
        dataset = file.create_dataset(None, data=_content(entry.value))
        _describe(dataset, entry)
        made[entry.name] = dataset
    _link(file, made)


def add_parameter_changes(file: Any, changes: Iterable[ParameterChange]) -> None:
    """Append to the history of parameters."""
    history = file[f"{PROCESS}/parameter_changes"]
    for change in changes:
        group = _group(history, f"{len(history):06d}", "NXparameters")
        group.attrs["event_number"], group.attrs["time_ns"] = change.event_number, change.time_ns
        _write_parameters(group, change.snapshot)


def _dataset(file: Any, row_type: RowType, compression: Compression | None) -> Any:
    is_text = row_type.dtype.kind == "S"
    return file.create_dataset(
        None,
        shape=(0, *row_type.shape),
        maxshape=(None, *row_type.shape),
        dtype=h5py.string_dtype("utf-8", row_type.dtype.itemsize) if is_text else row_type.dtype,
        chunks=(chunk_rows(row_type, compression), *row_type.shape),
        fillvalue=None if row_type.dtype.kind in "SV" else row_type.fill,
        compression=hdf5plugin.Bitshuffle(cname="lz4") if is_compressed(row_type, compression) else None,
    )


def _link(file: Any, made: dict[str, Any]) -> None:
    """Give new datasets their names once they are on disk: a name never points to something unwritten."""
    file.flush()
    for name, dataset in made.items():
        file[name] = dataset


def _describe(dataset: Any, what: Column | OnceValue) -> None:
    if what.unit is not None:
        dataset.attrs["units"] = what.unit
    for name, value in what.attributes.items():
        dataset.attrs[name] = _content(value)


def _add_to_plot(plot: Any, column: Column) -> None:
    if column.row_type.dtype.kind not in "iuf" or len(column.row_type.shape) > 2:
        return
    for name in (column.name, *column.axes):
        if (link := name.replace("/", "_")) not in plot:
            plot[link] = h5py.SoftLink(f"/{name}")
    current = plot.attrs.get("signal")
    # Curves say more than scalars; the first of them is what opens.
    if current is None or (column.row_type.shape and "axes" not in plot.attrs):
        plot.attrs["signal"] = column.name.replace("/", "_")
        if column.row_type.shape:
            axes = column.axes or ("." for _ in column.row_type.shape)
            plot.attrs["axes"] = [".", *(name.replace("/", "_") for name in axes)]


def _write_parameters(group: Any, snapshot: ParameterSnapshot) -> None:
    group.attrs["parameters_hash"] = snapshot.content_hash
    for name, value in snapshot.values.items():
        group[_link_name(name)] = _content(value)


def _link_name(name: str) -> str:
    """Return a parameter's name, which is free text, as the name of a dataset, which has no slash and is not a dot."""
    safe = _text(name).replace("%", "%25").replace("/", "%2F")
    return safe if safe.strip(".") else safe.replace(".", "%2E") or "%"


def _content(value: Any) -> Any:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bytes):
        return np.frombuffer(value, np.uint8)  # an HDF5 string would end at the first zero
    if isinstance(value, list):
        return np.array([_text(item) for item in value], dtype=h5py.string_dtype())
    if isinstance(value, np.ndarray) and value.dtype.kind == "S":
        return value.astype(h5py.string_dtype("utf-8", value.dtype.itemsize))
    return value


def _text(value: str) -> str:
    return value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def _group(parent: Any, name: str, nx_class: str) -> Any:
    group = parent.create_group(name)
    group.attrs["NX_class"] = nx_class
    return group


def _iso(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / 1e9, UTC).isoformat(timespec="microseconds")
