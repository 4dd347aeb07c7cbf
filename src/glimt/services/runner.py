"""Runs a service: gets its messages, lets it handle them; no message is lost, and none ends the service."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from glimt.brokers.broker import Broker, Delivery, Outgoing, QueueSpec
from glimt.brokers.dead_letter import dead_letter_headers, dead_letter_queue
from glimt.model.errors import (
    BrokerError,
    DecodeError,
    LostDeliveryError,
    RecipeError,
    RejectedMessageError,
    UnknownQueueError,
)
from glimt.services.recipe_log import about_recipe
from glimt.services.recipe_step import RecipeStep
from glimt.services.runner_error_route import dead_letter, error_messages
from glimt.services.runner_failures import FailureLog, RetryRule, Verdict, judge
from glimt.services.runner_message import read_step
from glimt.services.runner_settling import Settler
from glimt.services.service import Service
from glimt.services.service_activity import ServiceActivity, ServiceState

_MAX_AT_ONCE = 256
_WAIT_S = 1.0
_FIRST_BACK_OFF_S, _LONGEST_BACK_OFF_S = 0.1, 5.0


class ServiceRunner:
    """Runs one service on one connection to a broker.

    Parameters
    ----------
    service : Service
    broker : Broker
        Used by the thread that calls `poll` or `run`, and by no other.
    queues : sequence of QueueSpec
        The queues it takes messages from; empty for the service's own. They are made if they are missing.
    prefetch : int or None
        Messages fetched ahead; ``None`` for what the service says.
    retry : RetryRule
        When a message that failed is tried again.
    activity : ServiceActivity or None
        Where the account is kept.
    """

    def __init__(
        self,
        service: Service,
        broker: Broker,
        *,
        queues: Sequence[QueueSpec] = (),
        prefetch: int | None = None,
        retry: RetryRule | None = None,
        activity: ServiceActivity | None = None,
    ) -> None:
        self.service, self.broker = service, broker
        self.queues = tuple(queues) or tuple(QueueSpec(name) for name in service.queues)
        self.activity = activity or ServiceActivity()
        self._prefetch = prefetch or max(service.prefetch, service.batch, 1)
        self._retry = retry or RetryRule()
        self._has_dead_letters = {queue.name: queue.has_dead_letters for queue in self.queues}
        self._log = logging.getLogger(f"glimt.services.{service.name}")
        self._failures = FailureLog(self._log)
        self._settler = Settler(broker, self.activity, self._persist, self._give_up, self._log)
        self._inbox: list[Delivery] = []
        self._stop = threading.Event()
        self._idle_at = time.monotonic()

    def open(self) -> None:
        """Make the queues that are missing and subscribe to all.

        Raises
        ------
        BrokerError
            The broker cannot be reached, or refuses.
        """
        self.activity.enter(ServiceState.STARTING)
        self.broker.declare(self.queues)
        for queue in self.queues:
            self.broker.subscribe(queue.name, prefetch=self._prefetch, exclusive=self.service.exclusive)
        self.service.connected(self.broker.has_queue)

    def run(self) -> None:
        """Handle messages until `stop` is called, then close the service; a broker that goes away is waited for."""
        try:
            with contextlib.suppress(_StoppedError):
                self._until_reached(self.open)
                while not self._stop.is_set():
                    self._until_reached(self._round)
        finally:
            self.close()

    def _round(self) -> None:
        self.poll(_WAIT_S if self.service.idle_s is None else min(_WAIT_S, self._idle_in_s()))

    def poll(self, timeout_s: float = 0.0) -> int:
        """Handle the messages that are there, waiting up to ``timeout_s`` for the first; return how many there were.

        When this returns all of them are settled, refused or lost to another receiver.

        Raises
        ------
        BrokerError
            The broker cannot be reached. Nothing is lost; call again.
        """
        deliveries, self._inbox = self._inbox, []
        if not deliveries:
            self.activity.enter(ServiceState.IDLE)
            deliveries = self.broker.receive(min(self._prefetch, _MAX_AT_ONCE), timeout_s=timeout_s)
        if deliveries:
            self.activity.enter(ServiceState.PROCESSING)
            try:
                self._handle_all(deliveries)
            finally:
                self._settler.flush()
        if self.service.idle_s is not None and self._idle_in_s() <= 0:
            self._idle()
        self.activity.enter(ServiceState.IDLE)
        return len(deliveries)

    def stop(self) -> None:
        """Let `run` return after the message at hand; from any thread, but not from a signal handler."""
        self._stop.set()
        self.service.stop()
        self.broker.wake()

    @property
    def is_stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stop.is_set()

    def close(self) -> None:
        """Close the service; what it raises goes to the log."""
        self.activity.enter(ServiceState.SHUTTING_DOWN)
        try:
            self.service.close()
        except Exception:  # noqa: BLE001 - a service raises what it likes, and this is the end of it anyway
            self._log.exception("closing the service failed")
        self.activity.enter(ServiceState.SHUTDOWN)

    def _handle_all(self, deliveries: list[Delivery]) -> None:
        """Handle messages; those that are left when the service shall stop are handed back by closing the broker."""
        size = max(self.service.batch, 1)
        for first in range(0, len(deliveries), size):
            if self._stop.is_set() and first:
                return
            steps = [
                (delivery, step) for delivery in deliveries[first : first + size] if (step := self._read(delivery))
            ]
            if len(steps) < 2 or not self._handle_batch(steps):
                for delivery, step in steps:
                    self._handle(delivery, step)
            if self._settler.is_due():
                self._settler.flush()

    def _read(self, delivery: Delivery) -> RecipeStep | None:
        try:
            return read_step(delivery, accepts_plain=self.service.accepts_plain)
        except (DecodeError, RecipeError, RejectedMessageError) as error:
            self._fail(delivery, None, error)
            return None

    def _read_again(self, delivery: Delivery) -> RecipeStep:
        """Return the step as it came: what the service did to its payload does not matter."""
        return read_step(delivery, accepts_plain=self.service.accepts_plain)

    def _handle_batch(self, steps: list[tuple[Delivery, RecipeStep]]) -> bool:
        """Let the service handle several at once; say whether it did. If not, the steps are as they were."""
        recipe_ids = {step.recipe_id for _, step in steps}
        with about_recipe(recipe_ids.pop() if len(recipe_ids) == 1 else ""):
            began = time.perf_counter()
            try:
                self.service.handle_batch([step for _, step in steps])
            except Exception as error:  # noqa: BLE001 - a service raises what it likes; each message is tried by itself now
                self._log.debug("a batch of %d failed, each is handled by itself: %s", len(steps), error)
                for number, (delivery, _) in enumerate(steps):
                    steps[number] = (delivery, self._read_again(delivery))
                return False
            duration_s = (time.perf_counter() - began) / len(steps)
        for delivery, step in steps:
            self._settler.add(delivery, step.outgoing)
            self.activity.took(duration_s)
        return True

    def _handle(self, delivery: Delivery, step: RecipeStep) -> None:
        with about_recipe(step.recipe_id):
            began = time.perf_counter()
            try:
                self.service.handle(step)
            except Exception as error:  # noqa: BLE001 - a service raises what it likes, and only its message fails
                self._fail(delivery, step, error)
            else:
                self._settler.add(delivery, step.outgoing)
            self.activity.took(time.perf_counter() - began)

    def _idle(self) -> None:
        self._idle_at = time.monotonic()
        self.activity.enter(ServiceState.TIMER)
        try:
            messages = [message for step in self.service.idle() for message in step.outgoing]
        except Exception as error:  # noqa: BLE001 - as in _handle
            self.activity.add("failed")
            reason = f"{type(error).__name__}: {error}"
            self._failures.write(None, error, Verdict(reason, None, "failed", is_known=False))
            return
        if messages:
            self._send(messages)
        self.service.idle_done()

    def _send(self, messages: list[Outgoing]) -> None:
        """Send what idle work made; a message whose queue is unknown goes to the dead letters."""
        try:
            self._persist(lambda: self.broker.send(messages))
        except UnknownQueueError as error:
            if len(messages) > 1:
                for message in messages:
                    self._send([message])
                return
            self.activity.add("failed")
            self._log.error("a message is a dead letter: %s", error)
            name, reason = dead_letter_queue(messages[0].queue), str(error)
            self.broker.declare([QueueSpec(name, has_dead_letters=False)])
            headers = dead_letter_headers(messages[0].headers, reason, messages[0].queue)
            self._send([replace(messages[0], queue=name, exchange="", delay_s=0.0, headers=headers)])

    def _idle_in_s(self) -> float:
        return max((self.service.idle_s or 0.0) - (time.monotonic() - self._idle_at), 0.0)

    def _fail(self, delivery: Delivery, step: RecipeStep | None, error: Exception) -> None:
        verdict = judge(error, delivery, self._retry)
        self._failures.write(delivery, error, verdict)
        self.activity.add(verdict.outcome)
        if verdict.retry_after_s is None:
            self._bury(delivery, verdict.reason, step)
            return
        delay_s = verdict.retry_after_s
        self._of_delivery(delivery, lambda: self.broker.refuse(delivery, verdict.reason, retry_after_s=delay_s))

    def _give_up(self, delivery: Delivery, reason: str) -> None:
        """Put a message that was handled, but whose answers cannot be sent, among the dead letters."""
        self.activity.add("rejected")
        self._log.error("message %s of %s is a dead letter: %s", delivery.message_id, delivery.queue, reason)
        self._bury(delivery, reason, self._read(delivery))

    def _bury(self, delivery: Delivery, reason: str, step: RecipeStep | None) -> None:
        """Put a message among the dead letters and tell the recipe's error route, as one."""
        messages: list[Outgoing] = []
        if step is not None:
            messages = error_messages(self._read_again(delivery), reason, self.service.name)
        if messages:
            if self._has_dead_letters.get(delivery.queue, True):
                self.broker.declare([QueueSpec(dead_letter_queue(delivery.queue), has_dead_letters=False)])
                messages.append(dead_letter(delivery, reason))
            try:
                self._of_delivery(delivery, lambda: self.broker.settle([delivery], messages))
            except UnknownQueueError as error:
                self._log.error("the error route of the recipe cannot be used: %s", error)
            else:
                return
        self._of_delivery(delivery, lambda: self.broker.refuse(delivery, reason))

    def _of_delivery(self, delivery: Delivery, action: Callable[[], None]) -> None:
        try:
            self._persist(action)
        except LostDeliveryError as error:
            self.activity.add("lost")
            self._log.info("message %s will be delivered again: %s", delivery.message_id, error)

    def _persist(self, action: Callable[[], None]) -> None:
        """Call ``action`` until the broker takes it; errors that another attempt would not mend come through."""
        delay_s = _FIRST_BACK_OFF_S
        while True:
            try:
                action()
            except (LostDeliveryError, UnknownQueueError):
                raise
            except BrokerError as error:
                self._wait_for_broker(error, delay_s)
                delay_s = min(2 * delay_s, _LONGEST_BACK_OFF_S)
                with contextlib.suppress(BrokerError):  # receiving is what makes a new connection
                    self._inbox += self.broker.receive(1, timeout_s=0.0)
            else:
                return

    def _until_reached(self, action: Callable[[], object]) -> None:
        """Call ``action`` until the broker can be reached."""
        delay_s = _FIRST_BACK_OFF_S
        while True:
            try:
                action()
            except BrokerError as error:
                self._wait_for_broker(error, delay_s)
                delay_s = min(2 * delay_s, _LONGEST_BACK_OFF_S)
            else:
                return

    def _wait_for_broker(self, error: BrokerError, delay_s: float) -> None:
        self._log.log(
            logging.WARNING if delay_s <= _FIRST_BACK_OFF_S else logging.DEBUG,
            "the broker does not answer, nothing is lost; trying again: %s",
            error,
        )
        if self._stop.wait(delay_s):
            raise _StoppedError(str(error)) from error


class _StoppedError(BrokerError):
    """The broker did not answer until the service was told to stop."""
