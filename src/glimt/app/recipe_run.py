"""Runs a recipe in this process, on a broker in memory with all services, and tells every message: to find mistakes."""

from __future__ import annotations

import json
import re
import shlex
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from glimt.app.go import QUEUE
from glimt.app.recipe_telling import TellingBroker, logging_as, payload_text
from glimt.app.serve import make_folders, prepare_broker, prepare_results, service_tasks
from glimt.app.serve_process import ServiceTask, make_service, queue_specs
from glimt.app.service_registry import SERVICES, load_service
from glimt.app.site import Site
from glimt.brokers.broker import DEAD_LETTER_PREFIX, REASON, Outgoing, QueueSpec
from glimt.brokers.layout import LAYOUT
from glimt.brokers.memory import MemoryBroker
from glimt.compat.workflows_plugin import PluginRunner, is_plugin
from glimt.model.errors import UsageError
from glimt.services.recipe_log import about_recipe
from glimt.services.runner import ServiceRunner
from glimt.services.runner_message import is_recipe_message
from glimt.services.service import Service

_PAUSE_S = 0.01
_SHOWN_LEFT = 20
_NO_QUEUE = re.compile(r"the broker has no queue '([^']{1,255})'")
"""What the dispatcher says of a recipe with a queue that is not there."""
Runner = ServiceRunner | PluginRunner


def run_recipe(
    site: Site,
    request: dict[str, Any],
    *,
    services: Sequence[str] = (),
    queues: Sequence[str] = (),
    tell: Callable[[str], None],
    stop: threading.Event,
    limit_s: float | None = None,
) -> bool:
    """Run what a request asks for until no message is left that a service would take; say whether nothing failed.

    Parameters
    ----------
    site : Site
        Its broker is not used.
    request : dict
        See `glimt.app.go.make_request`.
    services : sequence of str
        Besides those that come with glimt.
    queues : sequence of str
        Of other programs, that a recipe sends to: what comes there is told at the end.
    tell : callable
        Takes a line for each message that is sent, and for each that fails.
    stop : threading.Event
        Ends it early.
    limit_s : float or None
        Ends it after that time [s].
    """
    url = f"memory:{uuid.uuid4().hex}"
    tasks = [task for name in (*SERVICES, *services) for task in service_tasks(site, name, broker_url=url)[:1]]
    make_folders(site, tasks)
    prepare_results(site)
    with ExitStack() as stack:
        watcher = MemoryBroker(url)
        stack.callback(watcher.close)
        # Here no service waits before there is something for it, and what fails is told: nothing is thrown away.
        named = [*LAYOUT, *(queue for task in tasks for queue in task.queues), *(QueueSpec(name) for name in queues)]
        specs = {queue.name: queue for queue in named}
        watcher.declare([replace(queue, expiration_s=None, has_dead_letters=True) for queue in specs.values()])
        prepare_broker(site, tasks, broker_url=url)
        watcher.send([Outgoing(body=json.dumps(request).encode(), queue=QUEUE)])
        runners = _Runners(tasks, watcher, tell, stack)
        end = float("inf") if limit_s is None else time.monotonic() + limit_s
        while not stop.is_set():
            n_handled = runners.poll(end, stop)
            if time.monotonic() >= end:
                tell(f"ended after {limit_s:g} s (--limit), whatever is left")
                break
            if not n_handled and not runners.n_left():
                break
            if not n_handled:
                stop.wait(_PAUSE_S)
        return _tell_rest(watcher, runners.taken, tell)


class _Runners:
    """The services of a run, each made when the first message for it is there: kernels are compiled only if needed.

    Plug-ins are made at once, as they alone know where they subscribe.
    """

    def __init__(
        self, tasks: Sequence[ServiceTask], watcher: MemoryBroker, tell: Callable[[str], None], stack: ExitStack
    ) -> None:
        self._watcher, self._tell, self._stack = watcher, tell, stack
        self._made: dict[str, Runner] = {}
        self._to_make: dict[str, tuple[ServiceTask, frozenset[str]]] = {}
        self.taken: set[str] = set()
        for task in tasks:
            found = load_service(task.path)
            if not issubclass(found, Service):
                self._make_plugin(task, found)
                continue
            queues = task.queues or queue_specs(getattr(found, "queues", ()))
            watcher.declare(queues)
            names = frozenset(queue.name for queue in queues)
            self._to_make[task.name] = task, names
            self.taken |= names

    def poll(self, end: float, stop: threading.Event) -> int:
        """Let each service handle what is there; return how many messages that were."""
        self._make_needed()
        n_handled = 0
        for name, runner in self._made.items():
            if time.monotonic() >= end or stop.is_set():
                break
            with logging_as(name):
                n_handled += runner.poll()
        return n_handled

    def n_left(self) -> int:
        """Return how many messages there are that a service would take."""
        return sum(
            status.n_ready + status.n_delayed + status.n_unsettled
            for status in self._watcher.status()
            if status.name in self.taken
        )

    def _make_needed(self) -> None:
        if not self._to_make:
            return
        waiting = {status.name for status in self._watcher.status() if status.n_ready}
        for name in [name for name, (_, queues) in self._to_make.items() if queues & waiting]:
            task, _ = self._to_make.pop(name)
            broker = self._connection(task)
            with logging_as(name):
                service = make_service(task.path, task.setup)
                queues = task.queues or queue_specs(service.queues)
                runner = ServiceRunner(service, broker, queues=queues, prefetch=task.prefetch, retry=task.retry)
                self._open(name, runner)

    def _make_plugin(self, task: ServiceTask, found: type[Any]) -> None:
        if not is_plugin(found):
            raise UsageError(
                f"{task.path} is no service: inherit from glimt.services.service.Service, or from python-workflows'"
                " CommonService"
            )
        broker = self._connection(task)
        with logging_as(task.name):
            runner = PluginRunner(found, broker, configuration=task.setup.configuration, about=about_recipe)
            self._open(task.name, runner)
        self.taken.update(runner.transport.queues)

    def _connection(self, task: ServiceTask) -> TellingBroker:
        broker = TellingBroker(self._watcher.url, task.name, self._tell)
        self._stack.callback(broker.close)
        return broker

    def _open(self, name: str, runner: Runner) -> None:
        runner.open()
        self._stack.callback(runner.close)
        self._made[name] = runner


def _tell_rest(broker: MemoryBroker, taken: set[str], tell: Callable[[str], None]) -> bool:
    """Tell what is left in queues; say whether there are no dead letters, and nothing that a service would take."""
    is_well = True
    unknown: dict[str, None] = {}
    for status in broker.status():
        for delivery in broker.peek(status.name, _SHOWN_LEFT):
            if status.name.startswith(DEAD_LETTER_PREFIX):
                is_well = False
                reason = str(delivery.headers.get(REASON))
                unknown |= dict.fromkeys(_NO_QUEUE.findall(reason))
                tell(f"dead letter of {status.name.removeprefix(DEAD_LETTER_PREFIX)}: {reason}")
            else:
                kind = "" if is_recipe_message(delivery) else "plain "
                tell(f"left in {status.name}, which no service here takes: {kind}{payload_text(delivery.body)}")
        if status.n_ready > _SHOWN_LEFT:
            tell(f"and {status.n_ready - _SHOWN_LEFT:,} more in {status.name}")
        if status.name in taken and (n_left := status.n_ready + status.n_delayed + status.n_unsettled):
            tell(f"not done: {n_left:,} messages of {status.name}")
            is_well = False
    if unknown:
        tell(
            f"here, --service MODULE:CLASS runs a service of yours that takes messages of {', '.join(unknown)}, and"
            f" {' '.join(f'--queue {shlex.quote(name)}' for name in unknown)} keeps them as for another program"
        )
    return is_well
