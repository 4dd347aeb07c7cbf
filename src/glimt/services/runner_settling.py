"""Acknowledges handled messages together while more are waiting, and at once while none is."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from glimt.brokers.broker import Broker, Delivery, Outgoing
from glimt.model.errors import LostDeliveryError
from glimt.services.runner_failures import UNSENDABLE
from glimt.services.service_activity import ServiceActivity

MAX_TOGETHER = 64
MAX_AGE_S = 0.005


class _Handled(NamedTuple):
    delivery: Delivery
    outgoing: list[Outgoing]


class Settler:
    """Holds what was handled and is not yet acknowledged.

    Parameters
    ----------
    broker : Broker
    activity : ServiceActivity
        Where messages are counted once they are settled.
    persist : callable
        Calls what it is given until the broker takes it; errors of the message itself come through.
    give_up : callable
        Puts a message among the dead letters, with the reason.
    log : Logger
    """

    def __init__(
        self,
        broker: Broker,
        activity: ServiceActivity,
        persist: Callable[[Callable[[], None]], None],
        give_up: Callable[[Delivery, str], None],
        log: logging.Logger,
    ) -> None:
        self._broker, self._activity, self._persist, self._give_up, self._log = broker, activity, persist, give_up, log
        self._handled: list[_Handled] = []
        self._oldest = 0.0

    def add(self, delivery: Delivery, outgoing: Sequence[Outgoing]) -> None:
        """Take a message that was handled, and what it sent."""
        if not self._handled:
            self._oldest = time.monotonic()
        self._handled.append(_Handled(delivery, list(outgoing)))

    def is_due(self) -> bool:
        """Say whether what is held should be settled although more is waiting."""
        n = len(self._handled)
        return n >= MAX_TOGETHER or (n > 0 and time.monotonic() - self._oldest >= MAX_AGE_S)

    def flush(self) -> None:
        """Settle all that is held, as one; if that cannot be because of one message, each by itself.

        A message whose answers no broker takes is given up. What is not settled when an error comes through is still
        held.

        Raises
        ------
        BrokerError
            The broker cannot be reached and the service shall end: the messages will be delivered again.
        """
        if not self._handled:
            return
        n = len(self._handled)
        if n > 1:
            try:
                self._settle(self._handled[:n])
            except (LostDeliveryError, *UNSENDABLE):
                pass  # because of which of them is seen when each is by itself
            else:
                del self._handled[:n]
                return
        for _ in range(n):
            self._settle_first()

    def _settle_first(self) -> None:
        first = self._handled[0]
        try:
            self._settle([first])
        except (LostDeliveryError, *UNSENDABLE) as error:
            self._settle_failed(first, error)
        del self._handled[0]

    def _settle(self, group: list[_Handled]) -> None:
        done = [delivery for delivery, _ in group]
        messages = [message for _, outgoing in group for message in outgoing]
        self._persist(lambda: self._broker.settle(done, messages))
        self._activity.add("handled", len(group))

    def _settle_failed(self, handled: _Handled, error: Exception) -> None:
        if isinstance(error, LostDeliveryError):
            self._activity.add("lost")
            self._log.info("message %s will be delivered again: %s", handled.delivery.message_id, error)
        else:
            self._give_up(handled.delivery, str(error))
