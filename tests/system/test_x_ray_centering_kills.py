"""X-ray centering that is killed at any moment gives the results of an undisturbed run, each once."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from centering_scans import SUCCESS_STEP, gridinfo, scan_steps
from glimt.brokers.broker import Outgoing, QueueSpec
from glimt.brokers.sqlite import SqliteBroker
from glimt.model.recipe_envelope import Envelope
from glimt.services.recipe_step import RECIPE_HEADER
from glimt.services.service import ServiceSetup
from glimt.services.x_ray_centering import XRayCenteringService

QUEUE, RESULTS = "reduce.xray_centering", f"step-{SUCCESS_STEP}"
N_SCANS, STEPS, N_KILLS = 10, (40, 25), 8

CHILD = """
import sys
from pathlib import Path
from glimt.brokers.sqlite import SqliteBroker
from glimt.services.runner import ServiceRunner
from glimt.services.service import ServiceSetup
from glimt.services.x_ray_centering import XRayCenteringService

url, state, data = sys.argv[1:]
service = XRayCenteringService(ServiceSetup({}, (Path(data),), Path(state)))
runner = ServiceRunner(service, SqliteBroker(url))
print("ready", flush=True)
runner.run()
"""


def _scans(data: Path) -> list[list[Any]]:
    """Return the messages of single scans and of pairs, in the order of the images."""
    chance = random.Random(5)
    values = [[chance.choice((0, 0, 0, chance.randrange(200))) for _ in range(1000)] for _ in range(N_SCANS)]
    scans = []
    for dcid, counts in enumerate(values, 1):
        options: dict[str, Any] = {"output": str(data / f"{dcid}.json"), "run": f"run-{dcid}", "dcid": dcid}
        if dcid > N_SCANS - 4:
            partner = dcid - 1 if dcid % 2 == 0 else dcid + 1
            options |= {"experiment_type": "Mesh3D", "dcg_dcids": [partner]}
        scans.append(scan_steps(counts, grid=gridinfo(STEPS), **options))
    return scans


def _undisturbed(folder: Path, scans: list[list[Any]]) -> list[Any]:
    folder.mkdir()
    service = XRayCenteringService(ServiceSetup({}, (folder.parent,), folder))
    for steps in scans:
        service.handle_batch(steps)
    service.close()
    return [_message(outgoing.body) for steps in scans for step in steps for outgoing in step.outgoing]


def _message(body: bytes) -> Any:
    return Envelope.decode(body).payload


def _as_text(results: list[Any]) -> list[str]:
    return sorted(repr(result) for result in results)


@pytest.mark.slow
def test_killed_service_gives_each_result_once(tmp_path: Path) -> None:
    data, state = tmp_path / "data", tmp_path / "state"
    data.mkdir()
    state.mkdir()
    expected = _undisturbed(tmp_path / "undisturbed", _scans(data))
    files = {path.name: path.read_text() for path in data.iterdir()}
    assert (len(expected), len(files)) == (N_SCANS - 2, N_SCANS)
    for path in data.iterdir():
        path.unlink()

    url = f"sqlite:{tmp_path / 'broker.sqlite'}"
    broker = SqliteBroker(url)
    broker.declare([QueueSpec(QUEUE), QueueSpec(RESULTS)])
    steps = [step for scan in _scans(data) for step in scan]
    chance = random.Random(7)
    chance.shuffle(steps)
    steps += chance.sample(steps, 50)  # some come twice, as from a step before that was killed itself
    broker.send(
        [
            Outgoing(
                step.recipe.encode(), queue=QUEUE, headers={RECIPE_HEADER: True}, message_id=f"{step.message_id}/{n}"
            )
            for n, step in enumerate(steps)
        ]
    )
    n_left: list[int] = []
    for kill in range(N_KILLS + 1):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, url, str(state), str(data)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        try:
            assert child.stdout.readline() == "ready\n"
            if kill < N_KILLS:
                _wait_for_progress(broker, chance.randint(1, 1500))
                time.sleep(chance.uniform(0.0, 0.03))
                n_left.append(_n_ready(broker))
            else:
                _wait_until_empty(broker)
        finally:
            child.kill()
            child.wait()
            child.stdout.close()
    assert len({n for n in n_left if 0 < n < len(steps)}) > 3, f"the kills came at no interesting moment: {n_left}"
    results = []
    broker.subscribe(RESULTS, prefetch=1000)
    while deliveries := broker.receive(1000, timeout_s=0.2):
        results += deliveries
    status = {queue.name: queue.n_ready + queue.n_delayed for queue in broker.status() if queue.name != RESULTS}
    broker.close()
    assert _as_text([_message(delivery.body) for delivery in results]) == _as_text(expected)
    assert len({delivery.message_id for delivery in results}) == len(results)
    assert {path.name: path.read_text() for path in data.iterdir() if not path.name.startswith(".")} == files
    assert not any(status.values()), status


def _n_ready(broker: SqliteBroker) -> int:
    return sum(queue.n_ready for queue in broker.status() if queue.name == QUEUE)


def _wait_for_progress(broker: SqliteBroker, n_messages: int) -> None:
    before, end = _n_ready(broker), time.monotonic() + 20
    while _n_ready(broker) > 0 and _n_ready(broker) > before - n_messages and time.monotonic() < end:
        time.sleep(0.002)


def _wait_until_empty(broker: SqliteBroker) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        (queue,) = (queue for queue in broker.status() if queue.name == QUEUE)
        if queue.n_ready + queue.n_delayed + queue.n_unsettled == 0:
            return
        time.sleep(0.1)
    raise AssertionError(f"the messages were not handled in time: {queue}")
