"""What becomes of a message that could not be handled, and what the log says of it."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from glimt.brokers.broker import MAX_DELIVERIES, Delivery
from glimt.model.errors import (
    BrokerRefusedError,
    DecodeError,
    RecipeError,
    RejectedMessageError,
    RetryMessageError,
    UnknownQueueError,
    UsageError,
)
from glimt.model.recipe_envelope import MAX_DELAY_S
from glimt.services.recipe_log import current_recipe_id

_MAX_REASON = 2000
_MAX_KINDS = 1000
_WAITS_EVERY_S = 60.0

UNSENDABLE = (UnknownQueueError, UsageError, BrokerRefusedError)
"""What a broker raises at a message that it will never take: the message is at fault, not the service."""

_Kind = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class RetryRule:
    """How long a message waits until it is tried again.

    Attributes
    ----------
    first_s : float
        After the first failure [s]; twice as long after each further one.
    longest_s : float
        But never longer [s].
    """

    first_s: float = 1.0
    longest_s: float = 300.0

    def delay_s(self, n_deliveries: int) -> float:
        """Return how long to wait [s] after so many deliveries."""
        return min(self.first_s * 2.0 ** min(max(n_deliveries - 1, 0), 60), self.longest_s)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a message that raised.

    Attributes
    ----------
    reason : str
    retry_after_s : float or None
        ``None``: never again.
    outcome : str
        What it counts as; one of `glimt.services.service_activity.COUNTS`.
    is_known : bool
        The error was raised on purpose: it needs no traceback.
    """

    reason: str
    retry_after_s: float | None
    outcome: str
    is_known: bool


def judge(error: BaseException, delivery: Delivery, rule: RetryRule) -> Verdict:
    """Decide what becomes of a message; see `glimt.services.service.Service`."""
    last = delivery.n_deliveries >= MAX_DELIVERIES
    if isinstance(error, RejectedMessageError | DecodeError | RecipeError):
        return Verdict(_short(str(error)), None, "rejected", is_known=True)
    if isinstance(error, RetryMessageError):
        delay = (
            rule.delay_s(delivery.n_deliveries) if error.after_s is None else min(max(0.0, error.after_s), MAX_DELAY_S)
        )
        return Verdict(_short(str(error)), None if last else delay, "rejected" if last else "retried", is_known=True)
    reason = _short(f"{type(error).__name__}: {error}")
    return Verdict(reason, None if last else rule.delay_s(delivery.n_deliveries), "failed", is_known=False)


class FailureLog:
    """Writes what failed: a traceback for each kind of error the first time, a line after that.

    What is tried again because its time has not come is told once a minute for each kind. Errors are of one kind when
    they have the same type and come from the same line, whatever their text is. Dead letters of one run, queue and
    reason are told once: the broker keeps them, and `glimt broker dead-letters` counts them.

    Parameters
    ----------
    log : Logger
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._seen: dict[_Kind, int] = {}
        self._waits: dict[_Kind, tuple[float, int]] = {}
        self._refused: dict[tuple[str, str, str], int] = {}

    def write(self, delivery: Delivery | None, error: BaseException, verdict: Verdict) -> None:
        """Write what became of a message; ``None`` for what was done without one."""
        what = _fate(delivery, verdict)
        if verdict.is_known:
            if verdict.retry_after_s is None:
                self._write_refused(what, delivery, verdict)
            else:
                self._write_wait(what, error, verdict)
            return
        kind = _kind(error)
        n_before = self._seen.get(kind, 0)
        if len(self._seen) < _MAX_KINDS or n_before:
            self._seen[kind] = n_before + 1
        if n_before == 0:
            self._log.error("%s: %s", what, verdict.reason, exc_info=error)
        else:
            self._log.error("%s: %s (its traceback is above; %d times so far)", what, verdict.reason, n_before + 1)

    def _write_refused(self, what: str, delivery: Delivery | None, verdict: Verdict) -> None:
        """Write that a message is a dead letter: at the second one like it, that more may come."""
        key = (current_recipe_id(), "" if delivery is None else delivery.queue, verdict.reason)
        n_before = self._refused.get(key, 0)
        if len(self._refused) >= _MAX_KINDS and not n_before:
            self._refused.clear()
        self._refused[key] = n_before + 1
        if n_before == 0:
            self._log.error("%s: %s", what, verdict.reason)
        elif n_before == 1:
            self._log.error("%s for the same reason; glimt broker dead-letters counts those that follow", what)
        else:
            self._log.debug("%s: %s", what, verdict.reason)

    def _write_wait(self, what: str, error: BaseException, verdict: Verdict) -> None:
        """Write that a message waits: of a thousand that wait for the same, one line a minute is enough."""
        kind, now = _kind(error), time.monotonic()
        told_at, n_untold = self._waits.get(kind, (float("-inf"), 0))
        if now - told_at < _WAITS_EVERY_S:
            self._waits[kind] = told_at, n_untold + 1
            self._log.debug("%s: %s", what, verdict.reason)
            return
        if len(self._waits) >= _MAX_KINDS:
            self._waits.clear()
        self._waits[kind] = now, 0
        more = f" (and {n_untold} like it in the meantime)" if n_untold else ""
        self._log.info("%s: %s%s", what, verdict.reason, more)


def _fate(delivery: Delivery | None, verdict: Verdict) -> str:
    if delivery is None:
        return "idle work failed"
    fate = f"is tried again in {verdict.retry_after_s:g} s" if verdict.retry_after_s is not None else "is a dead letter"
    return f"message {delivery.message_id} of {delivery.queue} {fate} (delivery {delivery.n_deliveries})"


def _kind(error: BaseException) -> _Kind:
    """Return type and place of an error; the same place with other values is the same kind."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    name = type(error).__name__
    return (name, "", 0) if trace is None else (name, trace.tb_frame.f_code.co_filename, trace.tb_lineno)


def _short(text: str) -> str:
    shown = text if len(text) <= _MAX_REASON else f"{text[: _MAX_REASON - 1]}…"
    return shown or "no reason was given"
