"""One service in a process of its own: what the process does from its first line to its last."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, MutableSequence, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from typing import Any

from glimt.app.open_broker import open_broker
from glimt.app.process import log_level, prepare_process
from glimt.app.serve_log import ForwardedLog
from glimt.app.service_registry import load_service
from glimt.brokers.broker import Broker, QueueSpec
from glimt.brokers.layout import LAYOUT
from glimt.model.errors import BrokerError, UsageError
from glimt.services.recipe_log import about_recipe, log_handler
from glimt.services.runner import ServiceRunner
from glimt.services.runner_failures import RetryRule
from glimt.services.service import Service, ServiceSetup
from glimt.services.service_activity import ServiceActivity, ServiceState

UNUSABLE = 3
"""Exit code of a service that can never run as it is configured."""
ENDED_ITSELF = 4
"""Exit code of a plug-in service that asked to be ended, for good."""

_GRACE_S = 10.0


@dataclass(frozen=True, slots=True)
class ServiceTask:
    """What a process is to run.

    Attributes
    ----------
    name : str
        As in ``glimt serve NAME``.
    label : str
        As in the log: the name, with a number if there are several.
    path : str
        ``module:Class``.
    broker_url : str
    setup : ServiceSetup
    queues : tuple of QueueSpec
        Instead of the service's own.
    prefetch : int or None
    retry : RetryRule
    """

    name: str
    label: str
    path: str
    broker_url: str
    setup: ServiceSetup
    queues: tuple[QueueSpec, ...] = ()
    prefetch: int | None = None
    retry: RetryRule = field(default_factory=RetryRule)


def run_service(
    task: ServiceTask, cells: MutableSequence[float], folder: str, log_sender: socket.socket | None = None
) -> None:
    """Run a service until SIGTERM or the end of the process that started this one; ends the process.

    Ctrl-C is for the process that started this one, which asks with SIGTERM: the message at hand is finished. A second
    SIGTERM ends it at once, and the message will be delivered again.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stop_pipe, ask = os.pipe()

    def request(_number: int, _frame: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.write(ask, b"x")

    signal.signal(signal.SIGTERM, request)
    os.chdir(folder)
    prepare_log(task.label)
    if log_sender is not None:
        logging.getLogger().addHandler(ForwardedLog(log_sender, task.label))
    activity = ServiceActivity(cells)
    activity.restart()
    try:
        _serve(task, activity, stop_pipe)
    except UsageError as error:
        activity.enter(ServiceState.ERROR)
        logging.getLogger("glimt").error("%s", error)
        sys.exit(UNUSABLE)
    except BaseException as error:
        if not (isinstance(error, SystemExit) and error.code == ENDED_ITSELF):
            activity.enter(ServiceState.ERROR)
        raise


def prepare_log(label: str) -> None:
    """Let this process log as services do."""
    prepare_process()
    root = logging.getLogger()
    root.handlers[:] = [log_handler(label)]
    root.setLevel(log_level())
    for noisy in ("pika", "watchfiles", "sqlalchemy", "PIL"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def make_service(path: str, setup: ServiceSetup) -> Service:
    """Return a service that is ready to be run.

    Raises
    ------
    UsageError
        There is no such class, or its configuration is wrong.
    """
    found = load_service(path)
    if not issubclass(found, Service):
        raise UsageError(f"{path} is no service: inherit from glimt.services.service.Service")
    for name in ("name", "title", "queues"):
        if not hasattr(found, name):
            raise UsageError(f"service {path} has no {name}")
    return found(setup)


def queue_specs(names: Sequence[str]) -> tuple[QueueSpec, ...]:
    """Return queues as Diamond's layout has them; those it does not have as ordinary ones."""
    known = {queue.name: queue for queue in LAYOUT}
    return tuple(known.get(name) or QueueSpec(name) for name in names)


def _serve(task: ServiceTask, activity: ServiceActivity, stop_pipe: int) -> None:
    service_class = load_service(task.path)
    if not issubclass(service_class, Service):
        _serve_plugin(service_class, task, activity, stop_pipe)
        return
    service = make_service(task.path, task.setup)
    broker = open_patiently(task.broker_url, stop_pipe)
    if broker is None:
        return
    queues = task.queues or queue_specs(service.queues)
    runner = ServiceRunner(service, broker, queues=queues, prefetch=task.prefetch, retry=task.retry, activity=activity)
    when_asked(stop_pipe, runner.stop)
    try:
        runner.run()
    finally:
        broker.close()


def _serve_plugin(service_class: type[Any], task: ServiceTask, activity: ServiceActivity, stop_pipe: int) -> None:
    from glimt.compat.workflows_plugin import PluginRunner, is_plugin

    if not is_plugin(service_class):
        raise UsageError(f"{task.path} is no service: inherit from glimt.services.service.Service")
    broker = open_patiently(task.broker_url, stop_pipe)
    if broker is None:
        return
    runner = PluginRunner(
        service_class,
        broker,
        configuration=task.setup.configuration,
        on_state=lambda code: activity.enter(ServiceState(code)),
        on_outcome=activity.add,
        about=about_recipe,
    )
    when_asked(stop_pipe, runner.stop)
    try:
        runner.run()
    finally:
        broker.close()
    if runner.has_ended_itself:
        sys.exit(ENDED_ITSELF)


def open_patiently(url: str, stop_pipe: int) -> Broker | None:
    """Connect to a broker, waiting for it as long as it takes; ``None`` if asked to stop meanwhile."""
    delay_s = 0.1
    while True:
        try:
            return open_broker(url)
        except BrokerError as error:
            if delay_s == 0.1:
                logging.getLogger("glimt").warning("the broker does not answer; trying again: %s", error)
        if wait(_asked_by(stop_pipe), delay_s):
            return None
        delay_s = min(2 * delay_s, 5.0)


def when_asked(stop_pipe: int, stop: Callable[[], None]) -> None:
    """Call ``stop`` on a thread when SIGTERM comes or the process that started this one is gone."""

    def watch() -> None:
        asked = wait(_asked_by(stop_pipe))
        stop()
        if stop_pipe not in asked:  # nobody is left who would end a service that hangs
            threading.Event().wait(_GRACE_S)
            os._exit(1)

    threading.Thread(target=watch, name="stop", daemon=True).start()


def _asked_by(stop_pipe: int) -> list[Any]:
    parent = multiprocessing.parent_process()
    return [stop_pipe] if parent is None else [stop_pipe, parent.sentinel]
