"""Runs plug-in services that were written for python-workflows, on a glimt broker: theirs or our ``CommonService``."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from types import SimpleNamespace
from typing import Any

from glimt.brokers.broker import Broker, Delivery
from glimt.compat.workflows_transport import BrokerTransport
from glimt.model.errors import BrokerError, BrokerRefusedError, LostDeliveryError, UnknownQueueError

_WAIT_S = 2.0
_BACK_OFF_S = 0.5
_AT_ONCE = 100
_IDLE, _TIMER, _PROCESSING, _STARTING, _SHUTDOWN, _END = 2, 3, 4, 1, 5, 6
_log = logging.getLogger("glimt.plugin")


def is_plugin(found: type[Any]) -> bool:
    """Say whether a class inherits from ``workflows.services.common_service.CommonService``, whichever that is."""
    return any(each.__name__ == "CommonService" and each is not found for each in found.__mro__)


class PluginRunner:
    """Runs one plug-in service: one thread, which also calls its callbacks.

    Parameters
    ----------
    service_class : type
    broker : Broker
    configuration : mapping
        What the service sees as ``self.config``: entries are attributes, and ``storage`` is always there.
    on_state : callable
        Told Zocalo's status codes.
    on_outcome : callable
        Told ``handled`` or ``failed`` for each message.
    about : callable
        Makes the context in which a message of a recipe is handled, from the identity of the recipe.
    """

    def __init__(
        self,
        service_class: type[Any],
        broker: Broker,
        *,
        configuration: Mapping[str, Any] | None = None,
        on_state: Callable[[int], None] = lambda _code: None,
        on_outcome: Callable[[str], None] = lambda _outcome: None,
        about: Callable[[str], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        self.broker = broker
        self._on_state, self._on_outcome, self._about = on_state, on_outcome, about
        self._stop = threading.Event()
        self._is_told = False
        self._kept: list[Delivery] = []
        self.transport = BrokerTransport(broker, _error_of(service_class))
        config = SimpleNamespace(**{"storage": {}, **(configuration or {})})
        self.service = service_class(environment={"config": config})
        self.service.transport = self.transport
        self.service.connect(frontend=self)
        self._last_message_at = time.monotonic()

    def send(self, message: Any) -> None:
        """Take what the service tells whoever runs it."""
        if isinstance(message, dict) and message.get("band") == "request_termination":
            self._stop.set()

    @property
    def has_ended_itself(self) -> bool:
        """Whether the service itself asked to be ended."""
        return self._is_over() and not self._is_told

    def stop(self) -> None:
        """Let `run` return after the message at hand; from any thread, but not from a signal handler."""
        self._is_told = True
        self._stop.set()
        self.broker.wake()

    def open(self) -> None:
        """Start the service, which subscribes to what it wants; then `poll` hands it its messages."""
        self._on_state(_STARTING)
        self.service.log = logging.getLogger(self.service._logger_name)  # noqa: SLF001 - workflows' contract
        self.service.initializing()
        self._last_message_at = time.monotonic()

    def close(self) -> None:
        """Let the service end, and throw away what is left in its temporary queues."""
        self._on_state(_SHUTDOWN)
        try:
            self.service.in_shutdown()
        finally:
            self.transport.leave()
            self._on_state(_END)

    def run(self) -> None:
        """Start the service and hand it its messages until it is to stop."""
        self.open()
        try:
            while not self._is_over():
                try:
                    self.poll(self._patience_s())
                except BrokerError as error:
                    _log.warning("the broker does not answer, nothing is lost; trying again: %s", error)
                    self._stop.wait(_BACK_OFF_S)
        finally:
            self.close()

    def poll(self, timeout_s: float = 0.0) -> int:
        """Hand over what is there; return how many messages that were.

        Raises
        ------
        BrokerError
            The broker cannot be reached; messages that were not handed over yet are with the next call.
        """
        self._on_state(_IDLE)
        self.transport.give_back()
        deliveries, self._kept = self._kept, []
        if not deliveries:
            deliveries = self.broker.receive(_AT_ONCE, timeout_s=timeout_s)
        for number, delivery in enumerate(deliveries):
            if number and self._is_over():
                break  # the rest is delivered again
            self._on_state(_PROCESSING)
            try:
                self._hand_over(delivery)
            except BaseException:
                self._kept = deliveries[number + 1 :]
                raise
            self._last_message_at = time.monotonic()
        if not deliveries:
            self._idle()
        return len(deliveries)

    def _hand_over(self, delivery: Delivery) -> None:
        with self._about(_recipe_id(delivery)):
            try:
                self.transport.dispatch(delivery)
            except (Exception, SystemExit) as error:  # it raises what it likes, and only its message fails
                if _is_of_broker(error):
                    raise
                self._on_outcome("failed")
                _log.error("message %s of %s failed: %s", delivery.message_id, delivery.queue, error, exc_info=error)
            else:
                self._on_outcome("handled")

    def _idle(self) -> None:
        callback, after_s = self.service._idle_callback, self.service._idle_time  # noqa: SLF001 - workflows' contract
        if callback is None or after_s is None or time.monotonic() - self._last_message_at < after_s:
            return
        self._on_state(_TIMER)
        self._last_message_at = time.monotonic()
        try:
            callback()
        except (Exception, SystemExit) as error:  # as in _hand_over
            if _is_of_broker(error):
                raise
            self._on_outcome("failed")
            _log.exception("idle work failed")

    def _patience_s(self) -> float:
        after_s = self.service._idle_time  # noqa: SLF001 - workflows' contract
        if after_s is None:
            return _WAIT_S
        return min(max(float(after_s) - (time.monotonic() - self._last_message_at), 0.0), _WAIT_S)

    def _is_over(self) -> bool:
        return self._stop.is_set() or bool(getattr(self.service, "_CommonService__shutdown", False))


def _is_of_broker(error: BaseException) -> bool:
    """Say whether the broker does not answer; what it refuses is the fault of the message."""
    refusals = UnknownQueueError | BrokerRefusedError | LostDeliveryError
    return isinstance(error, BrokerError) and not isinstance(error, refusals)


def _error_of(service_class: type[Any]) -> type[Exception]:
    """Return ``workflows.Error`` of the package that the service was made with."""
    for each in service_class.__mro__:
        if each.__name__ == "CommonService":
            import importlib

            package = importlib.import_module(each.__module__.rsplit(".", 2)[0])
            error = getattr(package, "Error", None)
            if isinstance(error, type) and issubclass(error, Exception):
                return error
    return RuntimeError


def _recipe_id(delivery: Delivery) -> str:
    if b'"ID"' not in delivery.body:
        return ""
    try:
        environment = json.loads(delivery.body).get("environment") or {}
        return str(environment.get("ID", ""))
    except (ValueError, AttributeError, RecursionError):
        return ""
