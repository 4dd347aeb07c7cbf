"""Write blocks of rows to a result file, and see to it that a full disk does no harm."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from glimt.model.errors import StoreError, UsageError
from glimt.stores import hdf5_layout
from glimt.stores.hdf5_crash import repair_after_crash
from glimt.stores.hdf5_layout import Compression, ParameterChange
from glimt.stores.parameter_snapshot import ParameterSnapshot
from glimt.stores.provenance import Provenance
from glimt.stores.row_block import RowBlock
from glimt.stores.schema import Column, OnceValue
from glimt.stores.swmr_file import HDF5_ERRORS, FileBusyError, SwmrFile

_SLACK_BYTES = 1 << 20
_NAME_BYTES = 64 << 10
_SYSTEM_MESSAGE = re.compile(r"error message = '([^']*)'")


class Hdf5Writer:
    """The writing end of a `SwmrFile`; not safe for threads.

    Parameters
    ----------
    file : SwmrFile
        New and empty.
    provenance : Provenance
        Who writes it.
    parameters : ParameterSnapshot
        At the start.
    compression : ``"bslz4"`` or None
        Of long rows.

    Attributes
    ----------
    failure : str or None
        Why nothing can be written any more.
    n_lost : int
        Rows that were in blocks when it failed.

    Raises
    ------
    StoreError
        The file cannot be written; it is removed.
    """

    def __init__(
        self,
        file: SwmrFile,
        *,
        provenance: Provenance,
        parameters: ParameterSnapshot,
        compression: Compression | None,
    ) -> None:
        self.path = file.path
        self.failure: str | None = None
        self.n_lost = 0
        self._file = file
        self._compression: Compression | None = compression
        self._columns: list[Column] = []
        self._new_columns: list[Column] = []
        self._new_once: list[OnceValue] = []
        self._new_changes: list[ParameterChange] = []
        try:
            file.reserve(_SLACK_BYTES + sum(map(_n_bytes, parameters.values.values())))
            with file.structure() as content:
                hdf5_layout.write_start(content, provenance, parameters)
        except HDF5_ERRORS as error:
            file.abandon()
            with suppress(OSError):
                os.unlink(file.path)
            raise StoreError(f"cannot be made: {_reason(error)}", path=file.path) from error

    def add(self, news: Column | OnceValue | ParameterChange) -> None:
        """Take something that is to be made in the file before the next rows."""
        if isinstance(news, Column):
            self._new_columns.append(news)
        elif isinstance(news, OnceValue):
            self._new_once.append(news)
        else:
            self._new_changes.append(news)

    def write(self, blocks: Mapping[str, RowBlock]) -> None:
        """Write and clear all blocks; afterwards readers see their rows.

        Raises
        ------
        StoreError
            There is no room on the disk, or a reader keeps the file busy: nothing was written, the blocks are as they
            were, and it can be tried again. Or writing failed: then ``failure`` is set, the rows are lost and counted,
            and the blocks are empty.
        """
        waiting = {name: block.in_order() for name, block in blocks.items() if len(block)}
        n_bytes = sum(self._bytes_on_disk(blocks[name], events) for name, (events, _) in waiting.items())
        self._reserve(n_bytes + self._news_bytes(), blocks)
        try:
            if self._new_columns or self._new_once or self._new_changes or not self._file.is_open:
                self._write_news()
        except FileBusyError as error:
            raise self._wait(str(error), blocks) from error
        except HDF5_ERRORS as error:
            self._give_up(error, blocks)
        if not waiting:
            return
        self._reserve(n_bytes, blocks)
        try:
            for name, (events, rows) in waiting.items():
                self._file.write_rows(name, events, rows)
            self._file.flush()
            # Second, so that a row that is present is there.
            for name, (events, _) in waiting.items():
                self._file.write_rows(f"{hdf5_layout.PRESENT}/{name}", events, np.ones(len(events), np.bool_))
            self._file.flush()
        except HDF5_ERRORS as error:
            self._give_up(error, blocks)
        for block in blocks.values():
            block.clear()

    def end(self, blocks: Mapping[str, RowBlock], *, n_rows: int, n_refused: int) -> str | None:
        """Write the last blocks and the end of the run, and close the file.

        Parameters
        ----------
        blocks : mapping of str to RowBlock
            What still waits; if it cannot be written it is lost and counted.
        n_rows, n_refused : int
            Rows that were put, and those among them that never came into a block.

        Returns
        -------
        str or None
            What went wrong.
        """
        reason = self.failure
        if reason is None:
            try:
                self.write(blocks)
            except StoreError as error:
                reason = self.failure or _reason(error.__cause__ or error)
                self._lose(blocks)
        if self.failure is None:
            try:
                with self._file.structure(is_last=True) as content:
                    hdf5_layout.write_end(content, n_rows=n_rows, n_lost=self.n_lost + n_refused, columns=self._columns)
            except HDF5_ERRORS as error:
                with suppress(StoreError):
                    self._give_up(error, blocks)
                reason = self.failure
        return reason

    def _write_news(self) -> None:
        with self._file.structure() as content:
            hdf5_layout.add_once(content, self._new_once)
            hdf5_layout.add_columns(content, self._new_columns, self._compression)
            hdf5_layout.add_parameter_changes(content, self._new_changes)
        self._columns += self._new_columns
        self._new_columns, self._new_once, self._new_changes = [], [], []

    def _reserve(self, n_bytes: int, blocks: Mapping[str, RowBlock]) -> None:
        try:
            self._file.reserve(n_bytes + _SLACK_BYTES)
        except OSError as error:
            raise self._wait(f"no room for {n_bytes} bytes ({_reason(error)}): free some space", blocks) from error

    def _wait(self, what: str, blocks: Mapping[str, RowBlock]) -> StoreError:
        n_waiting = sum(map(len, blocks.values()))
        return StoreError(
            f"{what}; {n_waiting} rows wait in memory and are written later", path=self.path, n_lost=self.n_lost
        )

    def _bytes_on_disk(self, block: RowBlock, events: npt.NDArray[np.int64]) -> int:
        """Return an upper limit of what rows of ``events`` add to the file."""
        rows = hdf5_layout.chunk_rows(block.row_type, self._compression)
        # A bridged gap may touch one chunk more than the rows on its sides.
        n_chunks = min(int(events[-1]) // rows - int(events[0]) // rows + 1, 2 * len(events))
        return n_chunks * (rows * block.row_bytes + hdf5_layout.CHUNK_ROWS) + _NAME_BYTES

    def _news_bytes(self) -> int:
        n_names = len(self._new_columns) + len(self._new_once) + len(self._new_changes)
        contents = [entry.value for entry in self._new_once]
        contents += [value for change in self._new_changes for value in change.snapshot.values.values()]
        return n_names * _NAME_BYTES + sum(map(_n_bytes, contents))

    def _lose(self, blocks: Mapping[str, RowBlock]) -> None:
        self.n_lost += sum(map(len, blocks.values()))
        for block in blocks.values():
            block.clear()

    def _give_up(self, error: BaseException, blocks: Mapping[str, RowBlock]) -> NoReturn:
        """Leave the file as it is: HDF5 cannot go on after a write that failed."""
        self.failure = f"cannot be written: {_reason(error)}"
        self._lose(blocks)
        self._file.abandon()
        with suppress(UsageError, StoreError):
            repair_after_crash(self.path, force=True)
        raise StoreError(self.failure, path=self.path, n_lost=self.n_lost) from error


def _reason(error: BaseException) -> str:
    """Return what the system said; HDF5 wraps it into several lines."""
    if isinstance(error, OSError) and error.strerror and "\n" not in error.strerror:
        return error.strerror
    found = _SYSTEM_MESSAGE.search(str(error))
    lines = str(error).splitlines() or [type(error).__name__]
    return found.group(1) if found else lines[0][:200]


def _n_bytes(content: Any) -> int:
    if isinstance(content, np.ndarray):
        return content.nbytes
    if isinstance(content, str | bytes | list):
        return sum(4 * len(item) + 16 for item in content) if isinstance(content, list) else 4 * len(content)
    return 16
