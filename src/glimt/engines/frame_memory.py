"""Large frames in memory that the ingester shares with the workers of the same machine.

The ingester copies a frame in once; workers read it where it is; when the last delivery of its event is acknowledged,
its place is free again. The size of the memory is the bound on what waits.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from bisect import bisect_left
from contextlib import suppress
from typing import TYPE_CHECKING

from glimt.model.errors import UsageError

if TYPE_CHECKING:
    from typing_extensions import Buffer

_ALIGNMENT = 64  # of a cache line


class FrameMemory:
    """The ingester's side: makes the memory and hands out places in it.

    Parameters
    ----------
    n_bytes : int
        Its size. Pages that were never used take no memory; the lowest free place is used first.

    Attributes
    ----------
    path : str
        What `SharedFrames` opens, as long as this process lives.
    n_bytes, used_bytes : int
        Size, and how much of it is taken.

    Raises
    ------
    UsageError
        The memory cannot be had.
    """

    def __init__(self, n_bytes: int) -> None:
        self.n_bytes = -(-n_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        self.used_bytes = 0
        self._file = _make_file()
        try:
            os.ftruncate(self._file, self.n_bytes)
            self._map = mmap.mmap(self._file, self.n_bytes)
        except (OSError, ValueError, OverflowError) as error:
            os.close(self._file)
            raise UsageError(f"no shared memory of {n_bytes} bytes for the queue of frames: {error}") from None
        self.path = f"/proc/{os.getpid()}/fd/{self._file}"
        self._view = memoryview(self._map)
        self._starts = [0]  # of the free places, ascending, and their ends
        self._ends = [self.n_bytes]
        self._sizes: dict[int, int] = {}

    def put(self, frame: Buffer) -> int | None:
        """Copy a frame in; return its offset, ``None`` if there is no place for it now."""
        content = memoryview(frame).cast("B")
        needed = -(-content.nbytes // _ALIGNMENT) * _ALIGNMENT or _ALIGNMENT
        index = self._first_fit(needed)
        if index is None:
            return None
        start, end = self._starts[index], self._ends[index]
        if end - start == needed:
            del self._starts[index], self._ends[index]
        else:
            self._starts[index] = start + needed
        self._sizes[start] = needed
        self.used_bytes += needed
        self._view[start : start + content.nbytes] = content
        return start

    def _first_fit(self, needed: int) -> int | None:
        for index, (start, end) in enumerate(zip(self._starts, self._ends, strict=True)):
            if end - start >= needed:
                return index
        return None

    def free(self, offset: int) -> None:
        """Give a place back."""
        size = self._sizes.pop(offset)
        self.used_bytes -= size
        start, end = offset, offset + size
        index = bisect_left(self._starts, start)
        if index < len(self._starts) and self._starts[index] == end:
            end = self._ends[index]
            del self._starts[index], self._ends[index]
        if index and self._ends[index - 1] == start:
            self._ends[index - 1] = end
        else:
            self._starts.insert(index, start)
            self._ends.insert(index, end)

    def view(self, offset: int, n_bytes: int) -> memoryview:
        """Return what lies at a place, for a worker that does not share this memory."""
        return self._view[offset : offset + n_bytes]

    def close(self) -> None:
        """Give the memory back; processes that opened it keep it."""
        self._view.release()
        with suppress(BufferError):  # a message that was never sent still holds a part of it
            self._map.close()
        os.close(self._file)


class SharedFrames:
    """A worker's side: reads frames where the ingester put them.

    Parameters
    ----------
    path : str
        `FrameMemory.path`.
    n_bytes : int
        `FrameMemory.n_bytes`.

    Raises
    ------
    OSError
        The process that made it is on another machine, or gone.
    """

    def __init__(self, path: str, n_bytes: int) -> None:
        file = os.open(path, os.O_RDWR)
        try:
            self._map = mmap.mmap(file, n_bytes)
        finally:
            os.close(file)
        self._view = memoryview(self._map)

    def view(self, offset: int, n_bytes: int) -> memoryview:
        """Return the frame at a place; valid until its event is acknowledged."""
        return self._view[offset : offset + n_bytes]

    def close(self) -> None:
        """Unmap it, unless a user's object still holds a frame."""
        self._view.release()
        with suppress(BufferError):
            self._map.close()


def _make_file() -> int:
    """Return an open file without a name, so that a killed process leaves nothing behind."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("glimt-frames", os.MFD_CLOEXEC)
    file, path = tempfile.mkstemp(prefix="glimt-frames-")
    os.unlink(path)
    return file
