"""Tells on the topic ``transient.status`` what services do, in Zocalo's form; reads Zocalo's shutdown commands."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from glimt import __version__
from glimt.brokers.broker import Outgoing
from glimt.services.service_activity import Activity, ServiceState

STATUS_TOPIC, COMMAND_TOPIC = "transient.status", "command"
STATUS_COMMAND = "status"
"""Asks services on the topic ``command`` to tell their status now."""

INTERVAL_S = 6.0
IDLE_AFTER_S = 0.5
EXPIRATION_S = 15.0
_LONG_S = 1.0


def host_id(pid: int | None = None) -> str:
    """Return Zocalo's identity of a service: the host's name from its end to its beginning, and the process."""
    host = ".".join(reversed(socket.gethostname().split(".")))
    return f"{host}.{os.getpid() if pid is None else pid}"


@dataclass(frozen=True, slots=True)
class Command:
    """What the topic ``command`` asked for.

    Attributes
    ----------
    command : str
        Such as ``"shutdown"``.
    host, service : str or None
        Only the service with this identity, only services of this class; at least one is given.
    """

    command: str
    host: str | None
    service: str | None

    def is_for(self, status: StatusOfService) -> bool:
        """Say whether it is meant for a service."""
        return (self.host is None or self.host == status.host) and (
            self.service is None or self.service in {status.service_class, status.name}
        )


def read_command(body: bytes) -> Command | None:
    """Return what a message on the topic ``command`` asks for; ``None`` if it makes no sense or is for nobody."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict) or not isinstance(message.get("command"), str):
        return None
    host, service = message.get("host"), message.get("service")
    if host is None and service is None:
        return None
    return Command(message["command"], None if host is None else str(host), None if service is None else str(service))


class StatusOfService:
    """Makes the status messages of one service, when they are due.

    Parameters
    ----------
    name : str
        As in ``glimt serve NAME``.
    title : str
        Zocalo's name of the service.
    service_class : str
        Name of its class.
    host : str
        See `host_id`.
    queues : sequence of str
        That it takes messages of instead of its own.
    roots : sequence of str
        Folders in which images may lie for it.
    clock : callable
        The time [s], as the activities have it.
    """

    def __init__(
        self,
        name: str,
        title: str,
        service_class: str,
        *,
        host: str,
        queues: Sequence[str] = (),
        roots: Sequence[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self.title, self.service_class, self.host = name, title, service_class, host
        self._about = {"queues": list(queues), "roots": list(roots)}
        self._clock = clock
        self._told_at = float("-inf")
        self._told: ServiceState | None = None
        self._before: dict[ServiceState, float] = {}

    def renew(self) -> None:
        """Let the next status be due at once; from any thread."""
        self._told_at = float("-inf")

    def due(self, activity: Activity) -> Outgoing | None:
        """Return a status message if the state has changed or the last one is old; ``idle`` after half a second."""
        now = self._clock()
        state = activity.state
        if state is ServiceState.IDLE and now - activity.since < IDLE_AFTER_S:
            state = self._told if self._told is not None else state
        if state is self._told and now - self._told_at < INTERVAL_S:
            return None
        message = self.message(activity, state)
        self._told, self._told_at, self._before = state, now, activity.spent_s
        body = json.dumps(message).encode()
        return Outgoing(body=body, topic=STATUS_TOPIC, expiration_s=EXPIRATION_S)

    def message(self, activity: Activity, state: ServiceState) -> dict[str, Any]:
        """Return a status message as Zocalo's status monitor reads it, with what glimt knows besides."""
        spent = {each: activity.spent_s[each] - self._before.get(each, 0.0) for each in activity.spent_s}
        total = sum(time_s for time_s in spent.values() if time_s > 0)
        age_s = max(self._clock() - activity.since, 0.0)
        text = state.text
        if state is ServiceState.PROCESSING and activity.state is state and age_s >= _LONG_S:
            text = f"processing since {age_s:.0f} s"
        message: dict[str, Any] = {
            "host": self.host,
            "status": int(state),
            "statustext": text,
            "service": self.title,
            "serviceclass": self.service_class,
            "utilization": {int(each): round(time_s / total, 4) for each, time_s in spent.items() if time_s > 0},
            "glimt": __version__,
            "name": self.name,
            "messages": activity.counts,
            **self._about,
        }
        if activity.median_s is not None and activity.p99_s is not None:
            message["message_s"] = {"median": round(activity.median_s, 6), "p99": round(activity.p99_s, 6)}
        return message
