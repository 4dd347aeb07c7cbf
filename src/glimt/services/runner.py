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
    BrokerRefusedError,
    DecodeError,
    GlimtError,
    LostDeliveryError,
    RecipeError,
    RejectedMessageError,
    UsageError,
)
from glimt.services.recipe_log import about_recipe
from glimt.services.recipe_step import RecipeStep
from glimt.services.runner_error_route import dead_letter, error_messages
from glimt.services.runner_failures import UNSENDABLE, FailureLog, RetryRule, Verdict, judge
from glimt.services.runner_message import read_step
from glimt.services.runner_settling import Settler
from glimt.services.service import Service
from glimt.services.service_activity import ServiceActivity, ServiceState

_MAX_AT_ONCE = 256
_WAIT_S = 1.0
_SUSPECT_FROM = 3
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
        self._at_hand: dict[int, Delivery] = {}
        self._is_wary = False
        self._stop = threading.Event()
        self._idle_at = time.monotonic()

    def open(self) -> None:
        """Make the queues that are missing and subscribe to all.

        Raises
        ------
        UsageError
            The service cannot run as it is set up.
        BrokerError
            The broker cannot be reached, or refuses.
        """
        self.activity.enter(ServiceState.STARTING)
        self.broker.declare(self.queues)
        for queue in self.queues:
            self.broker.subscribe(queue.name, prefetch=self._prefetch, exclusive=self.service.exclusive)
        self.service.connected(self.broker.has_queue)

    def run(self) -> None:
        """Handle messages until `stop` is called, then close the service; a broker that goes away is waited for.

        Raises
        ------
        UsageError
            The service cannot run as it is set up; see `open`.
        """
        try:
            with contextlib.suppress(_StoppedError):
                self._until_reached(self.open)
                while not self._stop.is_set():
                    self._until_reached(self._round)
        finally:
            self.close()

    def _round(self) -> None:
        try:
            self.poll(_WAIT_S if self.service.idle_s is None else min(_WAIT_S, self._idle_in_s()))
        except UsageError as error:  # it runs as it is set up: this is no reason never to start it again
            raise RuntimeError(f"the broker was used wrongly: {error}") from error

    def poll(self, timeout_s: float = 0.0) -> int:
        """Handle the messages that are there, waiting up to ``timeout_s`` for the first; return how many there were.

        When this returns all of them are settled, refused or lost to another receiver; those that were not dealt with
        when an exception leaves are handled by the next call.

        A message that was delivered before is fetched by itself, and is handled and settled by itself from its third
        delivery on: if it is what kills the process, its neighbors are not delivered once more because of it.

        Raises
        ------
        BrokerError
            The broker cannot be reached. Nothing is lost; call again.
        """
        deliveries, self._inbox = self._inbox, []
        if not deliveries:
            self.activity.enter(ServiceState.IDLE)
            limit = 1 if self._is_wary else min(self._prefetch, _MAX_AT_ONCE)
            deliveries = self.broker.receive(limit, timeout_s=timeout_s)
            self._is_wary = any(delivery.n_deliveries > 1 for delivery in deliveries)
        if deliveries:
            self.activity.enter(ServiceState.PROCESSING)
            self._at_hand = {id(delivery): delivery for delivery in deliveries}
            try:
                try:
                    self._handle_all(deliveries)
                finally:
                    self._settler.flush()
            finally:
                left, self._at_hand = self._at_hand, {}
                self._inbox = [*left.values(), *self._inbox]
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
        suspects = [delivery for delivery in deliveries if delivery.n_deliveries >= _SUSPECT_FROM]
        if max((delivery.n_deliveries for delivery in suspects), default=0) % 2 == 0:
            suspects.reverse()  # who killed the process is the first that is left: let its neighbors be done before it
        others = [delivery for delivery in deliveries if delivery.n_deliveries < _SUSPECT_FROM]
        size = max(self.service.batch, 1)
        groups = [[suspect] for suspect in suspects]
        groups += [others[first : first + size] for first in range(0, len(others), size)]
        for number, group in enumerate(groups):
            if self._stop.is_set() and number:
                return
            self._handle_group(group)
            if number < len(suspects) or self._settler.is_due():
                self._settler.flush()

    def _handle_group(self, deliveries: list[Delivery]) -> None:
        steps = [(delivery, step) for delivery in deliveries if (step := self._read(delivery))]
        if len(steps) < 2 or not self._handle_batch(steps):
            for delivery, step in steps:
                self._handle(delivery, step)

    def _done(self, delivery: Delivery) -> None:
        """Take a message as dealt with, or as the settler's."""
        self._at_hand.pop(id(delivery), None)

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
            except (Exception, SystemExit) as error:  # noqa: BLE001 - it raises what it likes; each is tried by itself now
                self._log.debug("a batch of %d failed, each is handled by itself: %s", len(steps), error)
                for number, (delivery, _) in enumerate(steps):
                    steps[number] = (delivery, self._read_again(delivery))
                return False
            duration_s = (time.perf_counter() - began) / len(steps)
        for delivery, step in steps:
            self._settle(delivery, step)
            self.activity.took(duration_s)
        return True

    def _handle(self, delivery: Delivery, step: RecipeStep) -> None:
        with about_recipe(step.recipe_id):
            began = time.perf_counter()
            try:
                self.service.handle(step)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - it raises what it likes, and only its message fails
                self._fail(delivery, step, error)
            else:
                self._settle(delivery, step)
            self.activity.took(time.perf_counter() - began)

    def _settle(self, delivery: Delivery, step: RecipeStep) -> None:
        self._settler.add(delivery, step.outgoing)
        self._done(delivery)

    def _idle(self) -> None:
        self._idle_at = time.monotonic()
        self.activity.enter(ServiceState.TIMER)
        try:
            messages = [message for step in self.service.idle() for message in step.outgoing]
        except (Exception, SystemExit) as error:  # noqa: BLE001 - as in _handle
            self._idle_failed(error)
            return
        if messages:
            self._send(messages)
        try:
            self.service.idle_done()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - as in _handle
            self._idle_failed(error)

    def _idle_failed(self, error: BaseException) -> None:
        self.activity.add("failed")
        verdict = Verdict(f"{type(error).__name__}: {error}", None, "failed", is_known=False)
        self._failures.write(None, error, verdict)

    def _send(self, messages: list[Outgoing]) -> None:
        """Send what idle work made; a message that the broker does not take goes to the dead letters."""
        try:
            self._persist(lambda: self.broker.send(messages))
        except UNSENDABLE as error:
            if len(messages) > 1:
                for message in messages:
                    self._send([message])
                return
            self.activity.add("failed")
            self._bury_answer(messages[0], str(error))

    def _bury_answer(self, message: Outgoing, reason: str) -> None:
        """Put a message that cannot be sent among the dead letters: of its queue, else of the service."""
        own = self.queues[0].name if self.queues else self.service.name
        headers = dead_letter_headers(message.headers, reason, message.queue)
        letter = replace(message, topic="", exchange="", delay_s=0.0, expiration_s=None, headers=headers)
        bare = Outgoing(message.body, queue=own, headers=dead_letter_headers({}, reason, own))
        for queue, made in ((message.queue, letter), (own, letter), (own, bare)):
            if not queue:
                continue
            name = dead_letter_queue(queue)
            try:
                self._declare_dead_letters(name)
                self._persist(lambda made=made, name=name: self.broker.send([replace(made, queue=name)]))  # type: ignore[misc]
            except UNSENDABLE:
                continue
            self._log.error("a message is a dead letter in %s: %s", name, reason)
            return
        self._log.error("a message is lost, as not even a dead letter can be made of it: %s", reason)

    def _declare_dead_letters(self, name: str) -> None:
        self._persist(lambda: self.broker.declare([QueueSpec(name, has_dead_letters=False)]))

    def _idle_in_s(self) -> float:
        return max((self.service.idle_s or 0.0) - (time.monotonic() - self._idle_at), 0.0)

    def _fail(self, delivery: Delivery, step: RecipeStep | None, error: BaseException) -> None:
        verdict = judge(error, delivery, self._retry)
        self._failures.write(delivery, error, verdict)
        self.activity.add(verdict.outcome)
        if verdict.retry_after_s is None:
            self._bury(delivery, verdict.reason, step)
            return
        delay_s = verdict.retry_after_s
        self._refuse(delivery, verdict.reason, delay_s)

    def _give_up(self, delivery: Delivery, reason: str) -> None:
        """Put a message that was handled, but whose answers cannot be sent, among the dead letters."""
        self.activity.add("rejected")
        self._log.error("message %s of %s is a dead letter: %s", delivery.message_id, delivery.queue, reason)
        try:
            step = self._read_again(delivery)
        except GlimtError:
            step = None
        self._bury(delivery, reason, step)

    def _bury(self, delivery: Delivery, reason: str, step: RecipeStep | None) -> None:
        """Put a message among the dead letters and tell the recipe's error route, as one."""
        messages = [] if step is None else self._error_messages(delivery, reason)
        if messages:
            try:
                if self._has_dead_letters.get(delivery.queue, True):
                    self._declare_dead_letters(dead_letter_queue(delivery.queue))
                    messages.append(dead_letter(delivery, reason))
                self._of_delivery(delivery, lambda: self.broker.settle([delivery], messages))
            except UNSENDABLE as error:
                self._log.error("the error route of the recipe cannot be used: %s", error)
            else:
                return
        self._refuse(delivery, reason, None)

    def _error_messages(self, delivery: Delivery, reason: str) -> list[Outgoing]:
        try:
            return error_messages(self._read_again(delivery), reason, self.service.name)
        except GlimtError as error:
            self._log.error("the error route of the recipe cannot be used: %s", error)
            return []

    def _refuse(self, delivery: Delivery, reason: str, retry_after_s: float | None) -> None:
        for delay_s in dict.fromkeys((retry_after_s, self._retry.longest_s)):
            try:
                self._of_delivery(
                    delivery,
                    lambda delay_s=delay_s: self.broker.refuse(delivery, reason, retry_after_s=delay_s),  # type: ignore[misc]
                )
            except UNSENDABLE as error:
                self._log.error("message %s of %s cannot be given back: %s", delivery.message_id, delivery.queue, error)
            else:
                return
        self._done(delivery)  # whatever else is tried will not help; it comes again when the service is started again

    def _of_delivery(self, delivery: Delivery, action: Callable[[], None]) -> None:
        try:
            self._persist(action)
        except LostDeliveryError as error:
            self.activity.add("lost")
            self._log.info("message %s will be delivered again: %s", delivery.message_id, error)
        self._done(delivery)

    def _persist(self, action: Callable[[], None]) -> None:
        """Call ``action`` until the broker takes it; errors that another attempt would not mend come through."""
        delay_s = _FIRST_BACK_OFF_S
        while True:
            try:
                action()
            except (LostDeliveryError, *UNSENDABLE):
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
            "the broker %s, nothing is lost; trying again: %s",
            "refuses" if isinstance(error, BrokerRefusedError) else "does not answer",
            error,
        )
        if self._stop.wait(delay_s):
            raise _StoppedError(str(error)) from error


class _StoppedError(BrokerError):
    """The broker did not answer until the service was told to stop."""
