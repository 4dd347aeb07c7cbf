"""Random access to the bytes of a capture, whether they lie in memory, in a file or in a compressed file."""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path
from typing import Protocol

from glimt.model.errors import UsageError

_GZIP_STEP = 1 << 20


class Window(Protocol):
    """Bytes by offset. Offsets asked for never lie before the last one given to `forget`."""

    def read(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes from ``offset``; fewer only where the data end."""
        ...

    def holds(self, offset: int, length: int) -> bool:
        """Tell whether all of ``length`` bytes from ``offset`` exist, without allocating them where that is known."""
        ...

    def forget(self, offset: int) -> None:
        """Promise not to read before ``offset`` again."""
        ...

    def size(self) -> int:
        """Return how many bytes are stored (compressed ones, where they are)."""
        ...

    def consumed(self, offset: int) -> int:
        """Return how many of the stored bytes were needed to get to ``offset``."""
        ...

    def close(self) -> None:
        """Release the file."""
        ...


class BytesWindow:
    """A capture in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes from ``offset``; fewer only where the data end."""
        return self._data[offset : offset + length]

    def holds(self, offset: int, length: int) -> bool:
        """Tell whether all of ``length`` bytes from ``offset`` exist."""
        return offset + length <= len(self._data)

    def forget(self, offset: int) -> None:
        """Nothing to release."""

    def size(self) -> int:
        """Return the number of bytes."""
        return len(self._data)

    def consumed(self, offset: int) -> int:
        """Return ``offset``."""
        return offset

    def close(self) -> None:
        """Nothing to release."""


class FileWindow:
    """A capture in a plain file.

    Read with ``pread``, never mapped: a mapped file that another program truncates kills the process that reads it.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))

    def read(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes from ``offset``; fewer only where the file ends."""
        data = os.pread(self._descriptor, length, offset)
        if len(data) == length or not data:
            return data
        pieces = [data]  # pread returns at most 2 GiB at once, and less on some file systems
        missing = length - len(data)
        while missing and (data := os.pread(self._descriptor, missing, offset + length - missing)):
            pieces.append(data)
            missing -= len(data)
        return b"".join(pieces)

    def holds(self, offset: int, length: int) -> bool:
        """Tell whether all of ``length`` bytes from ``offset`` exist now; a file that grows is asked each time."""
        return offset + length <= os.fstat(self._descriptor).st_size

    def forget(self, offset: int) -> None:
        """Nothing to release."""

    def size(self) -> int:
        """Return the size of the file as it is now."""
        return os.fstat(self._descriptor).st_size

    def consumed(self, offset: int) -> int:
        """Return ``offset``."""
        return offset

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class GzipWindow:
    """A compressed capture; keeps what was decompressed since the last `forget`.

    Raises
    ------
    EOFError, OSError, zlib.error
        From `read` and `holds`, where the compressed data are cut or damaged.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._stream = gzip.GzipFile(fileobj=self._file, mode="rb")
        self._start = 0
        self._kept = bytearray()
        self._failure: Exception | None = None

    def _fill(self, end: int) -> None:
        while self._failure is None and self._start + len(self._kept) < end:
            # A step at a time: what an item announces is not allocated before it is seen to exist. read1, because read
            # loses what it has when it meets damage.
            try:
                data = self._stream.read1(min(_GZIP_STEP, end - self._start - len(self._kept)))
            except (EOFError, OSError, zlib.error) as error:
                self._failure = error
                return
            if not data:
                return
            self._kept += data

    def read(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes from ``offset``; fewer only where the data end."""
        end = offset + length
        self._fill(end)
        if self._failure is not None and self._start + len(self._kept) <= offset:
            raise self._failure
        first = offset - self._start
        return bytes(memoryview(self._kept)[first : first + length])

    def holds(self, offset: int, length: int) -> bool:
        """Tell whether all of ``length`` bytes from ``offset`` exist; decompresses up to there."""
        self._fill(offset + length)
        whole = offset + length <= self._start + len(self._kept)
        if not whole and self._failure is not None:
            raise self._failure
        return whole

    def forget(self, offset: int) -> None:
        """Release what was decompressed before ``offset``."""
        done = min(offset - self._start, len(self._kept))
        if done >= _GZIP_STEP or done == len(self._kept):
            del self._kept[:done]
            self._start += done

    def size(self) -> int:
        """Return the size of the compressed file."""
        return os.fstat(self._file.fileno()).st_size

    def consumed(self, offset: int) -> int:
        """Return how much of the compressed file was read, whatever ``offset``."""
        return self._file.tell()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
        self._file.close()


def open_window(path: Path) -> Window:
    """Open a capture; compressed ones are known by their first two bytes, not by their name.

    Raises
    ------
    OSError
        The file cannot be opened or read.
    UsageError
        It is a pipe or a device.
    """
    if not path.is_dir() and path.exists() and not path.is_file():
        raise UsageError(
            f"{path} is a pipe or device; a capture must be a file (one compressed with gzip is read as it is)"
        )
    with path.open("rb") as stream:
        compressed = stream.read(2) == b"\x1f\x8b"
    return GzipWindow(path) if compressed else FileWindow(path)
