from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from runner_services import AddService, TimerService

from glimt.brokers.broker import REASON, Delivery, Outgoing, QueueSpec
from glimt.brokers.memory import MemoryBroker
from glimt.model.errors import BrokerError, BrokerRefusedError, RetryMessageError
from glimt.model.recipe import Recipe
from glimt.model.recipe_cache import ParsedRecipe
from glimt.model.recipe_envelope import MAX_DELAY_S, Envelope
from glimt.services.recipe_log import about_recipe
from glimt.services.recipe_step import RecipeStep
from glimt.services.runner import ServiceRunner
from glimt.services.runner_failures import FailureLog, RetryRule, judge
from glimt.services.service import ServiceSetup

SETUP = ServiceSetup({}, (), Path())


@pytest.fixture
def url() -> str:
    return f"memory:{uuid.uuid4().hex}"


@pytest.fixture
def broker(url: str) -> Iterator[MemoryBroker]:
    made = MemoryBroker(url)
    made.declare([QueueSpec("add"), QueueSpec("out"), QueueSpec("errors"), QueueSpec("elsewhere")])
    yield made
    made.close()


def start(broker: MemoryBroker, payload: Any, target: dict[str, Any] | None = None, **more: Any) -> None:
    nodes = {"1": {"queue": "add", "output": {"result": 2}}, "2": target or {"queue": "out"}, **more}
    made = Recipe.from_dict({**nodes, "start": [[1, payload]]})
    # Not start_recipe, which would see what is wrong with it.
    body = Envelope(ParsedRecipe(made, made.to_json()), 1, (), {"ID": "run-1"}, payload).encode()
    broker.send([Outgoing(body=body, queue="add", headers={"workflows-recipe": True})])


def run_all(made: ServiceRunner) -> dict[str, int]:
    while made.poll():
        pass
    return {name: n for name, n in made.activity.read().counts.items() if n}


def runner(connection: MemoryBroker, service: Any = AddService) -> ServiceRunner:
    made = ServiceRunner(service(SETUP), connection, retry=RetryRule(0.0, 0.0))
    made.open()
    return made


def n_ready(broker: MemoryBroker, queue: str) -> int:
    return {status.name: status.n_ready for status in broker.status()}.get(queue, 0)


@pytest.mark.parametrize(
    ("target", "word"),
    [
        ({"queue": "q" * 300}, "300 bytes"),
        ({"queue": "out", "transport-delay": 1e10}, "49 days"),
        ({"queue": "out\ud800"}, "no text that can be sent"),
    ],
    ids=["name too long", "delay too long", "surrogate"],
)
def test_answer_that_no_broker_takes_makes_a_dead_letter_and_no_harm_to_others(
    url: str, broker: MemoryBroker, target: dict[str, Any], word: str
) -> None:
    start(broker, 1)
    start(broker, 2, target)
    start(broker, 3)
    assert run_all(runner(MemoryBroker(url))) == {"handled": 2, "rejected": 1}
    [letter] = broker.peek("dlq.add")
    assert word in str(letter.headers[REASON])
    assert n_ready(broker, "out") == 2


@pytest.mark.parametrize(
    "more",
    [
        {"1": {"queue": "add", "error": [99]}},
        {"1": {"queue": "add", "error": [3]}, "3": {"queue": "errors", "transport-delay": "soon"}},
        {"1": {"queue": "add", "error": [3]}, "3": {"queue": "e" * 300}},
    ],
    ids=["missing step", "bad delay", "bad name"],
)
def test_broken_error_route_still_leaves_a_dead_letter(
    url: str, broker: MemoryBroker, more: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    start(broker, "reject", **more)
    start(broker, 1)
    assert run_all(runner(MemoryBroker(url))) == {"handled": 1, "rejected": 1}
    [letter] = broker.peek("dlq.add")
    assert letter.headers[REASON] == "this number is no number"
    assert "error route of the recipe cannot be used" in caplog.text


class FaultyBroker(MemoryBroker):
    """Refuses what contains a word, and fails to declare so many times."""

    n_failures = 0
    refuses = b"\0"

    def settle(self, done: Any, messages: Any = ()) -> None:
        if any(self.refuses in message.body for message in messages):
            raise BrokerRefusedError("access to this queue is refused")
        super().settle(done, messages)

    def declare(self, queues: Any, **options: Any) -> None:
        if self.n_failures:
            self.n_failures -= 1
            raise BrokerError("the connection is gone")
        super().declare(queues, **options)


def test_what_the_broker_refuses_is_not_asked_for_again(url: str, broker: MemoryBroker) -> None:
    start(broker, 1)
    start(broker, "unwelcome")
    connection = FaultyBroker(url)
    connection.refuses = b"unwelcome"
    assert run_all(runner(connection)) == {"handled": 1, "rejected": 1}
    [letter] = broker.peek("dlq.add")
    assert letter.headers[REASON] == "access to this queue is refused"


def test_queue_of_dead_letters_is_made_as_soon_as_the_broker_answers(url: str, broker: MemoryBroker) -> None:
    start(broker, "reject", error=[3], **{"3": {"queue": "errors"}})
    start(broker, 1)
    connection = FaultyBroker(url)
    made = runner(connection)
    connection.n_failures = 1
    assert run_all(made) == {"handled": 1, "rejected": 1}
    assert (n_ready(broker, "dlq.add"), n_ready(broker, "errors"), n_ready(broker, "out")) == (1, 1, 1)


def test_messages_that_an_exception_left_over_are_handled_by_the_next_poll(
    url: str, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        start(broker, number)
    made = runner(MemoryBroker(url))
    service: Any = made.service
    handle = service.handle

    def interrupted(step: RecipeStep) -> None:
        if step.payload == 2:
            service.handle = handle
            raise KeyboardInterrupt
        handle(step)

    monkeypatch.setattr(service, "handle", interrupted)
    with pytest.raises(KeyboardInterrupt):
        made.poll()
    assert n_ready(broker, "out") == 2
    assert made.poll() == 2
    assert n_ready(broker, "out") == 4


def test_idle_work_that_sends_what_no_broker_takes_goes_on(url: str, broker: MemoryBroker) -> None:
    class Overlong(TimerService):
        def idle(self) -> list[RecipeStep]:
            step = RecipeStep(Delivery(b"", "", "", {}, "m", 1, 0, None), None, None)
            step.post(Outgoing(body=b"bad", queue="q" * 300))
            step.post(Outgoing(body=b"good", queue="elsewhere"))
            return [step]

    made = runner(MemoryBroker(url), Overlong)
    run_all(made)
    assert n_ready(broker, "elsewhere") >= 1
    [letter, *_] = broker.peek(f"dlq.{made.queues[0].name if made.queues else made.service.name}")
    assert letter.body == b"bad"
    assert "300 bytes" in str(letter.headers[REASON])


def test_exit_in_a_service_fails_its_message_only(url: str, broker: MemoryBroker) -> None:
    class Leaving(AddService):
        def handle(self, step: RecipeStep) -> None:
            if step.payload == "leave":
                raise SystemExit(0)
            super().handle(step)

    start(broker, "leave")
    start(broker, 1)
    assert run_all(runner(MemoryBroker(url), Leaving))["handled"] == 1
    [letter] = broker.peek("dlq.add")
    assert letter.headers[REASON] == "SystemExit: 0"


def test_messages_that_were_delivered_before_are_fetched_and_settled_one_by_one(
    url: str, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        start(broker, number)
    for _ in range(2):  # a receiver that dies takes all with it
        dying = MemoryBroker(url)
        dying.subscribe("add", prefetch=10)
        assert len(dying.receive(10)) == 6
        dying.close()
    made = runner(MemoryBroker(url))
    settled: list[int] = []
    handle = made.service.handle

    def counting(step: RecipeStep) -> None:
        settled.append(n_ready(broker, "out"))
        handle(step)

    monkeypatch.setattr(made.service, "handle", counting)
    assert made.poll() == 6
    assert settled == list(range(6))  # each was settled before the next was handled
    for number in range(3):
        start(broker, number)
    made._is_wary = True
    assert made.poll() == 1  # after one that came again only one is fetched
    assert made.poll() == 2


def test_delay_of_a_retry_is_bounded() -> None:
    delivery = Delivery(b"", "add", "", {}, "m", 1, 0, None)
    for after_s, expected in ((float("inf"), MAX_DELAY_S), (float("nan"), 0.0), (-1.0, 0.0), (5.0, 5.0)):
        assert judge(RetryMessageError("later", after_s=after_s), delivery, RetryRule()).retry_after_s == expected


def test_messages_that_wait_are_told_once_a_minute_for_each_kind(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    log = FailureLog(logging.getLogger("test.waits"))
    delivery = Delivery(b"", "add", "", {}, "m", 1, 0, None)

    def wait(what: str) -> None:
        try:
            raise RetryMessageError(what)
        except RetryMessageError as error:
            log.write(delivery, error, judge(error, delivery, RetryRule()))

    with caplog.at_level(logging.INFO, "test.waits"):
        for number in range(3000):
            wait(f"/data/x_{number}.cbf is not there yet")
        assert len(caplog.records) == 1
        now += 61.0
        wait("/data/y.cbf is not there yet")
    assert len(caplog.records) == 2
    assert "and 2999 like it" in caplog.text


def test_messages_of_a_run_that_die_of_the_same_are_told_twice_and_counted_by_the_broker(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = FailureLog(logging.getLogger("test.refused"))

    def die(number: int, what: str, run: str) -> None:
        delivery = Delivery(b"", "add", "", {}, f"m{number}", 6, 0, None)
        error = RetryMessageError(what)
        with about_recipe(run):
            log.write(delivery, error, judge(error, delivery, RetryRule()))

    with caplog.at_level(logging.INFO, "test.refused"):
        for number in range(20):
            die(number, "no such host", "run-1")
        assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
        assert caplog.messages[0] == "message m0 of add is a dead letter (delivery 6): no such host"
        assert "glimt broker dead-letters counts" in caplog.messages[1]
        die(20, "another reason", "run-1")
        die(21, "no such host", "run-2")
    assert len(caplog.records) == 4
