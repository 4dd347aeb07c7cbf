"""Broadcasts the status of all services of one command, and hears what is asked of them, on a connection of its own."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from glimt.app.open_broker import open_broker
from glimt.brokers.broker import Broker
from glimt.model.errors import BrokerError
from glimt.services.service_activity import Activity
from glimt.services.service_status import COMMAND_TOPIC, STATUS_TOPIC, Command, StatusOfService, read_command

_STEP_S = 0.25
_LONGEST_BACK_OFF_S = 5.0
log = logging.getLogger("glimt")

Look = Callable[[], list[tuple[StatusOfService, Activity]]]


class StatusThread(threading.Thread):
    """Tells the status of services while they work, however long they are busy with one message.

    Parameters
    ----------
    url : str
        The broker.
    look : callable
        What each service is doing now.

    Attributes
    ----------
    commands : queue of Command
        What was asked on the topic ``command``.
    """

    def __init__(self, url: str, look: Look) -> None:
        super().__init__(name="status", daemon=True)
        self.commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._url, self._look = url, look
        self._ended = threading.Event()

    def run(self) -> None:
        """Broadcast until `end` is called; a broker that does not answer is waited for."""
        delay_s = _STEP_S
        while not self._ended.is_set():
            try:
                broker = open_broker(self._url)
                try:
                    broker.declare((), topics=(STATUS_TOPIC, COMMAND_TOPIC))
                    broker.listen(COMMAND_TOPIC)
                    delay_s = _STEP_S
                    while not self._ended.is_set():
                        self._step(broker)
                    self._tell(broker)
                finally:
                    broker.close()
            except BrokerError as error:
                log.debug("no status is broadcast: %s", error)
                self._ended.wait(delay_s)
                delay_s = min(2 * delay_s, _LONGEST_BACK_OFF_S)

    def end(self) -> None:
        """Tell the last status and end."""
        self._ended.set()
        self.join(2.0)

    def _step(self, broker: Broker) -> None:
        self._tell(broker)
        for delivery in broker.receive(16, timeout_s=_STEP_S):
            command = read_command(delivery.body)
            if command is None:
                log.warning("a message on the topic %s makes no sense", COMMAND_TOPIC)
            else:
                self.commands.put(command)

    def _tell(self, broker: Broker) -> None:
        messages = [message for status, activity in self._look() if (message := status.due(activity)) is not None]
        if messages:
            broker.send(messages)
