from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from glimt.app.serve import ServedService
from glimt.app.serve_process import ServiceTask
from glimt.brokers.broker import Outgoing, QueueSpec
from glimt.brokers.sqlite import SqliteBroker
from glimt.services.service import ServiceSetup

SERVICES = Path(__file__).parents[1] / "unit" / "services"
LIMIT_S = 60.0


@pytest.fixture
def broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqliteBroker]:
    monkeypatch.setattr(sys, "path", [str(SERVICES), *sys.path])  # a new process has the same
    made = SqliteBroker(f"sqlite:{tmp_path / 'broker.sqlite'}")
    made.declare([QueueSpec("poison")])
    yield made
    made.close()


def serve(name: str, broker: SqliteBroker, folder: Path, until: Callable[[], bool]) -> ServedService:
    task = ServiceTask(name, name, f"runner_services:{name}", broker.url, ServiceSetup({}, (), folder))
    served = ServedService(task)
    deadline = time.monotonic() + LIMIT_S
    try:
        while not until():
            assert time.monotonic() < deadline, "waited in vain"
            served.start_if_due()
            time.sleep(0.05)
            served.take_end()
    finally:
        process = served.process
        served.kill()
        if process is not None:
            process.join()
    return served


def counts(broker: SqliteBroker) -> dict[str, int]:
    return {each.name: each.n_ready + each.n_delayed + each.n_unsettled for each in broker.status()}


def test_message_that_kills_its_process_is_the_only_dead_letter(broker: SqliteBroker, tmp_path: Path) -> None:
    broker.send([Outgoing(body=str(number).encode(), queue="poison") for number in range(50)])
    served = serve("PoisonService", broker, tmp_path, lambda: counts(broker)["poison"] == 0)
    assert [letter.body for letter in broker.peek("dlq.poison", 100)] == [b"3"]
    assert served.activity.counts["handled"] == 49


def test_process_that_ends_well_without_being_told_to_is_started_again(broker: SqliteBroker, tmp_path: Path) -> None:
    broker.send([Outgoing(body=b"1", queue="poison")])
    served = serve("LeavingService", broker, tmp_path, lambda: counts(broker)["poison"] == 0)
    assert served.n_starts == 2
    assert not served.is_over
