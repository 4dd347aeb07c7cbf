"""glimt's services beside real services of python-workflows and zocalo, on one real RabbitMQ."""

from __future__ import annotations

import itertools
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from glimt.brokers.amqp import AmqpBroker
from glimt.brokers.amqp_connection import Incoming
from glimt.brokers.broker import Delivery, Outgoing, QueueSpec
from glimt.brokers.layout import TOPICS
from glimt.model.recipe import Recipe
from glimt.model.recipe_envelope import Envelope, start_recipe
from glimt.services.recipe_step import RECIPE_HEADER, RecipeStep
from glimt.services.runner import ServiceRunner
from glimt.services.service import Service, ServiceSetup
from rabbitmq_server import RabbitServer, rabbitmq  # noqa: F401  a fixture

pytest.importorskip("workflows", reason="python-workflows is not installed")
pytest.importorskip("zocalo", reason="zocalo is not installed")
import workflows.recipe
from workflows.transport.pika_transport import PikaTransport

_number = itertools.count()
_SERVICE = """
import sys
import workflows.recipe
from workflows.frontend import Frontend
from workflows.services.common_service import CommonService
from workflows.transport.pika_transport import PikaTransport

class Theirs(CommonService):
    _service_name = "Theirs"
    _logger_name = "theirs"

    def initializing(self):
        workflows.recipe.wrap_subscribe(self.transport, "theirs", self.handle, acknowledgement=True)

    def handle(self, rw, header, message):
        transaction = self.transport.transaction_begin(subscription_id=header["subscription"])
        self.transport.ack(header, transaction=transaction)
        rw.environment["theirs"] = rw.environment.get("theirs", 0) + 1
        seen = [*message["seen"], ["theirs", rw.recipe_pointer, header["workflows-recipe"]]]
        rw.send_to("on", {**message, "seen": seen}, transaction=transaction)
        self.transport.transaction_commit(transaction)

port, vhost, service, recipes = sys.argv[1:]
PikaTransport.config = {"--rabbit-host": "127.0.0.1", "--rabbit-port": port, "--rabbit-vhost": vhost}
environment = {}
if service == "Theirs":
    service = Theirs
else:
    import zocalo.configuration
    from zocalo.service.dispatcher import Dispatcher as service
    text = f"version: 1\\nstorage:\\n  plugin: storage\\n  zocalo.recipe_directory: {recipes}\\nenvironments:\\n  live: [storage]\\n"
    environment["config"] = zocalo.configuration.from_string(text)
    environment["config"].activate_environment("live")
Frontend(transport=PikaTransport, service=service, environment=environment).run()
"""  # noqa: E501


class Ours(Service):
    """Notes what it sees, and passes it on."""

    name, title, queues = "ours", "Ours", ("ours",)

    def handle(self, step: RecipeStep) -> None:
        """Pass on."""
        assert step.recipe is not None
        step.environment["ours"] = step.environment.get("ours", 0) + 1
        seen = [*step.payload["seen"], ["ours", step.recipe.recipe_pointer, step.headers[RECIPE_HEADER]]]
        step.send({**step.payload, "seen": seen}, "on")


class Site:
    """A virtual host with both kinds of clients on it."""

    def __init__(self, url: str, stack: ExitStack) -> None:
        self.url, self.stack = url, stack
        self.port, self.vhost = urlsplit(url).port, urlsplit(url).path[1:]
        self.broker = AmqpBroker(url)
        stack.callback(self.broker.close)
        self.broker.declare([QueueSpec(name) for name in ("theirs", "ours", "end", "processing_recipe")], topics=TOPICS)

    def transport(self) -> PikaTransport:
        """Return their transport, connected."""
        transport = PikaTransport()
        transport.config = {
            "--rabbit-host": "127.0.0.1", "--rabbit-port": str(self.port), "--rabbit-vhost": self.vhost,
        }  # fmt: skip
        assert transport.connect()
        self.stack.callback(transport.disconnect)
        return transport

    def start_theirs(self, service: str, folder: Path) -> None:
        """Run one of their services under its Frontend."""
        command = [sys.executable, "-W", "ignore", "-c", _SERVICE, str(self.port), self.vhost, service, str(folder)]
        with (folder / "service.log").open("wb") as log:
            process = subprocess.Popen(command, start_new_session=True, stdout=log, stderr=subprocess.STDOUT)

        def end() -> None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

        self.stack.callback(end)

    def start_ours(self) -> None:
        """Run our service on a thread."""
        broker = AmqpBroker(self.url)
        runner = ServiceRunner(Ours(ServiceSetup({}, (), Path())), broker)
        thread = threading.Thread(target=runner.run)
        thread.start()

        def end() -> None:
            runner.stop()
            thread.join(10)
            broker.close()

        self.stack.callback(end)

    def drained(self, name: str, n: int, within_s: float = 20.0) -> list[Incoming]:
        """Take ``n`` messages from a queue, with all their headers."""
        found: list[Incoming] = []
        end = time.monotonic() + within_s
        while len(found) < n and time.monotonic() < end:
            with self.broker._using() as link:
                taken = link.take_some(name, n - len(found))
                link.acknowledge({message.delivery_tag for message in taken})
            found += taken
            time.sleep(0.0 if taken else 0.02)
        assert len(found) == n
        return found


@pytest.fixture
def site(rabbitmq: RabbitServer) -> Iterator[Site]:  # noqa: F811
    with ExitStack() as stack:
        yield Site(rabbitmq.new_vhost(f"interop-{next(_number)}"), stack)


ALTERNATING = {
    "1": {"queue": "theirs", "output": {"on": 2}, "parameters": {"dcid": "17", "template": "{x}", "list": [1, None]}},
    "2": {"queue": "ours", "output": {"on": [3]}, "parameters": {"µ": 0.25}},
    "3": {"queue": "theirs", "output": {"on": 4}},
    "4": {"queue": "ours", "output": {"on": 5, "elsewhere": None}},
    "5": {"queue": "end"},
    "start": [[1, {"seen": [], "value": 1.5, "text": "Å", "nothing": None, "deep": {"a": [True, 2**53]}}]],
}
PASSED = [["theirs", 1, True], ["ours", 2, True], ["theirs", 3, True], ["ours", 4, True]]


def start_with_ours(site: Site, recipe: dict[str, Any], environment: dict[str, Any]) -> None:
    envelopes = start_recipe(Recipe.from_dict(recipe), environment=environment)
    site.broker.send([Outgoing(e.encode(), queue=e.node["queue"], headers={RECIPE_HEADER: True}) for e in envelopes])


def start_with_theirs(site: Site, recipe: dict[str, Any], environment: dict[str, Any]) -> None:
    wrapper = workflows.recipe.RecipeWrapper(
        recipe=workflows.recipe.Recipe(json.dumps(recipe)), transport=site.transport(), environment=environment
    )
    wrapper.start()


@pytest.mark.parametrize("start", [start_with_ours, start_with_theirs])
def test_services_of_both_kinds_alternate_in_one_recipe(
    site: Site, tmp_path: Path, start: Callable[[Site, dict[str, Any], dict[str, Any]], None]
) -> None:
    site.start_theirs("Theirs", tmp_path)
    site.start_ours()
    for n in range(20):
        start(site, ALTERNATING, {"ID": f"run-{n}", "float": 0.1})
    ends = [Envelope.decode(message.body) for message in site.drained("end", 20)]
    assert [envelope.environment for envelope in ends] == [
        {"ID": f"run-{n}", "float": 0.1, "theirs": 2, "ours": 2} for n in range(20)
    ]
    for envelope in ends:
        assert envelope.payload == {**ALTERNATING["start"][0][1], "seen": PASSED}  # type: ignore[index]
        assert envelope.recipe_path == (1, 2, 3, 4)
        assert json.loads(envelope.recipe.to_json()) == ALTERNATING


def test_the_dispatcher_of_zocalo_starts_our_services(site: Site, tmp_path: Path) -> None:
    recipe = {
        "1": {"queue": "ours", "output": {"on": 2}, "parameters": {"file": "{path}", "n": "{n:03d}"}},
        "2": {"queue": "end"},
        "start": [[1, {"seen": []}]],
    }
    (tmp_path / "named.json").write_text(json.dumps(recipe))
    site.start_theirs("Dispatcher", tmp_path)
    site.start_ours()
    request = {"recipes": ["named"], "parameters": {"path": "/data/a.cbf", "n": 7, "guid": "an-identity"}}
    site.broker.send([Outgoing(json.dumps(request).encode(), queue="processing_recipe")])
    (end,) = [Envelope.decode(message.body) for message in site.drained("end", 1)]
    assert end.environment == {"ID": "an-identity", "ours": 1}
    assert end.recipe.nodes[1]["parameters"] == {"file": "/data/a.cbf", "n": "007"}


SCRIPT: list[tuple[str | None, str | None, Any]] = [
    (None, None, {"unnamed": 1}),
    ("a", None, ["to a"]),
    ("b", None, "to both"),
    ("missing", None, "nobody"),
    (None, "a", 3.5),
    ("a", "a", None),
]


@pytest.mark.parametrize(
    "output",
    [2, [2, 3], {"a": 2, "b": [2, 3]}, {"a": [3, 2], "b": []}],
    ids=["one", "two", "named", "empty"],
)
def test_the_same_script_gives_the_same_messages(site: Site, output: Any) -> None:
    recipe = {
        "1": {"queue": "theirs", "output": output, "parameters": {"a": 1}},
        "2": {"queue": "end"},
        "3": {"queue": "end", "parameters": {"µ": [0.1, None]}},
        "start": [[1, {"p": 1}]],
    }
    if "3" not in json.dumps(output):
        del recipe["3"]
    transport = site.transport()
    (start,) = start_recipe(Recipe.from_dict(recipe), environment={"ID": "x", "n": 1})
    for stream, default, payload in SCRIPT:
        step = step_of(start)
        step.send(payload, stream, default=default)
        site.broker.send(step.outgoing)
    (n,) = (status.n_ready for status in site.broker.status() if status.name == "end")
    assert n >= 3
    ours = site.drained("end", n)
    for stream, default, payload in SCRIPT:
        wrapper = workflows.recipe.RecipeWrapper(message=json.loads(start.encode()), transport=transport)
        if default:
            wrapper.set_default_channel(default)
        if stream is None:
            wrapper.send(payload)
        else:
            wrapper.send_to(stream, payload)
    theirs = site.drained("end", n)
    assert [json.loads(m.body) for m in ours] == [json.loads(m.body) for m in theirs]
    assert [dict(m.properties.headers) for m in ours] == [dict(m.properties.headers) for m in theirs]
    assert {m.properties.headers[RECIPE_HEADER] for m in ours} == {True}
    assert not site.broker.peek("end")


def step_of(envelope: Envelope) -> RecipeStep:
    delivery = Delivery(envelope.encode(), "theirs", "", {RECIPE_HEADER: True}, "parent", 1, 0, None)
    decoded = Envelope.decode(delivery.body)
    return RecipeStep(delivery, decoded, decoded.payload)


def test_a_message_of_theirs_keeps_its_identity_when_it_comes_again(site: Site) -> None:
    site.transport().send("ours", {"a": [1, 2]}, headers={"text": "Å", "number": 5, "truth": True})
    first = AmqpBroker(site.url)
    first.subscribe("ours")
    (delivery,) = first.receive(timeout_s=10)
    first.close()
    site.broker.subscribe("ours")
    (again,) = site.broker.receive(timeout_s=10)
    assert json.loads(delivery.body) == {"a": [1, 2]}
    assert dict(delivery.headers) == {"text": "Å", "number": 5, "truth": True}
    assert (again.message_id, again.n_deliveries) == (delivery.message_id, 2)
    assert delivery.message_id


def test_a_message_of_ours_is_what_theirs_expect(site: Site) -> None:
    heard: queue.Queue[tuple[Any, Any]] = queue.Queue()
    site.transport().subscribe("theirs", lambda header, message: heard.put((header, message)))
    site.broker.send([Outgoing(b'{"a": [1, null]}', queue="theirs", headers={"truth": True, "text": "Å", "n": 2**40})])
    header, message = heard.get(timeout=10)
    assert message == {"a": [1, None]}
    assert {name: header[name] for name in ("truth", "text", "n")} == {"truth": True, "text": "Å", "n": 2**40}
    assert (header["delivery_mode"], header["routing_key"], header["redelivered"]) == (2, "theirs", False)


def test_broadcasts_go_both_ways(site: Site) -> None:
    transport = site.transport()
    heard: queue.Queue[tuple[Any, Any]] = queue.Queue()
    transport.subscribe_broadcast("command", lambda header, message: heard.put((header, message)))
    site.broker.listen("transient.status")
    site.broker.send([Outgoing(b'{"stop": 1}', topic="command", expiration_s=15)])
    assert heard.get(timeout=10)[1] == {"stop": 1}
    transport.broadcast_status({"host": "h", "workflows": "3.3", "status": 2})
    (status,) = site.broker.receive(timeout_s=10)
    assert (status.topic, json.loads(status.body)["host"]) == ("transient.status", "h")
