"""Runs a recipe in this process, on a broker in memory with all services, and tells every message: to find mistakes."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from glimt.app.go import QUEUE
from glimt.app.serve import make_folders, prepare_broker, prepare_results, service_tasks
from glimt.app.serve_process import ServiceTask, make_service, queue_specs
from glimt.app.service_registry import SERVICES
from glimt.app.site import Site
from glimt.brokers.broker import DEAD_LETTER_PREFIX, REASON, Delivery, Outgoing
from glimt.brokers.memory import MemoryBroker
from glimt.services.runner import ServiceRunner
from glimt.services.runner_message import is_recipe_message

_PAUSE_S = 0.01


class TellingBroker(MemoryBroker):
    """A connection that tells what is sent on it.

    Parameters
    ----------
    url : str
    sender : str
        Whose connection it is.
    tell : callable
        Takes a line.
    """

    def __init__(self, url: str, sender: str, tell: Callable[[str], None]) -> None:
        super().__init__(url)
        self._sender, self._tell_line = sender, tell

    def send(self, messages: Sequence[Outgoing]) -> None:
        """Send and tell."""
        super().send(messages)
        self._tell_all(messages)

    def settle(self, done: Sequence[Delivery], messages: Sequence[Outgoing] = ()) -> None:
        """Settle and tell what was sent."""
        super().settle(done, messages)
        self._tell_all(messages)

    def _tell_all(self, messages: Sequence[Outgoing]) -> None:
        for message in messages:
            where = message.queue or f"topic {message.topic}"
            delay = f" in {message.delay_s:g} s" if message.delay_s else ""
            self._tell_line(f"{self._sender} -> {where}{delay}: {payload_text(message.body)}")


def run_recipe(
    site: Site,
    request: dict[str, Any],
    *,
    services: Sequence[str] = (),
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
        prepare_broker(site, tasks, broker_url=url)
        runners = [_runner(task, url, tell, stack) for task in tasks]
        watcher.send([Outgoing(body=json.dumps(request).encode(), queue=QUEUE)])
        taken = {queue.name for runner in runners for queue in runner.queues}
        end = float("inf") if limit_s is None else time.monotonic() + limit_s
        while not stop.is_set() and time.monotonic() < end:
            n_handled = sum(runner.poll() for runner in runners)
            if not n_handled and not _n_left(watcher, taken):
                break
            if not n_handled:
                stop.wait(_PAUSE_S)
        return _tell_rest(watcher, taken, tell)


def payload_text(body: bytes, limit: int = 300) -> str:
    """Return what a message says, for a human; of a recipe's message the payload and the step."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        return f"{len(body)} bytes"
    step = ""
    if isinstance(message, dict) and "recipe-pointer" in message:
        step, message = f"step {message['recipe-pointer']}, ", message.get("payload")
    text = json.dumps(message)
    return step + (text if len(text) <= limit else f"{text[: limit - 1]}…")


def _runner(task: ServiceTask, url: str, tell: Callable[[str], None], stack: ExitStack) -> ServiceRunner:
    service = make_service(task.path, task.setup)
    broker = TellingBroker(url, task.name, tell)
    stack.callback(broker.close)
    queues = task.queues or queue_specs(service.queues)
    runner = ServiceRunner(service, broker, queues=queues, prefetch=task.prefetch, retry=task.retry)
    stack.callback(runner.close)
    runner.open()
    return runner


def _n_left(broker: MemoryBroker, taken: set[str]) -> int:
    return sum(
        status.n_ready + status.n_delayed + status.n_unsettled for status in broker.status() if status.name in taken
    )


def _tell_rest(broker: MemoryBroker, taken: set[str], tell: Callable[[str], None]) -> bool:
    """Tell what is left in queues; say whether there are no dead letters, and nothing that a service would take."""
    is_well = True
    for status in broker.status():
        left = broker.peek(status.name, 20)
        for delivery in left:
            if status.name.startswith(DEAD_LETTER_PREFIX):
                is_well = False
                tell(f"dead letter of {status.name.removeprefix(DEAD_LETTER_PREFIX)}: {delivery.headers.get(REASON)}")
            else:
                kind = "" if is_recipe_message(delivery) else "plain "
                tell(f"left in {status.name}, which no service here takes: {kind}{payload_text(delivery.body)}")
        if status.name in taken and status.n_ready + status.n_delayed:
            is_well = False
    return is_well
