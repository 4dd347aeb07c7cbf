"""What is new in folders: by the system's notice where there is one, by looking where not; shared by all who ask."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from glimt.sources.new_files_inotify import (
    CLOSE_WRITE,
    CREATE,
    IGNORED,
    IS_FOLDER,
    LOCAL_FILE_SYSTEMS,
    MODIFY,
    MOVED_TO,
    OVERFLOW,
    FolderEvent,
    Inotify,
    file_system_of,
)

log = logging.getLogger(__name__)

NOTICES = ("auto", "always", "never")

_ARRIVALS = CREATE | MOVED_TO | CLOSE_WRITE
_FORGET_S = 30.0
_LIST_AGAIN_S = 1.0
_LISTING_SHARE = 5.0
"""A folder is not listed more often than so that listing takes a fifth of the time."""
_MAX_OPEN = 10_000
_NO_NOTICE_S = 10.0
"""After so long it is tried again whether the system gives notice of a folder."""


@dataclass(slots=True)
class _Folder:
    """What is known of a folder.

    Attributes
    ----------
    path : str
    watch : int or None
        Number of the inotify watch; ``None`` without.
    watched : str
        The folder itself, or while that is not there the nearest one above it that is.
    generation : int
        Grows with everything that happens in it.
    mask : int
        What it is watched for.
    asked, refused : float
        When somebody asked last, and when it turned out last that the system gives no notice.
    names : set of str or None
        Names of files in it; ``None`` when it was not listed.
    listed, listing_s : float
        When it was listed last, and how long that took.
    being_written : dict of str to float
        Files that were made while it was watched and not closed yet, and when.
    """

    path: str
    watch: int | None = None
    watched: str = ""
    generation: int = 0
    mask: int = 0
    asked: float = 0.0
    refused: float = -_NO_NOTICE_S
    names: set[str] | None = None
    listed: float = 0.0
    listing_s: float = 0.0
    being_written: dict[str, float] = field(default_factory=dict)


class NewFiles:
    """Knows of folders whether something happened in them. One thread uses it.

    Parameters
    ----------
    notice : str
        ``"auto"``: by inotify on file systems that only this machine writes to; ``"always"``, ``"never"``.
    """

    def __init__(self, notice: str = "auto") -> None:
        self._notice = notice
        self._folders: dict[str, _Folder] = {}
        self._watched: dict[int, set[str]] = {}
        self._inotify: Inotify | None = None
        if notice != "never":
            try:
                self._inotify = Inotify()
            except OSError as error:
                log.info("folders are looked at again and again, because the system gives no notice (%s)", error)

    def follow(self, path: str, *, writes: bool = False) -> bool:
        """Look after a folder from now on, and return whether the system gives notice of what happens there.

        Parameters
        ----------
        path : str
            The folder; it need not be there yet.
        writes : bool
            Also of what is written to files that are there, not only of new ones.
        """
        folder = self._folders.get(path)
        if folder is None:
            self._forget_unasked()
            folder = self._folders[path] = _Folder(path)
        folder.asked = time.monotonic()
        if self._inotify is None or folder.asked - folder.refused < _NO_NOTICE_S:
            return False
        mask = folder.mask | _ARRIVALS | (MODIFY if writes else 0)
        if folder.watch is None or folder.watched != path or mask != folder.mask:
            folder.mask = mask
            self._attach(folder, self._inotify)
        return folder.watch is not None

    def _attach(self, folder: _Folder, inotify: Inotify) -> None:
        """Watch the folder, or what is above it while it is not there."""
        while True:
            there = _nearest_folder(folder.path)
            if folder.watch is not None and there == folder.watched != folder.path:
                return
            self._detach(folder)
            folder.refused = folder.asked
            if self._notice == "auto" and file_system_of(there) not in LOCAL_FILE_SYSTEMS:
                return
            try:
                watch = inotify.add(there, folder.mask)
            except OSError as error:
                if os.path.isdir(there):  # otherwise it went away just now
                    log.info("no notice of %s, which is looked at again and again (%s)", there, error)
                    return
                continue
            folder.watch, folder.watched, folder.refused = watch, there, -_NO_NOTICE_S
            folder.generation += 1
            folder.names = None
            self._watched.setdefault(watch, set()).add(folder.path)
            if there == folder.path or _nearest_folder(folder.path) == there:
                return

    def _detach(self, folder: _Folder) -> None:
        if folder.watch is None:
            return
        users = self._watched.get(folder.watch, set())
        users.discard(folder.path)
        if not users:
            self._watched.pop(folder.watch, None)
            if self._inotify is not None:
                self._inotify.remove(folder.watch)
        folder.watch, folder.watched = None, ""

    def generation(self, path: str) -> int | None:
        """Return a number that changes when something happens in a folder, ``None`` if that cannot be known."""
        self._take_events()
        folder = self._folders.get(path)
        return folder.generation if folder is not None and folder.watch is not None else None

    def wait(self, seconds: float, known: Mapping[str, int | None]) -> bool:
        """Wait until a folder's `generation` is not the known one any more; False if nothing happened for so long."""
        end = time.monotonic() + seconds
        while True:
            if any(self.generation(path) != generation for path, generation in known.items()):
                return True
            left = end - time.monotonic()
            if left <= 0:
                return False
            if self._inotify is None:
                time.sleep(left)
            else:
                self._inotify.wait(left)

    def written_for_s(self, path: str, name: str) -> float | None:
        """Return for how long a file is being written, ``None`` if it is closed or nothing is known about it."""
        self._take_events()
        folder = self._folders.get(path)
        began = folder.being_written.get(name) if folder is not None else None
        return None if began is None else time.monotonic() - began

    def names(self, path: str) -> Collection[str]:
        """Return the names of the files in a folder, empty if it is not there."""
        self._take_events()
        folder = self._folders.setdefault(path, _Folder(path))
        now = folder.asked = time.monotonic()
        again_s = max(0.0 if folder.watch is None else _LIST_AGAIN_S, folder.listing_s * _LISTING_SHARE)
        if folder.names is None or now - folder.listed >= again_s:
            folder.names = _list(path)
            folder.listed = time.monotonic()
            folder.listing_s = folder.listed - now
        return folder.names

    def _take_events(self) -> None:
        if self._inotify is not None:
            for event in self._inotify.read():
                self._note(event)

    def _note(self, event: FolderEvent) -> None:
        if event.mask & OVERFLOW:
            for folder in self._folders.values():
                folder.generation += 1
                folder.names = None
                folder.being_written.clear()
            return
        for path in self._watched.get(event.watch, ()):
            folder = self._folders[path]
            if event.mask & IGNORED:  # the folder went away, and the system dropped the watch
                folder.watch, folder.watched, folder.names = None, "", None
                folder.generation += 1
            elif folder.watched == path:
                folder.generation += 1
                _note_file(folder, event)
            elif event.name == path[len(folder.watched) :].lstrip("/").partition("/")[0]:
                folder.generation += 1  # the next folder on the way to it
                folder.watched = ""
        if event.mask & IGNORED:
            self._watched.pop(event.watch, None)

    def _forget_unasked(self) -> None:
        limit = time.monotonic() - _FORGET_S
        for path in [path for path, folder in self._folders.items() if folder.asked < limit]:
            self._detach(self._folders[path])
            del self._folders[path]

    def close(self) -> None:
        """Look after no folder any more; harmless when repeated."""
        self._folders.clear()
        self._watched.clear()
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None


def _note_file(folder: _Folder, event: FolderEvent) -> None:
    if event.mask & IS_FOLDER or not event.name:
        return
    if folder.names is not None:
        folder.names.add(event.name)
    if event.mask & CREATE:
        if len(folder.being_written) >= _MAX_OPEN:
            folder.being_written.pop(next(iter(folder.being_written)))
        folder.being_written[event.name] = time.monotonic()
    elif event.mask & (CLOSE_WRITE | MOVED_TO):
        folder.being_written.pop(event.name, None)


def look_anew(path: str) -> None:
    """Make a network file system ask its server what is in a folder: what it has in its cache may be old.

    NFS does so when a folder is opened (close-to-open consistency), not when a file in it is looked for.
    """
    with suppress(OSError):
        os.close(os.open(path, os.O_RDONLY | os.O_DIRECTORY))


def _nearest_folder(path: str) -> str:
    while not os.path.isdir(path):
        above = os.path.dirname(path)
        if above == path:
            break
        path = above
    return path


def _list(path: str) -> set[str]:
    try:
        with os.scandir(path) as entries:
            return {entry.name for entry in entries}
    except OSError:
        return set()
