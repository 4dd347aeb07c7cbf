"""Hears what the services of others broadcast of themselves."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable

import msgspec

from glimt.app.open_broker import open_broker
from glimt.app.service_registry import SERVICES
from glimt.brokers.broker import Delivery, Outgoing
from glimt.model.errors import BrokerError
from glimt.services.recipe_log import printable
from glimt.services.service_activity import ServiceState
from glimt.services.service_status import COMMAND_TOPIC, EXPIRATION_S, INTERVAL_S, STATUS_COMMAND, STATUS_TOPIC

_MANY = 256
_STARTING = frozenset({ServiceState.CONSTRUCTING, ServiceState.STARTING})


class HeardStatus(msgspec.Struct, frozen=True):
    """What a service of glimt said of itself; see `glimt.services.service_status.StatusOfService`.

    Attributes
    ----------
    host : str
        Identity of its process, the host's name from its end to its beginning in front.
    name : str
        As in ``glimt serve NAME``.
    status : int
        One of `ServiceState`.
    queues : tuple of str
        That it takes messages of instead of its own.
    roots : tuple of str
        Folders in which images may lie for it.
    """

    host: str
    name: str
    status: int
    queues: tuple[str, ...] = ()
    roots: tuple[str, ...] = ()

    @property
    def is_starting(self) -> bool:
        """Whether it is there, and takes no messages yet."""
        return self.status in _STARTING

    @property
    def process(self) -> str:
        """Its process, for people."""
        host, _, pid = self.host.rpartition(".")
        return f"process {pid} on {'.'.join(reversed(host.split('.')))}"


class HeardStatuses:
    """A connection that hears the statuses of services; of other programs' nothing is returned.

    Parameters
    ----------
    url : str
        The broker.

    Raises
    ------
    BrokerError
        It cannot be reached; also from `ask` and `take`.
    """

    def __init__(self, url: str) -> None:
        self._broker = open_broker(url)
        try:
            self._broker.declare((), topics=(STATUS_TOPIC, COMMAND_TOPIC))
            self._broker.listen(STATUS_TOPIC)
        except BaseException:
            self._broker.close()
            raise

    def ask(self, names: Iterable[str]) -> None:
        """Let services of these names, whoever serves them, tell their status now."""
        questions = [{"command": STATUS_COMMAND, "service": name} for name in names]
        self._broker.send(
            [Outgoing(json.dumps(each).encode(), topic=COMMAND_TOPIC, expiration_s=INTERVAL_S) for each in questions]
        )

    def take(self, timeout_s: float = 0.0) -> list[HeardStatus]:
        """Return what was heard since, and wait for one so long [s]."""
        heard = [_read(delivery) for delivery in self._broker.receive(_MANY, timeout_s=timeout_s)]
        return [status for status in heard if status is not None]

    def close(self) -> None:
        """Close the connection."""
        self._broker.close()


def _read(delivery: Delivery) -> HeardStatus | None:
    try:
        return msgspec.json.decode(delivery.body, type=HeardStatus)
    except (ValueError, RecursionError):
        return None


class StartingServices:
    """Knows which services are there and take no messages yet; asks for that when it is wanted the first time.

    Parameters
    ----------
    url : str
        The broker. Where it does not answer, or lets nobody listen, no service is known.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._heard: HeardStatuses | None = None
        self._is_away = False
        self._found: dict[str, tuple[str, float]] = {}

    def names(self) -> list[str]:
        """Return their names."""
        now = time.monotonic()
        for status in self._take():
            if status.is_starting:
                self._found[status.host] = printable(status.name), now
            else:
                self._found.pop(status.host, None)
        return sorted({name for name, heard_at in self._found.values() if now - heard_at < EXPIRATION_S})

    def _take(self) -> list[HeardStatus]:
        if self._is_away:
            return []
        try:
            if self._heard is None:
                self._heard = HeardStatuses(self._url)
                self._heard.ask(SERVICES)
            return self._heard.take()
        except BrokerError:
            self._is_away = True
            return []

    def close(self) -> None:
        """Close the connection."""
        if self._heard is not None:
            self._heard.close()
