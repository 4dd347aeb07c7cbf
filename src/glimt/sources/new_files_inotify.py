"""Linux's own notice of what happens in folders: inotify, by its three calls of the C library.

Source: inotify(7) and its man pages inotify_init1(2), inotify_add_watch(2), inotify_rm_watch(2).
"""

from __future__ import annotations

import ctypes
import os
import select
import struct
import sys
from collections.abc import Iterator
from typing import NamedTuple

MODIFY, CLOSE_WRITE, MOVED_TO, CREATE = 0x2, 0x8, 0x80, 0x100
DELETE_SELF, MOVE_SELF = 0x400, 0x800
OVERFLOW, IGNORED, IS_FOLDER = 0x4000, 0x8000, 0x4000_0000
_ONLY_FOLDERS, _ADD_TO_MASK = 0x0100_0000, 0x2000_0000

_HEADER = struct.Struct("iIII")
_READ_BYTES = 1 << 18

LOCAL_FILE_SYSTEMS = frozenset(
    ("bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "nilfs2", "overlay", "ramfs", "tmpfs", "xfs", "zfs")
)
"""Where every writer is this machine's kernel. inotify says nothing of what others write to NFS, GPFS or Lustre."""


class FolderEvent(NamedTuple):
    """What happened: the number of the watch, bits of what it was, and the name of the file in the folder."""

    watch: int
    mask: int
    name: str


class Inotify:
    """A queue of events of any number of folders.

    Raises
    ------
    OSError
        The system has none, or all that it allows are in use.
    """

    def __init__(self) -> None:
        if not sys.platform.startswith("linux"):
            raise OSError("inotify is Linux's")
        self._library = ctypes.CDLL(None, use_errno=True)
        self._descriptor = int(self._library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        if self._descriptor < 0:
            raise _last_error("inotify_init1")
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLIN)

    def add(self, folder: str, mask: int) -> int:
        """Watch a folder, for what ``mask`` says and what it is watched for already; return the number of the watch.

        Raises
        ------
        OSError
            It is no folder, may not be read, or there are too many watches.
        """
        bits = mask | DELETE_SELF | MOVE_SELF | _ONLY_FOLDERS | _ADD_TO_MASK
        watch = int(self._library.inotify_add_watch(self._descriptor, os.fsencode(folder), ctypes.c_uint32(bits)))
        if watch < 0:
            raise _last_error(folder)
        return watch

    def remove(self, watch: int) -> None:
        """Watch a folder no longer; harmless if it is gone."""
        self._library.inotify_rm_watch(self._descriptor, watch)

    def wait(self, seconds: float) -> bool:
        """Wait until there are events; False after so long without any."""
        return bool(self._poll.poll(max(0.0, seconds) * 1000))

    def read(self) -> Iterator[FolderEvent]:
        """Yield the events that are there, without waiting."""
        while True:
            try:
                data = os.read(self._descriptor, _READ_BYTES)
            except BlockingIOError:
                return
            position = 0
            while position < len(data):
                watch, mask, _, length = _HEADER.unpack_from(data, position)
                position += _HEADER.size
                name = data[position : position + length].rstrip(b"\0")
                position += length
                yield FolderEvent(watch, mask, os.fsdecode(name))

    def close(self) -> None:
        """Release the queue; harmless when repeated."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _last_error(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), what)


def file_system_of(path: str) -> str:
    """Return the type of the file system that a path is on, such as ``"ext4"``; empty if the system does not tell."""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError:
        return ""
    real = os.path.realpath(path)
    best, found = -1, ""
    for line in lines:
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) < 5 or not after:
            continue
        point = _unescaped(fields[4])
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= best:  # of two on the same point the later one is seen
            best, found = len(point), after.split(" ")[0]
    return found


def _unescaped(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text
