"""Looks once, when services start, whether others that take the same messages open other folders to them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence

from glimt.app.heard_statuses import HeardStatus, HeardStatuses
from glimt.model.errors import BrokerError
from glimt.services.recipe_log import printable
from glimt.services.service_status import INTERVAL_S

_LOOK_S = INTERVAL_S + 2.0
_STEP_S = 0.25
_MAX_TEXT = 500
log = logging.getLogger("glimt")


class NeighborWatch(threading.Thread):
    """Asks for the statuses of services that take the same messages, and warns of those whose folders are others.

    Several commands may serve one broker, on as many machines; but a message then goes to any of them, and each has to
    be able to open its image. Where the broker does not answer nothing is said: services wait for it themselves.

    Parameters
    ----------
    url : str
        The broker.
    own : iterable of (str, tuple of str)
        Names of the services here, each with the queues that it takes messages of instead of its own.
    roots : sequence of str
        Folders in which images may lie here.
    tell : callable
        Takes a line for a human.
    """

    def __init__(
        self, url: str, own: Iterable[tuple[str, tuple[str, ...]]], roots: Sequence[str], tell: Callable[[str], None]
    ) -> None:
        super().__init__(name="neighbors", daemon=True)
        self._url, self._own, self._roots, self._tell = url, frozenset(own), tuple(roots), tell
        self._ended = threading.Event()
        self._told: set[tuple[str, ...]] = set()

    def run(self) -> None:
        """Listen until all services there are have told their status, or `end` is called."""
        try:
            heard = HeardStatuses(self._url)
            try:
                heard.ask(name for name, _ in self._own)
                until = time.monotonic() + _LOOK_S
                while time.monotonic() < until and not self._ended.is_set():
                    for status in heard.take(_STEP_S):
                        self._compare(status)
            finally:
                heard.close()
        except BrokerError as error:
            log.debug("other services were not looked for: %s", error)

    def end(self) -> None:
        """Listen no more."""
        self._ended.set()
        if self.ident is not None:
            self.join(2.0)

    def _compare(self, status: HeardStatus) -> None:
        known = tuple(sorted(status.roots))
        is_same = not known or known == tuple(sorted(self._roots))
        if is_same or (status.name, status.queues) not in self._own or known in self._told:
            return
        self._told.add(known)
        there, here = (", ".join(roots)[:_MAX_TEXT] for roots in (status.roots, self._roots))
        who = f"{status.name}, {status.process[:_MAX_TEXT]}"
        self._tell(
            printable(
                f"WARNING another `glimt serve` takes messages of the same queues ({who}), and opens other folders to"
                f" them: {there}; here it is {here}. A message goes to whichever is free, and is a dead letter if that"
                " one may not open its image. Start both with the same --root FOLDER, or give this one a broker of its"
                " own: [broker] url of a site file"
            )
        )
