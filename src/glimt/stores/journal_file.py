"""Opens the files of a journal: this user's own, never a link, one writer at a time."""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path

from glimt.model.errors import StoreError, UsageError

_PRIVATE = 0o600
_OTHERS_CAN_WRITE = 0o022
# A pipe under the name must not block, a link must not be followed.
_CAREFULLY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def open_existing(path: Path, flags: int) -> int:
    """Return a descriptor of a file that nobody else can have put there.

    Raises
    ------
    UsageError
        It is a symbolic link, not a plain file, another user's, or others may write it.
    StoreError
        It does not exist or cannot be opened.
    """
    try:
        descriptor = os.open(path, flags | _CAREFULLY)
    except (OSError, ValueError) as error:
        if path.is_symlink():
            raise UsageError(f"{path} is a symbolic link; a journal must be a file itself: remove the link") from None
        text = f"the journal cannot be opened: {getattr(error, 'strerror', None) or error}"
        raise StoreError(text, path=str(path)) from error
    try:
        _check_owner(descriptor, path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _check_owner(descriptor: int, path: Path) -> None:
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(f"{path} is not a file; choose another folder for journals")
    if found.st_uid != os.geteuid():
        raise UsageError(f"{path} belongs to another user (id {found.st_uid}); choose another folder for journals")
    if found.st_mode & _OTHERS_CAN_WRITE:
        raise UsageError(f"{path} can be written by other users, who could put code into it; remove it")


def open_locked(path: Path) -> int:
    """Return a descriptor of an existing journal, for reading and writing, locked against other writers.

    Raises
    ------
    UsageError
        As `open_existing`, or another process is writing it.
    StoreError
        As `open_existing`.
    """
    while True:
        descriptor = open_existing(path, os.O_RDWR)
        try:
            lock(descriptor, path)
            # Whoever held the lock may have put a new file there.
            if is_at(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def create_locked(path: Path) -> int:
    """Return a descriptor of a new, private, empty file; what a killed process left under the name is removed.

    Raises
    ------
    UsageError
        Another process is writing there.
    OSError
        It cannot be made.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | _CAREFULLY
    try:
        descriptor = os.open(path, flags, _PRIVATE)
    except FileExistsError:
        remove_leftover(path)
        descriptor = os.open(path, flags, _PRIVATE)
    try:
        lock(descriptor, path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def remove_leftover(path: Path) -> None:
    """Remove a file that no process writes.

    Raises
    ------
    UsageError
        A process writes it.
    OSError
        There is none, or it cannot be removed.
    """
    if not path.is_symlink() and path.is_file():
        descriptor = os.open(path, os.O_RDONLY | _CAREFULLY)
        try:
            lock(descriptor, path)
        finally:
            os.close(descriptor)
    path.unlink()


def lock(descriptor: int, path: Path) -> None:
    """Take the lock that is gone when this process is.

    Raises
    ------
    UsageError
        Another process has it.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UsageError(f"{path} is being written by another process; end that one first") from None
    except OSError:
        pass  # a file system without locks


def is_at(descriptor: int, path: Path) -> bool:
    """Return whether the open file is the one under the name."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False


def sync_folder(folder: Path) -> None:
    """Make a change of names outlive the machine, where the file system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
