"""Queues and dead letters as the page of `glimt serve` shows them, of a real broker in a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from glimt.app.broker_dead_letters import DeadLetter
from glimt.app.serve_page_queues import SHOWN_DEAD_LETTERS, QueueLook, dead_letter_table, newest
from glimt.brokers.broker import Outgoing, QueueSpec
from glimt.brokers.sqlite import SqliteBroker
from glimt.model.errors import BrokerError


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[SqliteBroker]:
    connection = SqliteBroker(f"sqlite:{tmp_path / 'broker.sqlite'}")
    connection.declare([QueueSpec("work"), QueueSpec("other"), QueueSpec("idle")])
    yield connection
    connection.close()


@pytest.fixture
def look(broker: SqliteBroker) -> Iterator[QueueLook]:
    made = QueueLook(broker.url, {"idle"})
    yield made
    made.close()


def test_queues_show_what_waits_and_what_is_in_hand(broker: SqliteBroker, look: QueueLook) -> None:
    broker.send([Outgoing(b"1", queue="work"), Outgoing(b"2", queue="work"), Outgoing(b"3", queue="work", delay_s=60)])
    broker.subscribe("work")
    (delivery,) = broker.receive(1, timeout_s=1.0)
    shown = look.take()

    assert shown["waiting"] == 1
    assert shown["queues"].tolist() == [(b"idle", 0, 0, 0, 0.0), (b"work", 1, 1, 1, 1.0)], "but not the empty one"
    broker.settle([delivery])


def test_dead_letters_are_counted_and_say_why(broker: SqliteBroker, look: QueueLook) -> None:
    assert look.take()["dead_letters"] == 0
    body = b'{"parameters": {"guid": "run-7"}}'
    broker.send([Outgoing(body, queue="work")])
    broker.subscribe("work")
    (delivery,) = broker.receive(1, timeout_s=1.0)
    broker.refuse(delivery, "UsageError: no\nsuch image")
    shown = QueueLook(broker.url, ()).take()

    assert (shown["waiting"], shown["dead_letters"]) == (0, 1)
    (row,) = shown["newest_dead_letters"].tolist()
    assert row[1:] == (b"work", b"UsageError: no\\nsuch image", b"run-7")
    assert row[0].startswith(b"20")
    assert look.take()["dead_letters"] == 1, "the number is always that of now"


def test_newest_dead_letters_are_last_and_not_too_many() -> None:
    found = [DeadLetter(f"m{i}", "work", "why", i * 10**9, "") for i in range(SHOWN_DEAD_LETTERS + 10)]
    kept = newest(found[::-1])

    assert [each.message_id for each in kept] == [f"m{i}" for i in range(10, SHOWN_DEAD_LETTERS + 10)]


def test_time_that_is_none_is_left_out() -> None:
    rows = dead_letter_table([DeadLetter("m", "work", "why", died_ns, "") for died_ns in (0, -5, 2**63, 10**40)])
    assert rows["died"].tolist() == [b"", b"", rows["died"][2], b""]


def test_broker_that_cannot_be_opened_is_said_and_asked_again(tmp_path: Path) -> None:
    look = QueueLook(f"sqlite:{tmp_path / 'later' / 'broker.sqlite'}", ())
    with pytest.raises(BrokerError, match="no folder"):
        look.take()
    (tmp_path / "later").mkdir()
    assert look.take()["waiting"] == 0
    look.close()
