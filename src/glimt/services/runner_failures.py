"""What becomes of a message that could not be handled, and what the log says of it."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from glimt.brokers.broker import MAX_DELIVERIES, Delivery
from glimt.model.errors import DecodeError, RecipeError, RejectedMessageError, RetryMessageError

_MAX_REASON = 2000
_MAX_KINDS = 1000


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


def judge(error: Exception, delivery: Delivery, rule: RetryRule) -> Verdict:
    """Decide what becomes of a message; see `glimt.services.service.Service`."""
    last = delivery.n_deliveries >= MAX_DELIVERIES
    if isinstance(error, RejectedMessageError | DecodeError | RecipeError):
        return Verdict(_short(str(error)), None, "rejected", is_known=True)
    if isinstance(error, RetryMessageError):
        delay = rule.delay_s(delivery.n_deliveries) if error.after_s is None else max(error.after_s, 0.0)
        return Verdict(_short(str(error)), None if last else delay, "rejected" if last else "retried", is_known=True)
    reason = _short(f"{type(error).__name__}: {error}")
    return Verdict(reason, None if last else rule.delay_s(delivery.n_deliveries), "failed", is_known=False)


class FailureLog:
    """Writes what failed: a traceback for each kind of error the first time, a line after that.

    Parameters
    ----------
    log : Logger
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._seen: dict[tuple[str, str, int], int] = {}
        self._waits: set[str] = set()

    def write(self, delivery: Delivery | None, error: Exception, verdict: Verdict) -> None:
        """Write what became of a message; ``None`` for what was done without one."""
        what = _fate(delivery, verdict)
        if verdict.is_known:
            self._log.log(self._level(verdict), "%s: %s", what, verdict.reason)
            return
        kind = _kind(error)
        n_before = self._seen.get(kind, 0)
        if len(self._seen) < _MAX_KINDS or n_before:
            self._seen[kind] = n_before + 1
        if n_before == 0:
            self._log.error("%s: %s", what, verdict.reason, exc_info=error)
        else:
            self._log.error("%s: %s (its traceback is above; %d times so far)", what, verdict.reason, n_before + 1)

    def _level(self, verdict: Verdict) -> int:
        """Return how loud to be: of a thousand messages that wait for the same, one line is enough."""
        if verdict.retry_after_s is None:
            return logging.ERROR
        if verdict.reason in self._waits or len(self._waits) >= _MAX_KINDS:
            return logging.DEBUG
        self._waits.add(verdict.reason)
        return logging.INFO


def _fate(delivery: Delivery | None, verdict: Verdict) -> str:
    if delivery is None:
        return "idle work failed"
    fate = f"is tried again in {verdict.retry_after_s:g} s" if verdict.retry_after_s is not None else "is a dead letter"
    return f"message {delivery.message_id} of {delivery.queue} {fate} (delivery {delivery.n_deliveries})"


def _kind(error: Exception) -> tuple[str, str, int]:
    """Return type and place of an error; the same place with other values is the same kind."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    name = type(error).__name__
    return (name, "", 0) if trace is None else (name, trace.tb_frame.f_code.co_filename, trace.tb_lineno)


def _short(text: str) -> str:
    shown = text if len(text) <= _MAX_REASON else f"{text[: _MAX_REASON - 1]}…"
    return shown or "no reason was given"
