"""The ISPyB service: writes what other services found into the results database."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import msgspec

from glimt.brokers.broker import Outgoing
from glimt.model.errors import RejectedMessageError, ResultsDatabaseError, RetryMessageError
from glimt.services.ispyb_command import CommandRun
from glimt.services.ispyb_fields import Fields
from glimt.services.ispyb_images import STORE_IMAGE_RESULTS, StoreImageResults, image_row, write_image_rows
from glimt.services.ispyb_sequence import UnresolvedError, command_name, run_message
from glimt.services.recipe_step import RecipeStep
from glimt.services.service import Service, ServiceSetup
from glimt.services.service_configuration import read_configuration
from glimt.stores.results_db import ResultsBusyError, ResultsDatabase
from glimt.stores.results_done import done_metadata, forget_results, record_result, recorded_result

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

T = TypeVar("T")

_LOG = logging.getLogger(__name__)

_POLL_S = 1.0
_AGAIN_S = 0.1
_MAX_AGAIN = 2
_BUFFER_DELAY_S = 20.0
_BUFFER_EXPIRES_S = 600.0
_EXPIRY = "buffer_expiry_time"
_PRUNE_EVERY_S = 3600.0
_LONGEST_RUN = 200


class IspybConfiguration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table ``[services.ispyb]`` of a site file.

    Attributes
    ----------
    idempotency : bool
        Keep in a table of glimt's own (``glimt_done``) which messages were done. False where no table may be added: a
        message that is delivered again after a failure then writes its rows again.
    keep_done_days : float
        How long that is kept.
    wait_s : float
        How long a message waits for a database that is away or locked; when it has been so for so long messages are
        given back, delivered again, and after six deliveries are dead letters. A message that fails while the database
        answers is tried twice more, and is a dead letter then.
    """

    idempotency: bool = True
    keep_done_days: float = 14.0
    wait_s: float = 600.0


class _Outcome(msgspec.Struct):
    """What came of a message: kept with its rows, and sent once they are safe; and which run it was of."""

    result: Any = None
    stored: dict[str, Any] = {}
    messages: list[tuple[str, Any]] = []
    run: str = ""


class IspybService(Service):
    """Runs the ``ispyb_command`` of each message in one transaction; per-image results many at a time.

    Raises
    ------
    UsageError
        The configuration or the address of the database is wrong, or an optional package is missing.
    """

    name: ClassVar[str] = "ispyb"
    title: ClassVar[str] = "DLS ISPyB connector"
    queues: ClassVar[tuple[str, ...]] = ("ispyb_connector", "ispyb_pia")
    accepts_plain: ClassVar[bool] = True
    prefetch: ClassVar[int] = 200
    batch: ClassVar[int] = 100
    idle_s: ClassVar[float | None] = 60.0

    def __init__(self, setup: ServiceSetup) -> None:
        super().__init__(setup)
        self._configuration = read_configuration(setup, self.name, IspybConfiguration)
        self._database = ResultsDatabase(setup.results_url)
        self._is_prepared = False
        self._away_since: float | None = None
        self._next_pruning = time.monotonic()
        self._closing = threading.Event()

    def handle(self, step: RecipeStep) -> None:
        """Run the command of a message and send its result."""
        fields, message = _fields(step)
        command_name(fields)
        try:
            outcome = self._write(lambda session: self._run_once(session, step, fields, message))
        except UnresolvedError as error:
            self._postpone(step, fields, message, str(error))
            return
        _send(step, outcome)

    def handle_batch(self, steps: Sequence[RecipeStep]) -> None:
        """Run the commands of several messages in one transaction; all or nothing."""
        prepared = [(step, *_fields(step)) for step in steps]
        for _, fields, _message in prepared:
            command_name(fields)

        def work(session: Session) -> list[_Outcome]:
            run = CommandRun(session, self.setup.roots, {})
            rows: list[dict[str, Any]] = []
            outcomes = []
            for step, fields, message in prepared:
                if command_name(fields) == STORE_IMAGE_RESULTS.name:
                    rows.append(image_row(run.now, _image(fields)))
                    outcomes.append(_image_outcome(fields, rows[-1]))
                else:
                    outcomes.append(self._run_once(session, step, fields, message))
            write_image_rows(session, rows)
            return outcomes

        try:
            outcomes = self._write(work)
        except UnresolvedError as error:
            raise RetryMessageError(str(error)) from None  # each by itself, then
        for (step, _, _message), outcome in zip(prepared, outcomes, strict=True):
            _send(step, outcome)

    def _run_once(self, session: Session, step: RecipeStep, fields: Fields, message: Mapping[str, Any]) -> _Outcome:
        """Run a command, unless its message was done before: then what came of it is returned again."""
        name = command_name(fields)
        if name == STORE_IMAGE_RESULTS.name:  # bears to be done twice, and there are thousands
            row = image_row(CommandRun(session, (), {}).now, _image(fields))
            write_image_rows(session, [row])
            return _image_outcome(fields, row)
        # Without an identity of its own, another message that says the same would be taken for this one.
        is_kept = self._configuration.idempotency and step.is_identified
        if is_kept:
            known = recorded_result(session, step.message_id)
            if known is not None:
                return msgspec.convert(known, _Outcome)
        run = CommandRun(session, self.setup.roots, dict(step.environment))
        result = run_message(fields, message, run)
        outcome = _Outcome(result, run.stored, run.messages, str(step.environment.get("ID") or "")[:_LONGEST_RUN])
        if is_kept:
            record_result(session, step.message_id, name, outcome)
        return outcome

    def _write(self, work: Callable[[Session], T]) -> T:
        """Do something in a transaction; while the database is away, wait for it and begin anew."""
        n_again = 0
        while True:
            try:
                self._prepare()
                with self._database.transaction() as session:
                    done = work(session)
                self._note_answer()
                return done
            except ResultsDatabaseError as error:
                if isinstance(error, ResultsBusyError) or not self._database.answers():
                    n_again = 0
                    self._wait_for_database(error)
                    continue
                self._note_answer()
                if n_again == _MAX_AGAIN:
                    raise RejectedMessageError(f"{error} (the database answers otherwise)") from None
                if self._closing.wait(_AGAIN_S * random.uniform(0.5, 1.0)):
                    raise RetryMessageError(str(error)) from None
                n_again += 1
            except Exception:
                self._note_answer()
                raise

    def _note_answer(self) -> None:
        if self._away_since is not None:
            _LOG.info("the results database is back after %.0f s", time.monotonic() - self._away_since)
            self._away_since = None

    def _wait_for_database(self, error: ResultsDatabaseError) -> None:
        if self._away_since is None:
            self._away_since = time.monotonic()
            _LOG.warning("waiting for the results database: %s", error)
        left_s = self._away_since + self._configuration.wait_s - time.monotonic()
        if left_s <= 0 or self._closing.is_set():
            if isinstance(error, ResultsBusyError):
                self._away_since = None  # it answered: the next message may have its turn
            raise RetryMessageError(str(error)) from None
        # Two that got into each other's way shall not meet again.
        self._closing.wait(min(left_s, _POLL_S * random.uniform(0.5, 1.0)))

    def _prepare(self) -> None:
        if self._is_prepared:
            return
        extra = done_metadata() if self._configuration.idempotency else None
        # A server's tables are there and belong to whoever runs it; a file is ours to make.
        self._database.prepare(extra, ispyb=self._database.is_sqlite)
        self._is_prepared = True

    def _postpone(self, step: RecipeStep, fields: Fields, message: Mapping[str, Any], why: str) -> None:
        """Send the message to this queue again, later; reject it when it has waited for long enough."""
        now = time.time()
        expires = fields.get(_EXPIRY)
        latest = now + _BUFFER_EXPIRES_S
        if not isinstance(expires, (int, float)) or not expires <= latest or _was_replayed(step):
            expires = latest  # what a message says of itself, not-a-number included, makes it wait no longer
        if now >= expires:
            raise RejectedMessageError(f"{why}, and the message has waited {_BUFFER_EXPIRES_S:g} s for it")
        again = {**message, _EXPIRY: expires}
        delay_s = _delay(fields)
        if step.recipe is not None:
            step.checkpoint(again, delay_s=delay_s)
            return
        body = msgspec.json.encode({**step.payload, "content": again})
        step.post(Outgoing(body=body, queue=step.queue, delay_s=delay_s))

    def idle(self) -> Sequence[RecipeStep]:
        """Forget, now and then, what was done long ago."""
        if self._configuration.idempotency and time.monotonic() >= self._next_pruning:
            self._next_pruning = time.monotonic() + _PRUNE_EVERY_S
            age = timedelta(days=self._configuration.keep_done_days)
            try:
                self._prepare()
                with self._database.transaction() as session:
                    forget_results(session, older_than=age)
            except ResultsDatabaseError:
                pass  # it will be old in an hour, too
        return ()

    def stop(self) -> None:
        """Let a message that waits for the database go back at once; may be called from another thread."""
        self._closing.set()

    def close(self) -> None:
        """Close the connections."""
        self._closing.set()
        self._database.close()


def _fields(step: RecipeStep) -> tuple[Fields, Mapping[str, Any]]:
    """Return where the fields of a message are, and the message itself, empty if it has none."""
    message = step.payload
    if step.recipe is None:
        if not isinstance(message, Mapping) or not isinstance(message.get("parameters"), Mapping):
            raise RejectedMessageError('a plain message must be {"parameters": {"ispyb_command": …}, "content": …}')
        message = message.get("content")
    if not isinstance(message, Mapping):
        message = {}
    # The command is the recipe's to choose, never the message's.
    names = ("ispyb_command", "store_result")
    chosen: Mapping[str, Any] = {name: step.parameters[name] for name in names if name in step.parameters}
    return Fields((chosen, message, step.parameters), step.environment), message


def _image(fields: Fields) -> StoreImageResults:
    record = fields.record(STORE_IMAGE_RESULTS)
    assert isinstance(record, StoreImageResults)
    return record


def _image_outcome(fields: Fields, row: Mapping[str, Any]) -> _Outcome:
    number, name = row["imageNumber"], fields.get("store_result")
    return _Outcome(number, {str(name): number} if name else {})


def _send(step: RecipeStep, outcome: _Outcome) -> None:
    for stream, payload in outcome.messages:
        step.send(payload, stream, default="output")
    step.environment.update(outcome.stored)
    step.send({"result": outcome.result}, default="output")


def _delay(fields: Fields) -> float:
    delay = fields.get("delay")
    try:
        delay_s = _BUFFER_DELAY_S if delay is None else float(delay)
    except (TypeError, ValueError):
        raise RejectedMessageError(f"delay {str(delay)[:60]!r} is no number of seconds") from None
    return min(delay_s, _BUFFER_EXPIRES_S) if delay_s >= 1.0 else 1.0


def _was_replayed(step: RecipeStep) -> bool:
    """Say whether the message comes from the dead letters, where it may have waited for longer than for its keys."""
    return str(step.headers.get("dlq-reinjected", "")).lower() in {"true", "1"}
