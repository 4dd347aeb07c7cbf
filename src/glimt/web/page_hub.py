"""The one reader behind all pages: reads what is published, keeps history, measures regions, wakes the viewers."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from glimt.model.errors import GlimtError, UsageError
from glimt.model.region import Region
from glimt.pipeline.failure import describe_exception
from glimt.pipeline.number_history import NumberHistories
from glimt.pipeline.region_curves import Now, RegionCurves
from glimt.web.log_ring import LogRing
from glimt.web.page_companions import companion, companions
from glimt.web.page_feed import Feed, FeedError, PageNode, Reading
from glimt.web.page_parameters import TOLD_CHANGES, PageParameters, SetParameter
from glimt.web.page_plot import Held
from glimt.web.page_region import page_region
from glimt.web.page_state import PageState
from glimt.web.page_store import PageStore
from glimt.web.parameter_access import ParameterAccess
from glimt.web.pool_cache import PoolCache

Array = npt.NDArray[Any]

_log = logging.getLogger(__name__)

WATCHED_S = 0.1
"""Time between two readings while somebody looks [s], and for how long a reading waits for something new."""
_LEAST_S = 0.08
UNWATCHED_S = 0.5
_ACCOUNT_S = 0.5
_IDLE_S = 5.0
_FETCH_S = 10.0
_STOP_S = 5.0
_MAX_REASON = 500
_CALM_S = 0.02
"""However fast viewers ask, they are answered together [s]."""


@dataclass(frozen=True, slots=True)
class PageSource:
    """What the page shows.

    Attributes
    ----------
    name : str
        Of the beamline file, or of what is replayed.
    kind : str
        ``"run"``, ``"replay"`` or ``"serve"``.
    feed : Feed
        Reads what is published.
    account : callable
        Returns health of a live run, or progress of a replay; see ``account_key``.
    account_key : str
        ``"health"`` or ``"progress"``.
    parameters : ParameterAccess or None
        Of the run.
    set_parameter : callable or None
        Changes one and tells the event; see `glimt.web.page_parameters.SetParameter`.
    logs : LogRing or None
        Newest log records.
    file : Path or None
        Where regions and layouts are kept.
    """

    name: str
    kind: str
    feed: Feed
    account: Callable[[], Any]
    account_key: str = "health"
    parameters: ParameterAccess | None = None
    set_parameter: SetParameter | None = None
    logs: LogRing | None = None
    file: Path | None = None


class Watcher(Protocol):
    """A viewer, as the hub knows it."""

    def wanted(self) -> set[str]:
        """Return the paths of the arrays that are on screen, and of what they need."""
        ...

    def wake(self) -> None:
        """There is something new; called from any thread."""
        ...


class PageHub:
    """Reads in a thread of its own while the context lasts.

    Parameters
    ----------
    source : PageSource
        What is shown.

    Attributes
    ----------
    lock : RLock
        To be held while ``held``, ``numbers``, ``histories`` and ``curves`` are read.
    held : dict of str to Held
        Newest arrays that somebody wants.
    x_of : dict of str to (str, Held or None)
        Path and content of the x values of an array in ``held``, of the reading that it was seen in last.
    numbers : dict of str to float
        Newest published numbers.
    version : int
        Grows with each change of what is published.
    serial : int
        Grows with each change of anything.
    region_lock : Lock
        To be held from a change of the regions until the run has them.
    n_reads : int
        How often it was read, or tried to.
    read_s : float
        When it was read last, since 1970.
    """

    def __init__(self, source: PageSource) -> None:
        self.source = source
        self.lock = threading.RLock()
        self.held: dict[str, Held] = {}
        self.x_of: dict[str, tuple[str, Held | None]] = {}
        self.numbers: dict[str, float] = {}
        self.nodes: dict[str, PageNode] = {}
        self.histories = NumberHistories()
        self.curves = RegionCurves()
        self.state = PageState()
        self.region_lock = threading.Lock()
        self.store = PageStore(source.file, on_change=self._regions_changed)
        self.parameters: PageParameters | None = None
        if source.parameters is not None:
            self.parameters = PageParameters(source.parameters, source.set_parameter, on_change=self.wake)
        self.pools = PoolCache()
        self.logs = source.logs or LogRing()
        self._n_logged = 0
        self.version, self.serial = 0, 0
        self.event_number: int | None = None
        self.read_s = 0.0
        self._watchers: set[Watcher] = set()
        self._prints: dict[str, int] = {}
        self._sign = 0
        self._changed_at = time.monotonic()
        self._told_at = 0.0
        self._lost = ""
        self._failed = ""
        self.n_reads = 0
        self._fetched: dict[str, int] = {}
        self._read_condition = threading.Condition(self.lock)
        self._asked = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="glimt-page", daemon=True)

    def __enter__(self) -> PageHub:
        """Begin to read."""
        self._begin_regions()
        self._regions_changed()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop reading."""
        self._stop.set()
        self._asked.set()
        if self._thread.ident is not None:
            self._thread.join(_STOP_S)
        self.source.feed.close()

    # Viewers ----------------------------------------------------------------------------------------------------

    @property
    def n_viewers(self) -> int:
        """How many look."""
        return len(self._watchers)

    def join(self, watcher: Watcher) -> None:
        """Wake this one from now on."""
        with self.lock:
            self._watchers.add(watcher)
        self.wake()

    def leave(self, watcher: Watcher) -> None:
        """Wake this one no more."""
        with self.lock:
            self._watchers.discard(watcher)
        self.wake()

    def wake(self) -> None:
        """Read and tell soon: somebody wants something else, or has changed something."""
        self._told_at = 0.0
        self._asked.set()

    def _notify(self) -> None:
        with self.lock:
            self.serial += 1
            watchers = list(self._watchers)
        for watcher in watchers:
            watcher.wake()

    def fetch(self, path: str) -> tuple[Held, tuple[str, Array] | None]:
        """Return the newest array of a path, and path and values of its x, both of one reading; for a download.

        Raises
        ------
        KeyError
            It is not published.
        UsageError
            It is larger than what the page reads.
        FeedError
            The reducer does not answer.
        """
        with self._read_condition:
            self._fetched[path] = self._fetched.get(path, 0) + 1
            n_reads = self.n_reads
            self.wake()
            try:
                # The reading that goes on now may have begun before the path was wanted, the next before its x was.
                self._read_condition.wait_for(
                    lambda: self.n_reads > n_reads + (3 if self._lacks_x(path) else 1), _FETCH_S
                )
                held, (x_path, x) = self.held.get(path), self.x_of.get(path, ("", None))
            finally:
                self._fetched[path] -= 1
                if not self._fetched[path]:
                    del self._fetched[path]
        if held is None and self._lost:
            raise FeedError(self._lost)
        if held is None:
            raise KeyError(f"there is no array {path[:200]}")
        if not held.array.size and 0 not in (held.node.shape or ()):
            raise UsageError(f"{path[:200]} is too large for the page; publish a smaller version of it")
        if x_path and x is None:
            raise FeedError(f"{x_path[:200]}, the x values of {path[:200]}, could not be read; try again")
        return held, None if x is None else (x_path, x.array)

    def _lacks_x(self, path: str) -> bool:
        return path in self.x_of and self.x_of[path][1] is None

    # Regions ----------------------------------------------------------------------------------------------------

    def _begin_regions(self) -> None:
        """Let store and run begin with the same regions: what people drew before comes first."""
        if self.parameters is None:
            return
        try:
            if self.store.has_regions:
                self.give_regions("glimt")
            else:
                self._take_regions()
        except GlimtError as error:
            _log.warning("the run and the page have different regions: %s", error)

    def _for_run(self) -> list[Region]:
        return [region.region() for region in self.store.regions if region.kind != "value"]

    def give_regions(self, who: str) -> dict[str, Any] | None:
        """Set the parameter of the run to the regions; return what `PageParameters.set_regions` returns."""
        return None if self.parameters is None else self.parameters.set_regions(self._for_run(), who=who)

    def _take_regions(self) -> None:
        """Show the regions that somebody gave the run in another way than on the page."""
        if self.parameters is None or not self.region_lock.acquire(blocking=False):
            return  # the page is about to give them
        try:
            given = self.parameters.regions()
            if given is not None and given != self._for_run():
                self._show_regions(given)
        finally:
            self.region_lock.release()

    def _show_regions(self, given: list[Region]) -> None:
        images = [path for path, node in self.nodes.items() if node.plot == "image"]
        image = images[0] if images and "/image" not in images else "/image"
        placed = [region if region.image else msgspec.structs.replace(region, image=image) for region in given]
        if placed == self._for_run():
            return
        known = {region.name: region for region in self.store.regions}
        taken = [region for region in self.store.regions if region.kind == "value"]
        for i, region in enumerate(placed):
            made = page_region(region, i)
            if (old := known.get(region.name)) is not None:
                keys = {key: getattr(old, key) for key in ("id", "color", "quantity", "denominator", "split")}
                made = msgspec.structs.replace(made, **keys)
            taken.append(made)
        self.store.replace(taken, who="parameter")

    def _regions_changed(self) -> None:
        with self.lock:
            self.curves.use(self.store.regions)
            self.state.put("regions", [region.told() for region in self.store.regions])
            self.state.put("layout_version", self.store.layout_version)
        self.wake()

    # Reading ----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                self._turn()
                if not self._lost:
                    self._failed = ""
            except Exception as error:  # noqa: BLE001  the page must outlive whatever is told of the run
                self._fail(error)
            rest = (_LEAST_S if self._watchers else UNWATCHED_S) - (time.monotonic() - began)
            if self._lost or self._failed:
                rest = max(rest, UNWATCHED_S)
            if self._asked.wait(max(rest, 0.0)):
                self._stop.wait(_CALM_S)
                self._asked.clear()

    def _turn(self) -> None:
        with self.lock:
            wanted = self.curves.wanted().union(self._fetched, *(watcher.wanted() for watcher in self._watchers))
            for path in list(wanted):
                wanted |= companions(self.nodes, path)
        known = {path: self._prints.get(path) if path in self.held else None for path in wanted}
        is_new = False
        try:
            # Wait only while there is nothing else to do: a viewer that wants something else is answered at once.
            can_wait = bool(self._watchers) and all(value is not None for value in known.values())
            reading = self.source.feed.read(known, sign=self._sign, wait_s=WATCHED_S if can_wait else 0.0)
            with self.lock:
                is_new = self._take(reading, wanted)
            self._lost = ""
        except FeedError as error:
            self._lost = str(error)
        except Exception as error:  # noqa: BLE001  the page must outlive whatever is published
            self._fail(error)
            self._lost = f"the page could not read what is published: {describe_exception(error)}"[:_MAX_REASON]
        with self._read_condition:
            self.n_reads += 1
            if self._fetched:
                self._asked.set()
            self._read_condition.notify_all()
        is_told = self._tell()
        if is_new or is_told:
            self._notify()

    def _fail(self, error: Exception) -> None:
        """Tell in the log what went wrong; once, if it goes on."""
        found = describe_exception(error)
        if found != self._failed:
            self._failed = found
            _log.error("the page could not read what is published", exc_info=error)

    def _take(self, reading: Reading, wanted: set[str]) -> bool:
        """Keep what was read; tell whether anything is new."""
        now = self.read_s = time.time()
        self._sign, self.event_number = reading.sign, reading.event_number
        self.nodes = {node.path: node for node in reading.nodes}
        is_new = self.state.put("tree", reading.nodes)
        self.state.put("problems", [{"path": path, "reason": reason} for path, reason in reading.problems])
        is_new |= reading.numbers.keys() != self.numbers.keys()
        self.numbers = reading.numbers
        is_new |= self.histories.add(reading.numbers, now, reading.event_number)
        is_new |= bool(reading.values)
        if is_new:
            self.version += 1
            self._changed_at = time.monotonic()
        for path, array in reading.values.items():
            if path in self.nodes:
                event = reading.events.get(path, self._event_of(path))
                scalars = {} if event is None else reading.scalars.get(event, {})
                self.held[path] = Held(array, self.version, now, event, self.nodes[path], scalars=scalars)
        self._prints = reading.prints
        for path in self.held.keys() - wanted:
            del self.held[path]
        self._find_x(reading)
        here = Now(self.held, self.numbers, lambda path: self.excluded(self.held[path]))
        return self.curves.measure(here, histograms=bool(self._watchers)) or is_new

    def _find_x(self, reading: Reading) -> None:
        """Keep which x values belong to the arrays of this reading; what is no longer there keeps its own."""
        self.x_of = {path: x for path, x in self.x_of.items() if path in self.held and path not in reading.prints}
        for path in self.held.keys() & reading.prints.keys():
            x_path = companion(self.nodes, path, "x")
            if x_path is not None and self.nodes[x_path].kind == "dataset":
                self.x_of[path] = x_path, self.held.get(x_path) if x_path in reading.prints else None

    def _event_of(self, path: str) -> int | None:
        for owner in (path, "/"):
            found = self.nodes[owner].attributes.get("event_number") if owner in self.nodes else None
            if isinstance(found, int) and not isinstance(found, bool):
                return found
        return self.event_number

    def excluded(self, held: Held) -> npt.NDArray[np.bool_] | None:
        """Return which pixels of an image are excluded: those of its attributes ``mask`` and ``invalid``."""
        found: npt.NDArray[np.bool_] | None = None
        mask = self.held.get(companion(self.nodes, held.node.path, "mask") or "")
        if mask is not None and mask.array.shape == held.array.shape and mask.array.dtype.kind in "biu":
            found = mask.array != 0
        invalid = held.node.attributes.get("invalid")
        if isinstance(invalid, int | float) and held.array.dtype.kind in "iuf":
            equal = held.array == invalid
            found = equal if found is None else found | equal
        return found

    # Telling ----------------------------------------------------------------------------------------------------

    def _tell(self) -> bool:
        """Renew what does not come from the tree, twice a second at most; tell whether pages should know at once."""
        now = time.monotonic()
        if now - self._told_at < _ACCOUNT_S:
            return False
        is_asked, self._told_at = self._told_at == 0.0, now
        age = now - self._changed_at
        freshness = "lost" if self._lost else "idle" if age > _IDLE_S else "live"
        before = (self.state.get("freshness") or {}).get("state")
        self.state.put("freshness", {"state": freshness, "age_s": round(age, 1), "reason": self._lost})
        changed = self.state.put("viewers", self.n_viewers) or before != freshness
        n_logged, self._n_logged = self._n_logged, self.logs.since(self._n_logged)[0]
        changed |= n_logged != self._n_logged
        if self._watchers:
            self._tell_account()
        if self.parameters is not None:
            self._take_regions()
            changed |= self.state.put("parameters", self.parameters.told())
            changed |= self.state.put("changes", self.parameters.changes(TOLD_CHANGES))
        return changed or is_asked

    def _tell_account(self) -> None:
        account = self.source.account()
        for key in ("health", "progress"):
            self.state.put(key, account if key == self.source.account_key else None)
        scan = account.get("scan", {}) if isinstance(account, dict) else {}
        told = {"scan_number": scan.get("scan_number"), "scan_id": scan.get("scan_id")}
        self.state.put("scan", told | {"event_number": self.event_number})
