"""Services under one command: each in a process of its own, started again when it dies, ended together."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import wait
from types import ModuleType
from typing import TYPE_CHECKING, Any

from glimt.app.open_broker import open_broker
from glimt.app.serve_neighbors import NeighborWatch
from glimt.app.serve_process import ENDED_ITSELF, UNUSABLE, ServiceTask, queue_specs, run_service
from glimt.app.serve_state import ServedState
from glimt.app.serve_status import StatusThread
from glimt.app.service_registry import SERVICES, load_service, service_path
from glimt.app.site import Site
from glimt.model.errors import UsageError
from glimt.services.runner_failures import RetryRule
from glimt.services.service import ServiceSetup
from glimt.services.service_activity import COUNTS, N_CELLS, Activity, ServiceActivity, ServiceState
from glimt.services.service_status import STATUS_COMMAND, Command, StatusOfService, host_id

if TYPE_CHECKING:
    import socket
    from multiprocessing.context import SpawnProcess

_FIRST_BACK_OFF_S, _LONGEST_BACK_OFF_S = 0.1, 5.0
_WELL_AFTER_S = 10.0
_STEP_S = 0.2
_GRACE_S = 60.0
_NEED_RESULTS = frozenset({"dispatcher", "ispyb"})
_spawn = multiprocessing.get_context("spawn")


class ServedService:
    """One instance of a service, over all the processes that it needs.

    Attributes
    ----------
    task : ServiceTask
    n_starts : int
    is_over : bool
        It ended and is not started again.
    pid : int or None
        Of its process; ``None`` while there is none.
    log_sender : socket or None
        Takes the lines of its log too; see `glimt.app.serve_log.LogReceiver`.
    """

    def __init__(self, task: ServiceTask) -> None:
        self.task = task
        self.n_starts = 0
        self.is_over = False
        self.pid: int | None = None
        self.log_sender: socket.socket | None = None
        self._cells = _spawn.RawArray("d", N_CELLS)
        self._account = ServiceActivity(self._cells)
        self._process: SpawnProcess | None = None
        self._status: StatusOfService | None = None
        self._started_at, self._start_at = 0.0, 0.0
        self._n_rapid = 0

    @property
    def process(self) -> SpawnProcess | None:
        """The process that runs it; ``None`` while there is none."""
        return self._process

    @property
    def activity(self) -> Activity:
        """What it is doing and has done."""
        return self._account.read()

    @property
    def status(self) -> StatusOfService | None:
        """How its status is told; ``None`` before its first start."""
        return self._status

    def look(self) -> ServedState:
        """Return how it is now; from any thread."""
        return ServedState(self.task.name, self.task.label, self.pid, self.n_starts, self.is_over, self.activity)

    def start_if_due(self) -> None:
        """Start a process if there is none and the pause after the last one is over."""
        if self._process is not None or self.is_over or time.monotonic() < self._start_at:
            return
        self.n_starts += 1
        arguments = (self.task, self._cells, os.getcwd(), self.log_sender)
        process = _spawn.Process(target=run_service, args=arguments, name=self.task.label, daemon=True)
        with _without_main():
            process.start()
        self._process, self._started_at, self.pid = process, time.monotonic(), process.pid
        title, class_name = self.task.name, self.task.path.rpartition(":")[2]
        queues, roots = [queue.name for queue in self.task.queues], [str(root) for root in self.task.setup.roots]
        self._status = StatusOfService(
            self.task.name, title, class_name, host=host_id(process.pid), queues=queues, roots=roots
        )

    def take_end(self) -> str:
        """Say how its process ended, empty if it runs; the next one is started after a pause.

        One that ended well although nobody told it to is started again as well: a service's code called ``exit``.
        """
        process = self._process
        if process is None or process.is_alive():
            return ""
        process.join()
        code = process.exitcode
        process.close()
        self._process = self.pid = None
        if code in {ENDED_ITSELF, UNUSABLE} or (code == 0 and self.is_over):
            self.is_over = True
            return "cannot run as it is set up (see above) and is not started again" if code == UNUSABLE else "ended"
        lived_s = time.monotonic() - self._started_at
        self._n_rapid = 0 if lived_s > _WELL_AFTER_S else self._n_rapid + 1
        pause_s = min(_FIRST_BACK_OFF_S * 2.0 ** max(self._n_rapid - 1, 0), _LONGEST_BACK_OFF_S)
        self._start_at = time.monotonic() + pause_s
        how = f"was ended by {signal.Signals(-code).name}" if code is not None and code < 0 else f"died (code {code})"
        return f"{how}; its message is delivered again; starting again in {pause_s:g} s"

    def ask_to_stop(self) -> None:
        """Let it finish the message at hand and end, for good."""
        self.is_over = True
        if self._process is not None and self._process.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End it at once; what it had in hand will be delivered again."""
        if self._process is not None:
            self._process.kill()


class Serving:
    """Runs services until told to stop.

    Parameters
    ----------
    site : Site
    names : sequence of str
        Which services; empty for all.
    tell : callable
        Takes lines for a human.
    """

    def __init__(self, site: Site, names: Sequence[str] = (), *, tell: Callable[[str], None]) -> None:
        self.site, self._tell = site, tell
        if site.broker_url.startswith("memory:"):
            raise UsageError("services in several processes cannot share a broker in memory; use sqlite:PATH")
        chosen = tuple(dict.fromkeys(names)) or tuple(dict.fromkeys([*SERVICES, *site.plans]))
        self.tasks = [task for name in chosen for task in service_tasks(site, name)]
        self.services = [ServedService(task) for task in self.tasks]
        self._status = StatusThread(site.broker_url, self._look)
        self._is_ready_told = False

    def prepare(self) -> None:
        """Make folders, queues and the results database.

        Raises
        ------
        UsageError, BrokerError, ResultsDatabaseError
            It cannot be.
        """
        make_folders(self.site, self.tasks)
        prepare_broker(self.site, self.tasks)
        if any(task.name in _NEED_RESULTS for task in self.tasks):
            prepare_results(self.site)

    def forward(self, log_sender: socket.socket, tell: Callable[[str], None]) -> None:
        """Send what services log, and what is told of them, elsewhere too; to be called before `run`."""
        before = self._tell

        def both(text: str) -> None:
            before(text)
            tell(text)

        self._tell = both
        for service in self.services:
            service.log_sender = log_sender

    def run(self, stop: threading.Event) -> bool:
        """Run until ``stop`` is set or no service is left; say whether all ended as they should."""
        self._status.start()
        neighbors, began = self._neighbors(), time.monotonic()
        neighbors.start()
        try:
            for service in self.services:
                service.start_if_due()
            self._tell_processes()
            while not stop.is_set() and not all(service.is_over and not service.process for service in self.services):
                for service in self.services:
                    service.start_if_due()
                self._wait()
                self._take_ends()
                self._obey()
                self._tell_ready(time.monotonic() - began)
        finally:
            neighbors.end()
            is_well = self._end()
            self._status.end()
        return is_well

    def totals(self) -> dict[str, dict[str, int]]:
        """Return what became of messages, for each instance."""
        return {service.task.label: service.activity.counts for service in self.services}

    def _tell_processes(self) -> None:
        pids: dict[str, list[str]] = {}
        for service in self.services:
            pids.setdefault(service.task.name, []).append(str(service.pid))
        for name, found in pids.items():
            self._tell(f"{name}: process{'es' * (len(found) > 1)} {', '.join(found)}")

    def _neighbors(self) -> NeighborWatch:
        own = {(task.name, tuple(queue.name for queue in task.queues)) for task in self.tasks}
        roots = [str(root) for root in self.site.roots]
        return NeighborWatch(self.site.broker_url, own, roots, lambda text: self._tell(text))

    def _tell_ready(self, after_s: float) -> None:
        """Say it when all take messages, once."""
        running = [service for service in self.services if not service.is_over]
        if self._is_ready_told or not running:
            return
        if all(service.activity.state > ServiceState.STARTING for service in running):
            self._is_ready_told = True
            which = "all services" if len(running) == len(self.services) else f"{len(running)} of {len(self.services)}"
            self._tell(f"{which} are ready, after {after_s:.1f} s")

    def _wait(self) -> None:
        sentinels = [service.process.sentinel for service in self.services if service.process is not None]
        wait(sentinels, _STEP_S) if sentinels else time.sleep(_STEP_S)

    def _take_ends(self) -> None:
        for service in self.services:
            was_over = service.is_over
            how = service.take_end()
            if how and not was_over:
                self._tell(f"{service.task.label} {how}")

    def _obey(self) -> None:
        while not self._status.commands.empty():
            command: Command = self._status.commands.get()
            for service in self.services:
                if service.status is None or service.is_over or not command.is_for(service.status):
                    continue
                if command.command == STATUS_COMMAND:
                    service.status.renew()
                elif command.command == "shutdown":
                    self._tell(f"{service.task.label} was told to shut down")
                    service.ask_to_stop()
                else:
                    self._tell(f"{service.task.label} does not know the command {command.command!r}")

    def _end(self) -> bool:
        """Let all finish the message at hand; a second Ctrl-C comes through and ends them at once."""
        is_well = all(service.activity.state is not ServiceState.ERROR for service in self.services)
        try:
            for service in self.services:
                service.ask_to_stop()
            deadline, told = time.monotonic() + _GRACE_S, time.monotonic() + 2.0
            while left := [service for service in self.services if service.process is not None]:
                if time.monotonic() > deadline:
                    break
                if time.monotonic() > told:
                    self._tell(f"waiting for {', '.join(service.task.label for service in left)}; Ctrl-C ends at once")
                    told = deadline
                self._wait()
                for service in left:
                    service.take_end()
        finally:
            for service in self.services:
                service.kill()
        return is_well

    def _look(self) -> list[tuple[StatusOfService, Activity]]:
        return [(service.status, service.activity) for service in self.services if service.status is not None]


def service_tasks(site: Site, name: str, *, broker_url: str = "") -> list[ServiceTask]:
    """Return what processes a service needs: as many as the site says.

    Raises
    ------
    UsageError
        There is no such service.
    """
    path = service_path(name)
    plan = site.plan_of(name)
    setup = ServiceSetup(
        configuration=plan.configuration,
        roots=site.roots,
        state_folder=site.state_folder / name.replace(":", ".").replace("/", "."),
        results_url=str(site.results_url),
        recipe_folders=site.recipe_folders,
    )
    return [
        ServiceTask(
            name=name,
            label=name if plan.instances == 1 else f"{name}[{number}]",
            path=path,
            broker_url=broker_url or str(site.broker_url),
            setup=setup,
            queues=queue_specs(plan.queues),
            prefetch=plan.prefetch,
            retry=RetryRule(plan.retry_first_s, plan.retry_longest_s),
        )
        for number in range(1, plan.instances + 1)
    ]


def make_folders(site: Site, tasks: Sequence[ServiceTask]) -> None:
    """Make the folders of the site's and the services' state.

    Raises
    ------
    UsageError
        One cannot be made.
    """
    for folder in (site.state_folder, *(task.setup.state_folder for task in tasks)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"cannot make the folder {folder}: {error.strerror}; choose another: paths.state"
            ) from None


def prepare_broker(site: Site, tasks: Sequence[ServiceTask], *, broker_url: str = "") -> None:
    """Make the queues that Diamond's services use, and those of the services in ``tasks``.

    Raises
    ------
    BrokerError
        The broker cannot be reached, or refuses.
    """
    from glimt.brokers.layout import EXCHANGES, LAYOUT, TOPICS, beamline_results

    queues = {queue.name: queue for queue in LAYOUT}
    if site.beamline:
        own = beamline_results(site.beamline)
        queues.setdefault(own.name, own)
    for task in tasks:
        for queue in task.queues:
            queues.setdefault(queue.name, queue)
    broker = open_broker(broker_url or str(site.broker_url))
    try:
        broker.declare(list(queues.values()), topics=TOPICS, exchanges=EXCHANGES)
    finally:
        broker.close()


def prepare_results(site: Site) -> None:
    """Make the tables of the results database that are missing.

    Raises
    ------
    UsageError
        What it needs is not installed.
    ResultsDatabaseError
        It cannot be reached.
    """
    try:
        from glimt.stores.results_db import prepare_results as prepare
    except ModuleNotFoundError as error:
        raise UsageError(
            f"the results database needs {error.name}, which is not there; install glimt[services,ispyb]"
        ) from None
    prepare(str(site.results_url))


def describe(name: str) -> dict[str, Any]:
    """Return what ``glimt serve --list`` shows of a service."""
    try:
        found = load_service(service_path(name))
    except UsageError as error:
        return {"name": name, "title": "", "queues": (), "says": f"not here: {error}"}
    says = (found.__doc__ or "").strip().partition("\n")[0]
    title = getattr(found, "title", "") or getattr(found, "_service_name", "")
    return {"name": name, "title": title, "queues": tuple(getattr(found, "queues", ())), "says": says}


def count_text(counts: dict[str, int]) -> str:
    """Return counts in words, without those that are zero but for the first."""
    return ", ".join(f"{counts[name]:,} {name}" for name in COUNTS if counts[name]) or f"0 {COUNTS[0]}"


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Let a new process not import what this one was started from: the commands, which idle services do not need."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
