from __future__ import annotations

import json
import logging
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from runner_services import AddService, SumService, TimerService

from glimt.brokers.broker import MAX_DELIVERIES, ORIGIN, REASON, Delivery, Outgoing, QueueSpec
from glimt.brokers.memory import MemoryBroker
from glimt.model.errors import BrokerError, LostDeliveryError
from glimt.model.recipe import Recipe
from glimt.model.recipe_envelope import start_recipe
from glimt.services.recipe_log import RecipeLogFilter
from glimt.services.runner import ServiceRunner
from glimt.services.runner_failures import RetryRule
from glimt.services.service import ServiceSetup

SETUP = ServiceSetup({}, (), Path())


@pytest.fixture
def url() -> str:
    return f"memory:{uuid.uuid4().hex}"


@pytest.fixture
def broker(url: str) -> Iterator[MemoryBroker]:
    made = MemoryBroker(url)
    made.declare([QueueSpec("add"), QueueSpec("out"), QueueSpec("errors"), QueueSpec("sum"), QueueSpec("elsewhere")])
    yield made
    made.close()


def recipe(**more: Any) -> dict[str, Any]:
    nodes = {"1": {"queue": "add", "output": {"result": 2}}, "2": {"queue": "out"}, **more}
    if "error" in more or "error" in nodes["1"]:
        nodes.setdefault("3", {"queue": "errors"})
    return {**nodes, "start": [[1, []]]}


def start(broker: MemoryBroker, payload: Any, node: dict[str, Any]) -> None:
    made = Recipe.from_dict({**node, "start": [[1, payload]]})
    for envelope in start_recipe(made, environment={"ID": "run-1"}):
        body = envelope.encode()
        broker.send([Outgoing(body=body, queue="add", headers={"workflows-recipe": True})])


def runner(url: str, service: Any = AddService, **options: Any) -> ServiceRunner:
    made = ServiceRunner(service(SETUP), MemoryBroker(url), retry=RetryRule(0.0, 0.0), **options)
    made.open()
    return made


def bodies(broker: MemoryBroker, queue: str) -> list[Any]:
    return [json.loads(delivery.body) for delivery in broker.peek(queue, 1000)]


def counts(made: ServiceRunner) -> dict[str, int]:
    return {name: n for name, n in made.activity.read().counts.items() if n}


def n_ready(broker: MemoryBroker, queue: str) -> int:
    return {status.name: status.n_ready for status in broker.status()}.get(queue, 0)


def test_message_is_handled_and_sent_on(url: str, broker: MemoryBroker) -> None:
    start(broker, 4, recipe())
    made = runner(url)
    assert made.poll() == 1
    (body,) = bodies(broker, "out")
    assert body["payload"] == 5
    assert body["recipe-pointer"] == 2
    assert body["environment"]["ID"] == "run-1"
    assert counts(made) == {"handled": 1}
    assert made.poll() == 0
    assert made.activity.read().median_s is not None


def test_many_waiting_messages_need_few_settlements(url: str, broker: MemoryBroker) -> None:
    for number in range(100):
        start(broker, number, recipe())

    class Counting(MemoryBroker):
        n_settled = 0

        def settle(self, done: Any, messages: Any = ()) -> None:
            self.n_settled += 1
            super().settle(done, messages)

    connection = Counting(url)
    made = ServiceRunner(AddService(SETUP), connection)
    made.open()
    while made.poll():
        pass
    assert [body["payload"] for body in bodies(broker, "out")] == list(range(1, 101))
    assert connection.n_settled < 50
    assert counts(made) == {"handled": 100}


def test_rejected_message_is_a_dead_letter_with_its_reason(url: str, broker: MemoryBroker) -> None:
    start(broker, "reject", recipe())
    made = runner(url)
    made.poll()
    (letter,) = broker.peek("dlq.add")
    assert letter.headers[REASON] == "this number is no number"
    assert letter.headers["workflows-recipe"] is True
    assert counts(made) == {"rejected": 1}


def test_error_becomes_a_dead_letter_after_the_last_delivery(
    url: str, broker: MemoryBroker, caplog: pytest.LogCaptureFixture
) -> None:
    start(broker, "raise", recipe())
    made = runner(url)
    with caplog.at_level(logging.ERROR):
        while made.poll():
            pass
    assert counts(made) == {"failed": MAX_DELIVERIES}
    (letter,) = broker.peek("dlq.add")
    assert letter.headers[REASON] == "KeyError: 'number'"
    assert n_ready(broker, "out") == 0
    assert sum(record.exc_info is not None for record in caplog.records) == 1


def test_retried_message_comes_back(url: str, broker: MemoryBroker) -> None:
    start(broker, "retry", recipe())
    made = runner(url)
    made.poll()
    assert counts(made) == {"retried": 1}
    while made.poll():
        pass
    (letter,) = broker.peek("dlq.add")
    assert letter.headers[REASON] == "the number is not there yet"


def test_service_goes_on_after_each_kind_of_failure(url: str, broker: MemoryBroker) -> None:
    for payload in (1, "reject", 2, "raise", 3):
        start(broker, payload, recipe())
    broker.send([Outgoing(body=b"{", queue="add", headers={"workflows-recipe": True})])
    broker.send([Outgoing(body=b"{}", queue="add")])
    broker.send([Outgoing(body=b"[" * 100_000, queue="add", headers={"workflows-recipe": "True"})])
    made = runner(url)
    while made.poll():
        pass
    assert [body["payload"] for body in bodies(broker, "out")] == [2, 3, 4]
    assert n_ready(broker, "dlq.add") == 5
    assert any("belongs to no recipe" in str(letter.headers[REASON]) for letter in broker.peek("dlq.add"))


def test_unknown_queue_makes_a_dead_letter_and_no_harm_to_others(url: str, broker: MemoryBroker) -> None:
    start(broker, 1, recipe())
    start(broker, 2, recipe(**{"2": {"queue": "nowhere"}}))
    start(broker, 3, recipe())
    made = runner(url)
    while made.poll():
        pass
    assert [body["payload"] for body in bodies(broker, "out")] == [2, 4]
    (letter,) = broker.peek("dlq.add")
    assert "nowhere" in str(letter.headers[REASON])
    assert counts(made) == {"handled": 2, "rejected": 1}


@pytest.mark.parametrize(
    "node",
    [
        recipe(error=[3]),
        recipe(**{"1": {"queue": "add", "output": {"result": 2}, "error": 3}}),
        recipe(**{"1": {"queue": "add", "output": {"result": 2}, "error": {"any": [3, 3]}}}),
    ],
    ids=["of the recipe", "of the step", "by name"],
)
def test_error_route_is_told_together_with_the_dead_letter(
    url: str, broker: MemoryBroker, node: dict[str, Any]
) -> None:
    start(broker, "reject", node)
    runner(url).poll()
    (told,) = bodies(broker, "errors")
    assert told["recipe-pointer"] == 3
    assert told["payload"] == {
        "error": "this number is no number",
        "service": "add",
        "queue": "add",
        "payload": "reject",
    }
    (letter,) = broker.peek("dlq.add")
    assert letter.headers[REASON] == "this number is no number"
    assert n_ready(broker, "add") == 0


def test_error_route_does_not_go_round(url: str, broker: MemoryBroker) -> None:
    start(broker, "reject", recipe(error=[3], **{"3": {"queue": "add"}}))
    made = runner(url)
    while made.poll():
        pass
    # The error message is itself handled by the same service, without complaint.
    assert counts(made) == {"rejected": 1, "handled": 1}
    looping = {"1": {"queue": "add"}, "start": [[1, "reject"]], "error": [1]}
    start(broker, "reject", looping)
    while made.poll():
        pass
    assert counts(made)["rejected"] == 2


def test_unusable_error_route_still_leaves_a_dead_letter(url: str, broker: MemoryBroker) -> None:
    start(broker, "reject", recipe(error=[3], **{"3": {"queue": "nowhere"}}))
    runner(url).poll()
    assert n_ready(broker, "dlq.add") == 1


def test_batch_is_handled_at_once_and_by_single_messages_if_it_fails(url: str, broker: MemoryBroker) -> None:
    for number in range(4):
        broker.send([Outgoing(body=str(number).encode(), queue="sum")])
    made = runner(url, SumService)
    made.poll()
    service: Any = made.service
    assert service.batches == [[0, 1, 2, 3]]
    assert n_ready(broker, "elsewhere") == 4
    for body in (b"5", b'"raise"', b"6"):
        broker.send([Outgoing(body=body, queue="sum")])
    while made.poll():
        pass
    assert service.singles == [5, 6]
    assert counts(made) == {"handled": 6, "failed": MAX_DELIVERIES}
    assert n_ready(broker, "elsewhere") == 4


class FailingBroker(MemoryBroker):
    """Fails so many times before it does what it should."""

    n_failures = 0
    loses = False

    def settle(self, done: Any, messages: Any = ()) -> None:
        if self.n_failures:
            self.n_failures -= 1
            raise BrokerError("the connection is gone")
        if self.loses:
            self.loses = False
            raise LostDeliveryError("it was delivered to another")
        super().settle(done, messages)


def test_broker_that_fails_for_a_while_loses_nothing(url: str, broker: MemoryBroker) -> None:
    start(broker, 1, recipe())
    start(broker, 2, recipe())
    connection = FailingBroker(url)
    connection.n_failures = 2
    made = ServiceRunner(AddService(SETUP), connection, prefetch=1)
    made.open()
    while made.poll():
        pass
    assert [body["payload"] for body in bodies(broker, "out")] == [2, 3]


def test_lost_delivery_is_counted(url: str, broker: MemoryBroker) -> None:
    start(broker, 1, recipe())
    connection = FailingBroker(url)
    connection.loses = True
    made = ServiceRunner(AddService(SETUP), connection)
    made.open()
    made.poll()
    assert counts(made) == {"lost": 1}


def test_stop_ends_run_and_closes_the_service(url: str, broker: MemoryBroker) -> None:
    made = ServiceRunner(AddService(SETUP), MemoryBroker(url))
    thread = threading.Thread(target=made.run)
    thread.start()
    start(broker, 1, recipe())
    listener = MemoryBroker(url)
    listener.subscribe("out")
    assert listener.receive(1, timeout_s=5.0)
    made.stop()
    thread.join(5.0)
    assert not thread.is_alive()
    service: Any = made.service
    assert service.is_closed
    assert made.activity.read().state.text == "shutdown"


def test_lines_of_the_log_say_which_recipe(url: str, broker: MemoryBroker, caplog: pytest.LogCaptureFixture) -> None:
    start(broker, "reject", recipe())
    caplog.handler.addFilter(RecipeLogFilter())
    with caplog.at_level(logging.INFO):
        runner(url).poll()
    record: Any = caplog.records[-1]
    assert record.recipe_ID == "run-1"
    assert record.recipe_mark == " [recipe run-1]"


def test_retry_delays_grow_and_are_bounded() -> None:
    rule = RetryRule(1.0, 60.0)
    assert [rule.delay_s(n) for n in (1, 2, 3, 7, 5000)] == [1.0, 2.0, 4.0, 60.0, 60.0]


def test_replayed_dead_letter_keeps_its_identity(url: str, broker: MemoryBroker) -> None:
    start(broker, "reject", recipe(error=[3]))
    (before,) = broker.peek("add")
    runner(url).poll()
    (letter,) = broker.peek("dlq.add")
    assert isinstance(letter, Delivery)
    assert letter.message_id == before.message_id


def test_what_idle_work_sends_to_nowhere_is_a_dead_letter_and_the_rest_goes_out(url: str, broker: MemoryBroker) -> None:
    broker.declare([QueueSpec("elsewhere")])
    made = runner(url, TimerService)
    made.open()
    made.poll()
    assert n_ready(broker, "elsewhere") == 1
    [letter] = broker.peek("dlq.nowhere")
    assert letter.headers[ORIGIN] == "nowhere"
    assert "no queue 'nowhere'" in str(letter.headers[REASON])
    assert made.service.n_done == 1  # type: ignore[attr-defined]
