from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from glimt.brokers.broker import REASON, Outgoing, QueueSpec
from glimt.brokers.memory import MemoryBroker
from glimt.compat.workflows import recipe as our_recipe
from glimt.compat.workflows.services import common_service as our_service
from glimt.compat.workflows_plugin import PluginRunner, is_plugin
from glimt.model.errors import BrokerError

workflows_recipe = pytest.importorskip("workflows.recipe", reason="workflows is not installed")
workflows_service = pytest.importorskip("workflows.services.common_service", reason="workflows is not installed")

RECIPE = {
    "1": {"queue": "plugin.in", "parameters": {"factor": "3"}, "output": {"result": [2], "other": 3}},
    "2": {"queue": "plugin.out", "transport-delay": 0},
    "3": {"topic": "plugin.topic"},
    "start": [[1, []]],
}


def plugin(service_module: Any, recipe_module: Any) -> type[Any]:
    """Return a service as they are written at Diamond."""

    class Multiplier(service_module.CommonService):  # type: ignore[misc]  # either one
        _service_name = "Multiplier"
        _logger_name = "site.services.multiplier"

        def initializing(self) -> None:
            self.log.info("Multiplier starting")
            self.n_idle = 0
            self._register_idle(0.01, self.on_idle)
            recipe_module.wrap_subscribe(
                self._transport,
                self.config.storage.get("queue", "plugin.in"),
                self.multiply,
                acknowledgement=True,
                log_extender=self.extend_log,
                prefetch_count=3,
            )

        def on_idle(self) -> None:
            self.n_idle += 1

        def multiply(self, rw: Any, header: Any, message: Any) -> None:
            self.log.info("multiply %s", message)
            if message == "crash":
                raise KeyError("no number")
            if message == "end":
                self._request_termination()
            txn = self._transport.transaction_begin(subscription_id=header["subscription"])
            self._transport.ack(header, transaction=txn)
            rw.set_default_channel("result")
            if message == "refuse":
                rw.send("never sent", transaction=txn)
                self._transport.transaction_abort(txn)
                self._transport.nack(header)
                return
            if isinstance(message, int):
                rw.environment["product"] = message * int(rw.recipe_step["parameters"]["factor"])
                rw.send({"product": rw.environment["product"]}, transaction=txn)
                rw.send_to("other", "heard", transaction=txn)
                rw.send_to("unwired", "nowhere", transaction=txn)
                if message == 1:
                    rw.checkpoint(2, delay=0, transaction=txn)
            self._transport.transaction_commit(txn)

    return Multiplier


@pytest.fixture
def url() -> str:
    return f"memory:{uuid.uuid4().hex}"


@pytest.fixture
def broker(url: str) -> Iterator[MemoryBroker]:
    made = MemoryBroker(url)
    made.declare([QueueSpec("plugin.in"), QueueSpec("plugin.out")])
    yield made
    made.close()


def send(broker: MemoryBroker, payload: Any) -> None:
    body = {
        "recipe": RECIPE,
        "recipe-pointer": 1,
        "recipe-path": [],
        "environment": {"ID": "run-7"},
        "payload": payload,
    }
    message = Outgoing(body=json.dumps(body).encode(), queue="plugin.in", headers={"workflows-recipe": True})
    broker.send([message])


def n_ready(broker: MemoryBroker, queue: str) -> int:
    return {status.name: status.n_ready for status in broker.status()}.get(queue, 0)


MODULES = [
    pytest.param(our_service, our_recipe, id="with our CommonService"),
    pytest.param(workflows_service, workflows_recipe, id="with workflows' own"),
]


@pytest.mark.parametrize(("service_module", "recipe_module"), MODULES)
def test_plug_in_in_diamonds_style_runs_unmodified(
    url: str, broker: MemoryBroker, service_module: Any, recipe_module: Any
) -> None:
    found = plugin(service_module, recipe_module)
    assert is_plugin(found)
    assert not is_plugin(service_module.CommonService)
    broker.listen("plugin.topic")
    outcomes: list[str] = []
    runner = PluginRunner(found, MemoryBroker(url), configuration={"storage": {}}, on_outcome=outcomes.append)
    send(broker, 1)
    send(broker, "end")
    runner.run()
    assert outcomes == ["handled", "handled"]
    (body,) = [json.loads(delivery.body) for delivery in broker.peek("plugin.out")]
    assert body["payload"] == {"product": 3}
    assert body["environment"] == {"ID": "run-7", "product": 3}
    assert body["recipe-path"] == [1]
    assert body["recipe-pointer"] == 2
    (heard,) = broker.receive(5)
    assert json.loads(heard.body)["payload"] == "heard"
    runner.broker.close()
    (again,) = [json.loads(delivery.body) for delivery in broker.peek("plugin.in")]
    assert (again["payload"], again["recipe-path"], again["recipe-pointer"]) == (2, [], 1)


@pytest.mark.parametrize(("service_module", "recipe_module"), MODULES)
def test_crash_and_nack_give_the_message_back_and_the_service_lives(
    url: str, broker: MemoryBroker, service_module: Any, recipe_module: Any, caplog: pytest.LogCaptureFixture
) -> None:
    outcomes: list[str] = []
    runner = PluginRunner(plugin(service_module, recipe_module), MemoryBroker(url), on_outcome=outcomes.append)
    for payload in ("crash", "refuse", "end"):
        send(broker, payload)
    with caplog.at_level(logging.ERROR, logger="glimt.plugin"):
        runner.run()
    assert outcomes == ["failed", "handled", "handled"]
    (status,) = [each for each in broker.status() if each.name == "plugin.in"]
    assert status.n_delayed == 2
    assert n_ready(broker, "plugin.out") == 0
    assert "no number" in caplog.text


def test_message_that_is_no_json_is_a_dead_letter(url: str, broker: MemoryBroker) -> None:
    runner = PluginRunner(plugin(our_service, our_recipe), MemoryBroker(url))
    broker.send([Outgoing(body=b"{", queue="plugin.in")])
    send(broker, "end")
    runner.run()
    (letter,) = broker.peek("dlq.plugin.in")
    assert "JSONDecodeError" in str(letter.headers["glimt-reason"])


def test_recipe_id_is_known_while_the_message_is_handled(url: str, broker: MemoryBroker) -> None:
    seen: list[str] = []

    @contextmanager
    def about(recipe_id: str) -> Iterator[None]:
        seen.append(recipe_id)
        yield

    send(broker, "end")
    PluginRunner(plugin(our_service, our_recipe), MemoryBroker(url), about=about).run()
    assert seen == ["run-7"]


def test_idle_callback_is_called_while_nothing_comes(url: str, broker: MemoryBroker) -> None:
    runner = PluginRunner(plugin(our_service, our_recipe), MemoryBroker(url))
    runner.service.initializing()
    for _ in range(3):
        runner.poll(0.02)
    assert runner.service.n_idle >= 1


def test_unknown_transactions_and_messages_are_workflows_errors(url: str, broker: MemoryBroker) -> None:
    runner = PluginRunner(plugin(workflows_service, workflows_recipe), MemoryBroker(url))
    import workflows

    calls: list[Any] = [
        lambda: runner.transport.transaction_commit(99),
        lambda: runner.transport.transaction_abort(99),
        lambda: runner.transport.ack({"message-id": 4, "subscription": 1}),
        lambda: runner.transport.nack(4, 1),
    ]
    for call in calls:
        with pytest.raises(workflows.Error):
            call()


def test_our_wrapper_sends_what_workflows_own_sends() -> None:
    class Recorder:
        def __init__(self) -> None:
            self.sent: list[Any] = []

        def send(self, *args: Any, **kwargs: Any) -> None:
            self.sent.append(("send", args, kwargs))

        def broadcast(self, *args: Any, **kwargs: Any) -> None:
            self.sent.append(("broadcast", args, kwargs))

    def script(module: Any, output: Any, default: str | None) -> list[Any]:
        recorder = Recorder()
        node = {"queue": "a"} if output is None else {"queue": "a", "output": output}
        recipe = {
            "1": node,
            "2": {"queue": "b", "topic": "t", "transport-delay": 5},
            "3": {"queue": "c", "exchange": "x"},
            "start": [[1, "go"]],
        }
        message = {"recipe": recipe, "recipe-pointer": "1", "recipe-path": [9], "environment": {"ID": "i"}}
        wrapper = module.RecipeWrapper(message=message, transport=recorder)
        if default is not None:
            wrapper.set_default_channel(default)
        wrapper.send({"n": 1}, transaction=4)
        wrapper.send_to("result", {"n": 2}, delay=7)
        wrapper.send_to("nothing", {"n": 3})
        wrapper.checkpoint({"n": 4}, header={"h": 1}, delay=3)
        module.RecipeWrapper(recipe=recipe, transport=recorder, environment={"ID": "k"}).start(header={"g": 2})
        return recorder.sent

    for output in (None, 2, [2, 3], {"result": 2}, {"result": [2, 3], "nothing": 3}, {"other": 2}):
        for default in (None, "result", "other"):
            ours, theirs = script(our_recipe, output, default), script(workflows_recipe, output, default)
            assert ours == theirs, (output, default)


class Committing(our_service.CommonService):
    """Sends each number on with its acknowledgement; 0 to nowhere."""

    _service_name = "Committing"
    _logger_name = "site.services.committing"

    def initializing(self) -> None:
        self._transport.subscribe("plugin.in", self.take, acknowledgement=True, prefetch_count=10)

    def take(self, header: Any, message: Any) -> None:
        if message == "leave":
            raise SystemExit(0)
        if message == "end":
            self._request_termination()
        transaction = self._transport.transaction_begin(subscription_id=header["subscription"])
        self._transport.ack(header, transaction=transaction)
        self._transport.send("plugin.out" if message else "nowhere", message, transaction=transaction)
        self._transport.transaction_commit(transaction)


class FailingBroker(MemoryBroker):
    """Fails so many times to settle and to refuse."""

    n_failures = 0

    def settle(self, done: Any, messages: Any = ()) -> None:
        self._fail()
        super().settle(done, messages)

    def refuse(self, delivery: Any, reason: str, **options: Any) -> None:
        self._fail()
        super().refuse(delivery, reason, **options)

    def _fail(self) -> None:
        if self.n_failures:
            self.n_failures -= 1
            raise BrokerError("the connection is gone")


def committing(connection: MemoryBroker, broker: MemoryBroker, *messages: Any) -> tuple[PluginRunner, list[str]]:
    broker.send([Outgoing(body=json.dumps(message).encode(), queue="plugin.in") for message in messages])
    outcomes: list[str] = []
    runner = PluginRunner(Committing, connection, on_outcome=outcomes.append)
    runner.service.initializing()
    return runner, outcomes


def test_commit_to_nowhere_makes_a_dead_letter_and_the_rest_goes_on(url: str, broker: MemoryBroker) -> None:
    runner, outcomes = committing(MemoryBroker(url), broker, 0, 1, "leave", 2)
    assert runner.poll() == 4
    assert outcomes == ["failed", "handled", "failed", "handled"]
    [letter] = broker.peek("dlq.plugin.in")
    assert "nowhere" in str(letter.headers[REASON])
    assert n_ready(broker, "plugin.out") == 2


def test_broker_that_fails_at_a_commit_loses_nothing(url: str, broker: MemoryBroker) -> None:
    connection = FailingBroker(url)
    runner, outcomes = committing(connection, broker, 1, 2, 3)
    connection.n_failures = 2  # the commit, and giving the message back
    with pytest.raises(BrokerError):
        runner.poll()
    assert runner.poll() == 2
    assert outcomes == ["handled", "handled"]
    [status] = [each for each in broker.status() if each.name == "plugin.in"]
    assert (status.n_unsettled, status.n_delayed) == (0, 1)  # the first comes again


def test_service_that_asks_to_be_ended_has_ended_itself(url: str, broker: MemoryBroker) -> None:
    broker.send([Outgoing(body=b'"end"', queue="plugin.in")])
    runner = PluginRunner(Committing, MemoryBroker(url))
    runner.run()
    assert runner.has_ended_itself
    other = PluginRunner(Committing, MemoryBroker(url))
    other.stop()
    other.run()
    assert not other.has_ended_itself


class Answered(our_service.CommonService):
    """Has a queue for answers to what it asks."""

    _service_name = "Answered"
    _logger_name = "site.services.answered"

    def initializing(self) -> None:
        self.answers = self._transport.subscribe_temporary("transient.answers", lambda header, message: None)


def test_nothing_is_left_in_a_temporary_queue_when_its_service_ends(url: str) -> None:
    broker, other = MemoryBroker(url), MemoryBroker(url)
    runner = PluginRunner(Answered, broker)
    runner.open()
    queue = runner.service.answers.queue_name
    assert queue.startswith("transient.answers.")
    other.send([Outgoing(b"1", queue=queue)])
    runner.close()
    broker.close()
    assert other.peek(queue) == []
    other.close()
