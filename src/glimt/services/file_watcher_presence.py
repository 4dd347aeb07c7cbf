"""Whether files are there and images are written, and where the system would say so."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Iterator
from typing import Protocol

from glimt.services.file_watcher_items import Items
from glimt.services.file_watcher_request import WatchRequest
from glimt.services.file_watcher_status import WatchStatus
from glimt.sources.new_files import NewFiles, look_anew
from glimt.sources.new_files_images import ArrivingImages, is_hdf5_name

MAX_AHEAD = 10_000
"""Out of order, so many items behind the first missing one are looked at."""
WRITING_S = 1.0
"""A file that is still being written is told after so long in any case: Zocalo's watcher would have looked by then."""


class Presence(Protocol):
    """Tells which items of one watch are there."""

    @property
    def reason(self) -> str:
        """Why the next one is not there, as far as is known beyond that it is not."""

    def follow(self, status: WatchStatus) -> dict[str, int | None]:
        """Look after the folders in which the next item is expected; return their `NewFiles.generation`."""

    def n_items(self) -> int | None:
        """Return how many items there are, as far as was seen; ``None`` if it was not."""

    def present(self, status: WatchStatus, *, in_order: bool) -> Iterator[tuple[int, float]]:
        """Yield items that are there and were not seen, in order, and when they were looked at, UTC [s].

        ``in_order``: those up to the first that is not there.
        """


class FilePresence:
    """Files: they are there when they are regular files, and closed as far as is known.

    Parameters
    ----------
    items : Items
    request : WatchRequest
    new_files : NewFiles
    confine : callable
        Raises what is to be raised for a path that is not open to messages.
    clock : callable
        The time, UTC [s].
    """

    def __init__(
        self,
        items: Items,
        request: WatchRequest,
        new_files: NewFiles,
        confine: Callable[[str], object],
        clock: Callable[[], float],
    ) -> None:
        self._items, self._new_files, self._confine, self._clock = items, new_files, confine, clock
        self._settle_s = request.settle_s
        self.reason = ""

    def n_items(self) -> int | None:
        """See `Presence`."""
        return self._items.n_items

    def follow(self, status: WatchStatus) -> dict[str, int | None]:
        """See `Presence`."""
        if status.n_in_order >= (self._items.n_items or 0):
            return {}
        path = self._items.path(status.n_in_order)
        if path is None:
            return {}
        folder = os.path.dirname(path)
        if self._new_files.follow(folder):
            return {folder: self._new_files.generation(folder)}
        look_anew(folder)
        return {folder: None}

    def present(self, status: WatchStatus, *, in_order: bool) -> Iterator[tuple[int, float]]:
        """See `Presence`."""
        end = self._items.n_items or 0
        listings: dict[str, Collection[str]] = {}
        for number in status.unseen(end if in_order else min(end, status.n_in_order + MAX_AHEAD)):
            path = self._items.path(number)
            if path is None:
                return  # nothing will come, and what is behind it is not waited for
            if not in_order:
                folder, name = os.path.split(path)
                if folder not in listings:
                    listings[folder] = self._new_files.names(folder)
                if name not in listings[folder]:
                    continue
            seen_at = self._clock()
            if self._is_there(path, seen_at):
                self._confine(path)
                yield number, seen_at
            elif in_order:
                return

    def _is_there(self, path: str, now: float) -> bool:
        try:
            status = os.stat(path)
        except (OSError, ValueError):
            return False
        if not stat.S_ISREG(status.st_mode):
            return False
        if self._settle_s:
            return bool(status.st_size) and now - status.st_mtime >= self._settle_s
        if status.st_nlink > 1 or is_hdf5_name(path):
            return True
        written_for_s = self._new_files.written_for_s(*os.path.split(path))
        return written_for_s is None or written_for_s >= WRITING_S or os.path.islink(path)


class ImagePresence:
    """Images of an HDF5 file.

    Parameters
    ----------
    images : ArrivingImages
        The file; kept open by who made it.
    new_files : NewFiles
    clock : callable
        The time, UTC [s].
    """

    def __init__(self, images: ArrivingImages, new_files: NewFiles, clock: Callable[[], float]) -> None:
        self._images, self._new_files, self._clock = images, new_files, clock

    @property
    def reason(self) -> str:
        """See `Presence`."""
        return self._images.reason

    def n_items(self) -> int | None:
        """See `Presence`."""
        return self._images.n_images

    def follow(self, status: WatchStatus) -> dict[str, int | None]:
        """See `Presence`."""
        del status
        generations: dict[str, int | None] = {}
        for folder in sorted(self._images.folders()):
            has_notice = self._new_files.follow(folder, writes=True)
            generations[folder] = self._new_files.generation(folder) if has_notice else None
        return generations

    def present(self, status: WatchStatus, *, in_order: bool) -> Iterator[tuple[int, float]]:
        """See `Presence`."""
        self._images.look_again()
        n_images = self._images.n_images
        if n_images is None:
            return
        try:
            for number in status.unseen(min(n_images, status.n_in_order + MAX_AHEAD) if not in_order else n_images):
                if self._images.has(number):
                    yield number, self._clock()
                elif in_order:
                    return
        finally:
            self._images.release()
