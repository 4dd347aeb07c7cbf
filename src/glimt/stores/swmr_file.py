"""An HDF5 file that one process writes and others read meanwhile.

HDF5 guarantees readers a valid file only while nothing but rows is added ("SWMR": single writer, multiple readers).
h5py does let one create datasets in that mode, but HDF5's manual excludes it. So a new dataset is made outside: the
file is closed, opened without SWMR, extended, and switched back, which takes about 0.3 ms. Meanwhile a reader that has
the file open keeps reading; one that opens it in that moment gets an `OSError` and should try again.

A process killed in just that moment leaves a file that cannot be read before `repair_after_crash`; in one of a hundred
such kills (measured) the list of names was torn. Everywhere else, SWMR's order of writing keeps the file whole.

HDF5's locks are not used: a reader's lock would keep the writer out of its own file, and the mark that HDF5 leaves in a
file that is being written keeps other writers out.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from h5py import h5s

from glimt.stores.row_block import contiguous_groups

# What HDF5 raises when it cannot write depends on the call.
HDF5_ERRORS = (OSError, RuntimeError, ValueError, KeyError, TypeError)
BRIDGE_BYTES = 64 << 10
BRIDGE_ROWS = 512

# Files of this format are read by HDF5 1.10 and later.
_LIBVER = ("v110", "latest")
_PATIENCE_S = 1.0
_RESERVE_STEP = 8 << 20
_unclosable: list[Any] = []


class FileBusyError(OSError):
    """The file cannot be opened for writing now, and later perhaps; nothing was changed."""


class SwmrFile:
    """A new HDF5 file in SWMR mode.

    Parameters
    ----------
    path : str
        Absolute; must not exist.

    Raises
    ------
    FileExistsError
        It exists.
    OSError
        It cannot be made.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._file: Any = h5py.File(path, "x", libver=_LIBVER, locking=False)
        self._datasets: dict[str, _Rows] = {}

    @contextmanager
    def structure(self, *, is_last: bool = False) -> Iterator[Any]:
        """Leave SWMR mode and give the `h5py.File` to be extended; afterwards rows can be written again.

        Parameters
        ----------
        is_last : bool
            Close the file afterwards.

        Raises
        ------
        FileBusyError
            Not now; the file is closed until this is called again.
        """
        self._datasets.clear()
        if self._file is None or self._file.swmr_mode:
            self._reopen()
        # A file that was left with reserved space behind its end is cut here, before anything is added.
        self._file.flush()
        yield self._file
        self._file.flush()
        if is_last:
            self._file.close()
            self._file = None
        elif not self._file.swmr_mode:
            # It is on if a reader of this process holds the file: HDF5 has one state for both. Then what is new was
            # made in SWMR mode, in an order that is good for readers; better than losing it.
            self._file.swmr_mode = True

    @property
    def is_open(self) -> bool:
        """Rows can be written."""
        return self._file is not None

    def write_rows(self, path: str, events: npt.NDArray[np.int64], rows: npt.NDArray[Any]) -> None:
        """Write rows of one dataset, which grows as needed.

        Parameters
        ----------
        path : str
            Of the dataset.
        events : ndarray
            Row numbers ``(n)``, ascending and unique.
        rows : ndarray
            ``(n, ...)``, C order, dtype and shape of the dataset.
        """
        dataset = self._datasets.get(path)
        if dataset is None:
            dataset = self._datasets[path] = _Rows(self._file[path])
        dataset.write(events, rows)

    def flush(self) -> None:
        """Let readers see all rows."""
        self._file.flush()

    def reserve(self, n_bytes: int) -> None:
        """Make sure that the disk has ``n_bytes`` more for this file.

        A full disk must be found before HDF5 finds it: once a write fails, HDF5 2.0 cannot close the file any more and
        crashes the interpreter at exit.

        Raises
        ------
        OSError
            There is no room; nothing was changed.
        """
        if self._file is None or not hasattr(os, "posix_fallocate"):
            return
        descriptor = self._file.id.get_vfd_handle()
        wanted = int(self._file.id.get_filesize()) + n_bytes
        size = os.fstat(descriptor).st_size
        if wanted <= size:
            return
        try:
            os.posix_fallocate(descriptor, size, wanted + _RESERVE_STEP - size)
        except OSError:
            os.posix_fallocate(descriptor, size, wanted - size)

    def abandon(self) -> None:
        """Let go of a file that cannot be written any more, without touching what is on disk.

        HDF5 must believe that its last writes succeed, or it crashes: they go to the null device.
        """
        file, self._file = self._file, None
        if not file:
            return
        try:
            null = os.open(os.devnull, os.O_RDWR)
            try:
                os.dup2(null, file.id.get_vfd_handle())
            finally:
                os.close(null)
            self._datasets.clear()  # after that: closing a dataset writes, too
            file.close()
        except HDF5_ERRORS:
            _unclosable.extend((file, self._datasets))  # a destructor would only try again

    def _reopen(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                self._file = h5py.File(self.path, "r+", libver=_LIBVER, locking=False)
            except FileNotFoundError:
                raise
            except OSError as error:
                # A reader of this very process opened it read-only, or HDF5_USE_FILE_LOCKING=TRUE and a reader's lock.
                if time.monotonic() > deadline:
                    raise FileBusyError(f"a reader keeps it busy ({str(error).splitlines()[0]})") from error
                time.sleep(0.01)
            else:
                return


class _Rows:
    """A dataset that grows along its first axis, written through h5py's low-level interface (three times as fast)."""

    def __init__(self, dataset: Any) -> None:
        self._id = dataset.id
        self._type = dataset.id.get_type()
        self._length, *shape = dataset.shape
        self._shape = tuple(shape)
        row_bytes = dataset.dtype.itemsize * int(np.prod(shape, dtype=np.int64))
        # A compressed chunk that is written again leaves a hole in the file: never rewrite neighbors.
        is_compressed = dataset.id.get_create_plist().get_nfilters() > 0
        self._max_gap = 0 if is_compressed else min(BRIDGE_BYTES // row_bytes, BRIDGE_ROWS)

    def write(self, events: npt.NDArray[np.int64], rows: npt.NDArray[Any]) -> None:
        length = int(events[-1]) + 1
        if length > self._length:
            self._id.set_extent((length, *self._shape))
            self._length = length
        for start, stop in contiguous_groups(events, self._max_gap):
            first, span = int(events[start]), int(events[stop - 1] - events[start]) + 1
            selected = self._id.get_space()
            selected.select_hyperslab((first, *(0 for _ in self._shape)), (span, *self._shape))
            memory = h5s.create_simple((span, *self._shape))
            block = rows[start:stop]
            if span > stop - start:
                # Reading the gap and writing it back is 15 times as fast as one write for each row.
                filled = np.empty((span, *self._shape), rows.dtype)
                self._id.read(memory, selected, filled, self._type)
                filled[events[start:stop] - first] = block
                block = filled
            self._id.write(memory, selected, block, self._type)
