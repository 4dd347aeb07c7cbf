"""Results of a run in one HDF5 file that others can read while it grows."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self, SupportsIndex

import numpy.typing as npt

from glimt.model.errors import StoreError, UsageError
from glimt.stores.hdf5_layout import Compression, ParameterChange
from glimt.stores.hdf5_writer import Hdf5Writer
from glimt.stores.new_file import new_swmr_file
from glimt.stores.parameter_snapshot import ParameterSnapshot
from glimt.stores.provenance import Provenance
from glimt.stores.row_block import RowBlock
from glimt.stores.schema import DEFAULT_MAX_EVENT_NUMBER, Column, Schema

log = logging.getLogger(__name__)

RETRY_S = 1.0


class Hdf5Store:
    """A new HDF5 file with one dataset for each name; the event number is the row.

    ``put`` copies a value into a block in memory. Blocks are written together when one is full or ``block_s`` after
    the first waiting row, by a thread, so that what was put is visible to readers even if nothing more comes. Readers
    use ``h5py.File(path, "r", swmr=True)`` while the store is open (an `OSError` means "try again": a new name is
    being added) and ``h5py.File(path)`` afterwards. Rows that were never put read as NaN, 0, False or ``""``;
    ``/entry/present/<name>`` tells them from values. `glimt.stores.hdf5_layout` describes the file.

    If the process is killed, everything up to the last block is in the file: read it with ``swmr=True``, or call
    `glimt.stores.hdf5_crash.repair_after_crash` first. If the disk is full, rows wait in memory, a block of each name;
    further ones are refused with a `StoreError` until there is room again.

    Readers on file systems without locks (some NFS), and readers in this very process, pass ``locking=False`` to
    ``h5py.File`` (or set ``HDF5_USE_FILE_LOCKING=FALSE``). The store itself takes no lock: a mark in the file says that
    it is being written and keeps other writers out.

    Parameters
    ----------
    path : str or Path
        Of the file. Missing folders are made.
    parameters : mapping of str to object, optional
        What the pipeline hands to a worker or reducer, or plain values: written beside the data.
    parameters_hash : str, optional
        Their content hash, if known (``result.parameters_hash``).
    overwrite : bool
        Replace an existing file. Otherwise it is never touched.
    numbered : bool
        If the file exists, write ``name_0001.h5`` and so on; ``path`` tells which.
    compression : ``"bslz4"``, optional
        Bitshuffle and LZ4 for rows from 1 KiB on; readers need hdf5plugin.
    block_rows, block_bytes, block_s : int, int, float
        Rows of one name, bytes of all names, and seconds after which waiting rows are written.
    max_event_number : int
        Higher ones are refused: an absurd number would make an absurdly long dataset.
    worker, reducer : str or type, optional
        Classes that made the results, for the record.

    Raises
    ------
    UsageError
        The file exists, or the path cannot be one.
    StoreError
        The file cannot be made.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        parameters: Mapping[str, Any] | None = None,
        parameters_hash: str | None = None,
        overwrite: bool = False,
        numbered: bool = False,
        compression: Compression | None = None,
        block_rows: int = 256,
        block_bytes: int = 16 << 20,
        block_s: float = 0.2,
        max_event_number: int = DEFAULT_MAX_EVENT_NUMBER,
        worker: str | type = "",
        reducer: str | type = "",
    ) -> None:
        if compression not in {None, "bslz4"}:
            raise UsageError(f"compression {compression!r} is not one of None, 'bslz4'")
        if block_rows < 1 or block_bytes < 1 or not block_s >= 0:
            raise UsageError("block_rows and block_bytes must be at least 1, block_s at least 0")
        self._block_rows, self._block_bytes, self._block_s = block_rows, block_bytes, block_s
        self._schema = Schema(max_event_number)
        self._snapshot = ParameterSnapshot.of(parameters, parameters_hash=parameters_hash)
        self._writer = Hdf5Writer(
            new_swmr_file(path, overwrite=overwrite, numbered=numbered),
            provenance=Provenance.of_this_process(worker=worker, reducer=reducer),
            parameters=self._snapshot,
            compression=compression,
        )
        self._blocks: dict[str, RowBlock] = {}
        self._waiting_bytes = self._n_rows = self._n_refused = 0
        self._due: float | None = None
        self._is_closed = False
        self._shortage: str | None = None
        self._process_id = os.getpid()
        self._lock = threading.RLock()
        self._wake = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None
        atexit.register(self._close_at_exit)

    @property
    def path(self) -> Path:
        """The file."""
        return Path(self._writer.path)

    @property
    def n_rows(self) -> int:
        """Rows that were put, duplicates included; those that wait and those that were lost count."""
        return self._n_rows

    @property
    def n_lost(self) -> int:
        """Rows that were put and will not be in the file."""
        return self._writer.n_lost + self._n_refused

    def put(
        self,
        name: str,
        event_number: SupportsIndex,
        value: npt.ArrayLike,
        *,
        unit: str | None = None,
        axes: str | Sequence[str] | None = None,
        attributes: Mapping[str, Any] | None = None,
        dtype: npt.DTypeLike | None = None,
        max_length: int | None = None,
    ) -> None:
        """Store the value of one event.

        Keywords count in the first put of a name, which also decides dtype and shape of all its rows.

        Parameters
        ----------
        name : str
            Path of the dataset, such as ``"I"`` or ``"fluorescence/fe"``.
        event_number : int
            Row, from 0; events come in any order. A second value for the same event replaces the first.
        value : scalar, str or array_like
            Number, truth value, text or an array of a fixed shape. Masked elements of floats become NaN.
        unit : str, optional
            Written as the attribute ``units``.
        axes : str or sequence of str, optional
            Names (of ``put_once``) of the axes of a row, slowest first, so that viewers label the plot.
        attributes : mapping of str to object, optional
            Further attributes of the dataset.
        dtype : dtype_like, optional
            Element type to store, such as ``"float32"``; that of the first value if left out.
        max_length : int, optional
            Bytes reserved for each text (UTF-8); at least 256 if left out.

        Raises
        ------
        UsageError
            The value does not fit the first one, or name or event number are impossible; nothing is stored.
        StoreError
            The file cannot be written; the text says how many rows are lost so far.
        """
        with self._lock:
            if type(event_number) is int and 0 <= event_number <= self._schema.max_event_number:
                number = event_number
            else:
                number = self._schema.check_event_number(name, event_number)
            if self._is_closed or self._writer.failure is not None:
                self._refuse()
            block = self._blocks.get(name)
            if block is None:
                column = self._schema.add_column(
                    name, number, value, unit=unit, axes=axes, attributes=attributes, dtype=dtype, max_length=max_length
                )
                block = self._add_block(column)
            row = block.row_type.convert(value, number)
            if block.is_full:
                self._make_room(block)
            block.append(number, row)
            self._n_rows += 1
            self._waiting_bytes += block.row_bytes
            if self._due is None:
                self._set_due()
            if block.is_full or self._waiting_bytes >= self._block_bytes:
                self._write_or_wait()

    def put_once(
        self, name: str, value: Any, *, unit: str | None = None, attributes: Mapping[str, Any] | None = None
    ) -> None:
        """Store a value that belongs to the whole run, such as an axis.

        The same value may be put again, for start packets arrive once from each worker.

        Parameters
        ----------
        name : str
            Path of the dataset.
        value : scalar, str, bytes, list of str or array_like
            Bytes are stored as an array of uint8.
        unit, attributes
            As in `put`.

        Raises
        ------
        UsageError
            The name has another value already, or the value cannot be stored.
        StoreError
            The file cannot be written.
        """
        with self._lock:
            self._check_open()
            entry = self._schema.add_once(name, value, unit=unit, attributes=attributes)
            if entry is not None:
                self._writer.add(entry)
                self._set_due()

    def parameters_changed(
        self, event_number: SupportsIndex, parameters: Mapping[str, Any], *, parameters_hash: str | None = None
    ) -> None:
        """Append to the history of parameters; content that did not change adds nothing.

        Parameters
        ----------
        event_number : int
            First event that they hold for.
        parameters : mapping of str to object
            All of them, as in the constructor.
        parameters_hash : str, optional
            Their content hash, if known.
        """
        with self._lock:
            self._check_open()
            number = self._schema.check_event_number("parameters", event_number)
            snapshot = ParameterSnapshot.of(parameters, parameters_hash=parameters_hash)
            if snapshot.content_hash != self._snapshot.content_hash:
                self._snapshot = snapshot
                self._writer.add(ParameterChange(number, time.time_ns(), snapshot))
                self._set_due()

    def flush(self) -> None:
        """Write everything that waits, so that readers see it.

        Raises
        ------
        StoreError
            The file cannot be written. Rows that still wait are not lost yet.
        """
        with self._lock:
            if not self._is_closed:
                self._check_open()
                self._write()

    def close(self) -> None:
        """Write what waits and the end of the run, and close the file; a second call does nothing.

        Raises
        ------
        StoreError
            Rows were lost, now or before; the file is closed nevertheless.
        """
        with self._lock:
            if self._is_closed or os.getpid() != self._process_id:
                return
            self._is_closed = True
            self._wake.notify_all()
        if self._thread is not None:
            self._thread.join()
        atexit.unregister(self._close_at_exit)
        with self._lock:
            self._finish()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except StoreError as loss:
            if error is None:
                raise
            log.warning("hdf5_store_lost_rows: %s", loss)

    def __reduce__(self) -> NoReturn:
        raise TypeError("an Hdf5Store belongs to the process that made it; give other processes its path")

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else "failed" if self._writer.failure else "open"
        return f"Hdf5Store({self._writer.path!r}, {state}, {self._n_rows} rows, {self.n_lost} lost)"

    def _add_block(self, column: Column) -> RowBlock:
        row_bytes = column.row_type.row_bytes
        capacity = max(1, min(self._block_rows, self._block_bytes // row_bytes))
        block = self._blocks[column.name] = RowBlock(column.row_type, capacity)
        self._writer.add(column)
        return block

    def _check_open(self) -> None:
        if self._is_closed:
            raise UsageError(f"{self._writer.path} is closed; make a new store for more results")
        if self._writer.failure is not None:
            raise StoreError(self._writer.failure, path=self._writer.path, n_lost=self.n_lost)

    def _make_room(self, block: RowBlock) -> None:
        """Write a full block, or refuse the row that is about to come."""
        if self._shortage is None or self._due is None or time.monotonic() >= self._due:
            with suppress(StoreError):
                self._write_or_wait()
        if block.is_full or self._writer.failure is not None:
            self._refuse()

    def _refuse(self) -> NoReturn:
        if self._is_closed:
            self._check_open()
        self._n_rows += 1
        self._n_refused += 1
        reason = self._writer.failure or self._shortage or ""
        raise StoreError(reason, path=self._writer.path, n_lost=self.n_lost)

    def _set_due(self) -> None:
        if self._due is None:
            self._due = time.monotonic() + self._block_s
            if self._thread is None:
                self._thread = threading.Thread(target=self._write_when_due, name="glimt-hdf5-store", daemon=True)
                self._thread.start()
            self._wake.notify_all()

    def _write_when_due(self) -> None:
        with self._wake:
            while not self._is_closed:
                if self._due is None:
                    self._wake.wait()
                elif (left := self._due - time.monotonic()) > 0:
                    self._wake.wait(min(left, threading.TIMEOUT_MAX))
                else:
                    with suppress(StoreError):  # told to the next caller
                        self._write_or_wait()

    def _write_or_wait(self) -> None:
        """Write, or if there is no room try again later; `StoreError` if it is hopeless."""
        try:
            self._write()
        except StoreError as error:
            if self._writer.failure is not None:
                raise
            self._due = time.monotonic() + RETRY_S
            if self._shortage is None:
                log.warning("hdf5_store_waits: %s", error)
            self._shortage = error.what

    def _write(self) -> None:
        if os.getpid() != self._process_id:
            raise UsageError(f"{self._writer.path} belongs to process {self._process_id}, which this one is a fork of")
        try:
            self._writer.write(self._blocks)
        finally:
            if self._writer.failure is not None:
                self._forget_waiting()
        self._forget_waiting()
        self._shortage = None

    def _finish(self) -> None:
        reason = self._writer.end(self._blocks, n_rows=self._n_rows, n_refused=self._n_refused)
        self._forget_waiting()
        if reason is not None or self.n_lost:
            raise StoreError(
                f"closed, incomplete: {reason or 'rows were refused while it could not be written'}",
                path=self._writer.path,
                n_lost=self.n_lost,
            )

    def _forget_waiting(self) -> None:
        self._waiting_bytes = 0
        self._due = None

    def _close_at_exit(self) -> None:
        try:
            self.close()
        except StoreError as error:
            log.warning("hdf5_store_lost_rows: %s", error)
