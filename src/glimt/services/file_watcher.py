"""The file watcher: tells the steps of a recipe of files and images as they are written.

Each message is one round of one watch: look, tell what is new, send the message of the next round. All that a watch
knows travels in that message (`glimt.services.file_watcher_status`), which goes out together with what was told and
with the acknowledgement of the message before. So nothing is lost or told twice when an instance is killed, and any
instance, Zocalo's too, goes on with any watch.

Where the system gives notice (inotify), rounds of all watches that have nothing new wait together for it, up to
`WAIT_S`: something new is told within a millisecond or two, and a watch that waits costs four messages a second. Where
it does not (NFS, GPFS, Lustre), the next round's message is delayed: by milliseconds while something comes, up to a
second while nothing does. See the decision record "How files are watched".
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

import msgspec

from glimt.services.confined_path import confined_path
from glimt.services.file_watcher_clock import WatchClock
from glimt.services.file_watcher_items import read_items
from glimt.services.file_watcher_presence import FilePresence, ImagePresence, Presence
from glimt.services.file_watcher_request import read_request
from glimt.services.file_watcher_round import WatchRound
from glimt.services.file_watcher_status import WatchStatus, read_status
from glimt.services.recipe_log import about_recipe
from glimt.services.recipe_step import RecipeStep
from glimt.services.service import Service, ServiceSetup
from glimt.services.service_configuration import read_configuration
from glimt.sources.new_files import NewFiles
from glimt.sources.new_files_images import ArrivingImages

log = logging.getLogger(__name__)

WAIT_S = 0.25
"""A message that comes while watches wait is handled after so long at most [s]."""
MAX_OPEN_MASTERS = 32
_SETTLING_S = 0.001
"""Between looks at a file that is being written: a flush is several writes, and each of them gives notice."""
_OVERDUE_S = 1.0
_FORGET_MASTER_S = 60.0


class FileWatcherConfiguration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table ``[services.file_watcher]`` of the site file.

    Attributes
    ----------
    notice : str
        ``"auto"``: by the system's notice on file systems that only this machine writes to; ``"always"`` where the
        system can be trusted on others too; ``"never"``.
    out_of_order : bool
        Tell what comes after something that is missing, unless a recipe says otherwise (``out-of-order``).
    """

    notice: Literal["auto", "always", "never"] = "auto"
    out_of_order: bool = False


class FileWatcherService(Service):
    """Tells of files by pattern or list, and of images in HDF5 files.

    Parameters
    ----------
    setup : ServiceSetup
    clock : callable
        The time, UTC [s].
    monotonic : callable
        A time that nobody sets [s], by which it is seen that somebody set the clock.
    """

    name: ClassVar[str] = "file_watcher"
    title: ClassVar[str] = "DLS Filewatcher"
    queues: ClassVar[tuple[str, ...]] = ("filewatcher",)
    prefetch: ClassVar[int] = 64
    batch: ClassVar[int] = 64

    def __init__(
        self,
        setup: ServiceSetup,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(setup)
        self._configuration = read_configuration(setup, self.name, FileWatcherConfiguration)
        self._clock = clock
        self._watch_clock = WatchClock(clock, monotonic)
        self._new_files = NewFiles(self._configuration.notice)
        self._masters: OrderedDict[tuple[str, str], ArrivingImages] = OrderedDict()
        self._used: dict[tuple[str, str], float] = {}
        """When masters were looked at last [s, monotonic]."""
        self._due: dict[str, float] = {}
        """When the next rounds come of watches whose messages are delayed [s, monotonic]."""

    def handle(self, step: RecipeStep) -> None:
        """Do one round of one watch."""
        self.handle_batch([step])

    def handle_batch(self, steps: Sequence[RecipeStep]) -> None:
        """Do one round of each watch, after having waited for something new if there was nothing in any."""
        rounds = [self._read(step) for step in steps]
        for each in rounds:
            self._due.pop(each.key, None)
            with about_recipe(each.recipe_id):
                each.look()
        now = self._clock()
        waited_s = 0.0
        is_quiet = not any(each.has_news(now) for each in rounds)
        if is_quiet:
            waited_s = self._wait(rounds, now)
            for each in rounds:
                with about_recipe(each.recipe_id):
                    self._follow_clock(each.status)
            now = self._clock()
        for each in rounds:
            delay_s = 0.0 if is_quiet and each.has_notice else max(0.0, each.next_look_s(now) - waited_s)
            with about_recipe(each.recipe_id):
                each.answer(now, delay_s)
            if delay_s and not each.is_over:
                self._due[each.key] = time.monotonic() + delay_s
            if each.is_over and each.items.hdf5 is not None:
                for key in [key for key in self._masters if key[0] == each.items.hdf5]:
                    self._close_master(key)

    def _read(self, step: RecipeStep) -> WatchRound:
        with about_recipe(step.recipe_id):
            return self._round_of(step)

    def _round_of(self, step: RecipeStep) -> WatchRound:
        request = read_request(step.parameters)
        items = read_items(step.parameters, self._confine)
        status = read_status(step.payload, items.word, self._clock())
        self._follow_clock(status)
        presence: Presence
        if items.hdf5 is None:
            status.n_items = items.n_items
            presence = FilePresence(items, request, self._new_files, self._confine, self._clock)
        else:
            presence = ImagePresence(self._master(items.hdf5, request.dataset), self._new_files, self._clock)
        is_out_of_order = self._configuration.out_of_order if request.out_of_order is None else request.out_of_order
        return WatchRound(step, request, items, presence, status, in_order=not is_out_of_order)

    def _follow_clock(self, status: WatchStatus) -> None:
        """Let a watch have as much time left as before when somebody sets the clock."""
        jump_s = self._watch_clock.jumped_by_s(status.clock)
        if jump_s:
            log.warning("the clock was set by %+.0f s; that ends no watch", jump_s)
            status.shift(jump_s)
        status.clock = self._watch_clock.stamp()

    def _confine(self, path: str) -> None:
        confined_path(path, self.setup.roots)

    def _wait(self, rounds: Sequence[WatchRound], now: float) -> float:
        """Wait until one of the watches has something new, and return for how long [s]."""
        noticed = [each for each in rounds if each.has_notice]
        if not noticed:
            return 0.0
        began = time.monotonic()
        end = began + min(WAIT_S, *(self._wait_of(each, now) for each in rounds), self._until_due(began))
        while (left := end - time.monotonic()) > 0:
            generations = {folder: n for each in noticed for folder, n in each.generations.items()}
            if not self._new_files.wait(left, generations):
                break
            for each in noticed:
                if any(self._new_files.generation(folder) != n for folder, n in each.generations.items()):
                    with about_recipe(each.recipe_id):
                        each.look()
            if any(each.has_news(now) for each in noticed):
                break
            time.sleep(_SETTLING_S)
        return time.monotonic() - began

    def _wait_of(self, each: WatchRound, now: float) -> float:
        """Return how long a watch can wait here for others [s]: one without notice has to be looked at in time."""
        left_s = max(0.0, each.time_left_s(now))
        return left_s if each.has_notice else min(left_s, each.next_look_s(now))

    def _until_due(self, now: float) -> float:
        """Return when the next message of a watch comes that waits for its time [s]."""
        for key in [key for key, due in self._due.items() if due < now - _OVERDUE_S]:
            del self._due[key]  # another instance has it
        return max(0.0, min(self._due.values(), default=now + WAIT_S) - now)

    def _master(self, path: str, dataset: str) -> ArrivingImages:
        key, now = (path, dataset), time.monotonic()
        images = self._masters.pop(key, None) or ArrivingImages(path, dataset, self._confine)
        while self._masters:
            oldest = next(iter(self._masters))
            if len(self._masters) < MAX_OPEN_MASTERS and now - self._used[oldest] < _FORGET_MASTER_S:
                break
            self._close_master(oldest)
        self._masters[key], self._used[key] = images, now
        return images

    def _close_master(self, key: tuple[str, str]) -> None:
        self._masters.pop(key).close()
        self._used.pop(key, None)

    def close(self) -> None:
        """Close all files."""
        for key in list(self._masters):
            self._close_master(key)
        self._new_files.close()
