"""Who else takes the same messages, on a real broker in a file."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from glimt.app.serve_neighbors import NeighborWatch
from glimt.brokers.broker import Outgoing
from glimt.brokers.sqlite import SqliteBroker
from glimt.services.service_activity import ServiceActivity
from glimt.services.service_status import COMMAND_TOPIC, STATUS_TOPIC, StatusOfService, read_command

LIMIT_S = 20.0


class Neighbor:
    """Another command on the same broker: it hears questions, and tells what it is told to."""

    def __init__(self, url: str) -> None:
        self.broker = SqliteBroker(url)
        self.broker.listen(COMMAND_TOPIC)
        self.lines: list[str] = []
        self._has_line = threading.Event()
        self.watch = NeighborWatch(url, {("images", ()), ("file_watcher", ("fw2",))}, ["/here"], self._tell)
        self.watch.start()
        assert {self.question().service for _ in range(2)} == {"images", "file_watcher"}

    def question(self) -> Any:
        (delivery,) = self.broker.receive(1, timeout_s=LIMIT_S)
        return read_command(delivery.body)

    def tell(self, name: str, roots: list[str], queues: tuple[str, ...] = ()) -> None:
        status = StatusOfService(name, "DLS", "Service", host="uk.ac.i03.77", queues=queues, roots=roots)
        message = status.due(ServiceActivity().read())
        assert message is not None
        self.broker.send([message])

    def warned(self) -> list[str]:
        assert self._has_line.wait(LIMIT_S)
        self.watch.end()
        return self.lines

    def _tell(self, text: str) -> None:
        self.lines.append(text)
        self._has_line.set()


@pytest.fixture
def neighbor(tmp_path: Path) -> Iterator[Neighbor]:
    made = Neighbor(f"sqlite:{tmp_path}/broker.sqlite")
    yield made
    made.watch.end()
    made.broker.close()


def test_command_that_takes_the_same_messages_with_other_folders_is_warned_of_once(neighbor: Neighbor) -> None:
    for _ in range(3):
        neighbor.tell("images", ["/there", "/and/there"])
    (line,) = neighbor.warned()
    assert line.startswith("WARNING another `glimt serve` takes messages of the same queues")
    assert "(images, process 77 on i03.ac.uk)" in line
    assert "/there, /and/there; here it is /here" in line
    assert "--root FOLDER" in line
    assert "[broker] url of a site file" in line


def test_who_has_the_same_folders_or_other_messages_is_none_to_be_warned_of(neighbor: Neighbor) -> None:
    neighbor.tell("images", ["/here"])
    neighbor.tell("notify_gda", ["/there"])
    neighbor.tell("file_watcher", ["/there"], queues=("fw3",))
    for body in (b"{", b"[]", json.dumps({"host": "a.1", "status": 2, "serviceclass": "Zocalo"}).encode()):
        neighbor.broker.send([Outgoing(body, topic=STATUS_TOPIC)])
    neighbor.tell("file_watcher", ["/elsewhere"], queues=("fw2",))
    (line,) = neighbor.warned()
    assert "(file_watcher, " in line
    assert "/elsewhere" in line
