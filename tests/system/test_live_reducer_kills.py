"""A reducer of a live run that is killed: it comes back from its journal or checkpoint, and reduces nothing twice."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest

from glimt.app.live.live_run import LiveRun
from glimt.sim.plan import SimulationPlan
from glimt.sim.stins import StinsDevice
from live_rig import (
    ENDLESS,
    LiveRig,
    check_ledger,
    check_result,
    kill,
    sending,
    sent_by,
    wait_for,
    wait_for_scans,
    wait_until,
    whole_events,
)

# Large results, so that checkpoints are due after an amount of them and not only after a time.
CHECKPOINTS = """
class Large(Worker):
    def process_event(self, event, parameters=None):
        return check_of(event), bytes(100_000)

class Brought(Reducer):
    def process_result(self, result, parameters=None):
        result.payload = result.payload[0]
        super().process_result(result, parameters)

    def get_state(self):
        return self.numbers, self.checks, self.chain

    def set_state(self, state):
        self.numbers, self.checks, self.chain = state
        self.publish["n_restored"] = len(self.numbers)
"""


def _kill_often(run: LiveRun, n_kills: int, roles: list[str], seed: int) -> None:
    chance, pause = random.Random(seed), threading.Event()
    for _ in range(n_kills):
        pause.wait(chance.uniform(0.0, 0.1))  # the moment, not a wait for anything
        for role in roles:
            kill(run, role)


def test_a_reducer_without_hooks_is_killed_twenty_times(tmp_path: Path) -> None:
    with sending(StinsDevice((16, 16)), ENDLESS) as sender:
        rig = LiveRig(tmp_path, {"det": sender.address})
        with rig.run() as run:
            sender.start()
            wait_for(run, lambda r: r.get("n_finished", 0) > 0, "first events")
            _kill_often(run, 20, ["reducer"], 21)
            sender.stop()
            report = wait_for_scans(run, 1)
            wait_until(lambda: run.roles["reducer"].n_restarts == 20, "twenty restarts")
            assert run.roles["worker-0"].n_restarts == 0
        [sent] = sent_by(sender)
    check_result(rig.output(report["scan_id"]), whole_events(sent, n_workers=2))
    account = check_ledger(report)["det"]
    assert account["received"] == account["reduced"] == sender.join().n_messages
    assert not list((tmp_path / "journal").iterdir())


def test_a_reducer_with_hooks_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    with sending(StinsDevice((16, 16)), SimulationPlan(n_frames=3000, rate_hz=400)) as sender:
        rig = LiveRig(tmp_path, {"det": sender.address}, analysis=CHECKPOINTS, worker="Large", reducer="Brought")
        with rig.run() as run:
            sender.start()
            wait_for(run, lambda r: r.get("n_finished", 0) > 800, "enough for a checkpoint")
            _kill_often(run, 10, ["reducer"], 22)
            report = wait_for_scans(run, 1)
        [sent] = sent_by(sender)
    output = rig.output(report["scan_id"])
    check_result(output, whole_events(sent, n_workers=2))
    assert output.published["n_restored"] > 0
    assert check_ledger(report)["det"]["failed"] == 0


@pytest.mark.parametrize(("worker", "reducer"), [("Worker", "Reducer"), ("Large", "Brought")])
def test_reducer_and_a_worker_are_killed_at_once(tmp_path: Path, worker: str, reducer: str) -> None:
    with sending(StinsDevice((400, 400)), SimulationPlan(n_frames=1200, rate_hz=200)) as sender:
        rig = LiveRig(tmp_path, {"det": sender.address}, analysis=CHECKPOINTS, worker=worker, reducer=reducer)
        with rig.run() as run:
            sender.start()
            wait_for(run, lambda r: r.get("n_finished", 0) > 0, "first events")
            _kill_often(run, 5, ["reducer", "worker-1"], 23)
            report = wait_for_scans(run, 1)
        [sent] = sent_by(sender)
    check_result(rig.output(report["scan_id"]), whole_events(sent, n_workers=2))
    account = check_ledger(report)["det"]
    assert account["received"] == account["reduced"] == sender.join().n_messages
    assert report["queue"]["used_bytes"] == 0
