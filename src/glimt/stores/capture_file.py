"""The file of a capture that is being written: whole items only, plain or gzip."""

from __future__ import annotations

import bisect
import fcntl
import os
import stat
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Literal, Protocol

from glimt.codecs.capture import FileWindow, ItemError, read_layout
from glimt.model.errors import UsageError

_GZIP_LEVEL = 1
_GZIP_WBITS = 31


def open_capture(path: Path, *, mode: Literal["new", "overwrite", "append"]) -> int:
    """Return a descriptor of the file, positioned at its end, locked against other writers.

    Raises
    ------
    UsageError
        It exists, is being written, cannot be made, or (to append) is no whole capture.
    """
    if mode not in {"new", "overwrite", "append"}:
        raise UsageError(f"mode {mode!r} is not one of new, overwrite, append")
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | (os.O_EXCL if mode == "new" else 0)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, flags, 0o666)
    except FileExistsError:
        raise UsageError(f"{path} exists; choose another name, or say --overwrite or --append") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot write capture {path}: {getattr(error, 'strerror', None) or error}") from None
    try:
        _lock(descriptor, path)
        if mode == "append" and stat.S_ISREG(os.fstat(descriptor).st_mode):
            _seek_end(descriptor, path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UsageError(f"{path} is being written by another process; choose another name") from None
    except OSError:
        pass  # a file system without locks


def _seek_end(descriptor: int, path: Path) -> None:
    """Go behind the last whole item; what is left of one that a crash cut is removed."""
    if path.suffix == ".gz":
        if os.lseek(descriptor, 0, os.SEEK_END):
            raise UsageError(f"{path} is compressed, which cannot be appended to; choose another name")
        return
    window = FileWindow(path)
    offset = 0
    try:
        while (layout := read_layout(window, offset)) is not None:
            offset = layout.end
    except ItemError as error:
        if not error.truncated:
            raise UsageError(f"cannot append to {path}: {error.what} at byte {error.offset}") from None
    finally:
        window.close()
    os.ftruncate(descriptor, offset)
    os.lseek(descriptor, offset, os.SEEK_SET)


class CaptureFile(Protocol):
    """Takes blocks of items; ``n_whole`` is how many items of the last block are in it."""

    n_whole: int

    def __init__(self, descriptor: int, path: Path, *, replace: bool) -> None: ...

    @property
    def size(self) -> int:
        """Length of the file [bytes]."""
        ...

    def append(self, pieces: list[bytes], ends: list[int]) -> None:
        """Write items, given in pieces, whose ends [bytes] in the block are ``ends``.

        Raises
        ------
        OSError
            Not everything could be written: the file now ends with item ``n_whole`` of the block.
        """
        ...

    def close(self) -> None:
        """Close; an empty file is removed."""
        ...


class PlainFile:
    """An uncompressed capture.

    Parameters
    ----------
    descriptor : int
        Of `open_capture`.
    path : Path
        The file.
    replace : bool
        Empty the file before the first block.
    """

    def __init__(self, descriptor: int, path: Path, *, replace: bool) -> None:
        self._descriptor, self._path, self._replace = descriptor, path, replace
        self._is_regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        self.size = os.lseek(descriptor, 0, os.SEEK_CUR) if self._is_regular else 0
        self.n_whole = 0

    def append(self, pieces: list[bytes], ends: list[int]) -> None:
        """Write items; see `CaptureFile`."""
        if self._replace:
            self._replace = False
            self._cut()
        data = memoryview(b"".join(pieces))
        n_written = 0
        try:
            while n_written < len(data):
                n_written += os.write(self._descriptor, data[n_written:])
        except OSError:
            self.n_whole = bisect.bisect_right(ends, n_written)
            self.size += ends[self.n_whole - 1] if self.n_whole else 0
            self._cut()
            raise
        self.n_whole = len(ends)
        self.size += n_written

    def _cut(self) -> None:
        if self._is_regular:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self.size)
                os.lseek(self._descriptor, self.size, os.SEEK_SET)

    def close(self) -> None:
        """Close; an empty file is removed."""
        with suppress(OSError):
            if self._is_regular and not os.fstat(self._descriptor).st_size:
                self._path.unlink()
        os.close(self._descriptor)


class GzipFile:
    """A compressed capture: every block ends where a reader can stop, so that a crash costs at most the last block.

    Parameters are those of `PlainFile`.
    """

    def __init__(self, descriptor: int, path: Path, *, replace: bool) -> None:
        self._plain = PlainFile(descriptor, path, replace=replace)
        self._compressor = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WBITS)
        self._has_data = False
        self.n_whole = 0

    @property
    def size(self) -> int:
        """Compressed bytes in the file."""
        return self._plain.size

    def append(self, pieces: list[bytes], ends: list[int]) -> None:
        """Write items; see `CaptureFile`."""
        before = self._compressor.copy()
        data = [self._compressor.compress(piece) for piece in pieces]
        data.append(self._compressor.flush(zlib.Z_SYNC_FLUSH))
        try:
            self._write(data)
        except OSError:
            self._compressor, self.n_whole = before, 0
            raise
        self._has_data = True
        self.n_whole = len(ends)

    def _write(self, data: list[bytes]) -> None:
        # As one item of the plain file: a block that does not fit is taken back whole, for half of it cannot be read.
        self._plain.append(data, [sum(map(len, data))])

    def close(self) -> None:
        """Close; an empty file is removed."""
        try:
            if self._has_data:
                self._write([self._compressor.flush()])
        finally:
            self._plain.close()
