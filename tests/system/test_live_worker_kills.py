"""Workers of a live run that are killed: every event is reduced once, in order, and the account adds up."""

from __future__ import annotations

import random
import threading
from pathlib import Path

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

POISON = """
class Poisoned(Worker):
    def process_event(self, event, parameters=None):
        if event.event_number == 50:
            os._exit(3)
        return check_of(event)
"""

DIES_IN_FINISH = """
class DiesInFinish(Worker):
    def finish(self, parameters=None):
        os._exit(4)
"""


def test_workers_killed_twenty_times_lose_nothing(tmp_path: Path) -> None:
    chance, pause = random.Random(20), threading.Event()
    with sending(StinsDevice((16, 16)), ENDLESS) as sender:
        rig = LiveRig(tmp_path, {"det": sender.address}, engine='use = "local:3"')
        with rig.run() as run:
            sender.start()
            wait_for(run, lambda r: r.get("n_finished", 0) > 0, "first events")
            for _ in range(20):
                pause.wait(chance.uniform(0.0, 0.1))  # the moment, not a wait for anything
                kill(run, f"worker-{chance.randrange(3)}")
            sender.stop()
            report = wait_for_scans(run, 1)
            wait_until(lambda: sum(role.n_restarts for role in run.roles.values()) == 20, "twenty restarts")
        [sent] = sent_by(sender)
    accounts = check_ledger(report)
    check_result(rig.output(report["scan_id"]), whole_events(sent, n_workers=3))
    assert accounts["det"]["received"] == accounts["det"]["reduced"] == sender.join().n_messages


def test_all_workers_killed_at_once_lose_nothing(tmp_path: Path) -> None:
    with sending(StinsDevice((400, 400)), SimulationPlan(n_frames=1000, rate_hz=250)) as sender:  # in shared memory
        rig = LiveRig(tmp_path, {"det": sender.address})
        with rig.run() as run:
            sender.start()
            for n_kills in range(1, 4):
                wait_for(run, lambda r, n=n_kills: r.get("n_finished", 0) > 20 * n, "events")  # type: ignore[misc]
                kill(run, "worker-0")
                kill(run, "worker-1")
            report = wait_for_scans(run, 1)
        [sent] = sent_by(sender)
    check_result(rig.output(report["scan_id"]), whole_events(sent, n_workers=2))
    assert check_ledger(report)["det"]["failed"] == 0
    assert report["queue"]["used_bytes"] == 0


def test_an_event_that_kills_its_worker_fails_and_no_other_does(tmp_path: Path) -> None:
    with sending(StinsDevice((16, 16)), SimulationPlan(n_frames=2000, rate_hz=0)) as sender:
        rig = LiveRig(tmp_path, {"det": sender.address}, analysis=POISON, worker="Poisoned")
        with rig.run() as run:
            sender.start()
            report = wait_for_scans(run, 1)
            n_restarts = sum(role.n_restarts for role in run.roles.values())
        [sent] = sent_by(sender)
    expected = [event for event in whole_events(sent, n_workers=2) if event[0] != 50]
    check_result(rig.output(report["scan_id"]), expected)
    account = check_ledger(report)["det"]
    assert (account["failed"], account["reduced"]) == (1, 2001)
    assert 2 <= n_restarts <= 6, "in blocks with others, then alone until it is clear which it was"


def test_a_worker_that_dies_in_finish_does_not_keep_the_scan_from_its_end(tmp_path: Path) -> None:
    with sending(StinsDevice((16, 16)), SimulationPlan(n_frames=100, n_series=2, rate_hz=0)) as sender:
        rig = LiveRig(tmp_path, {"det": sender.address}, analysis=DIES_IN_FINISH, worker="DiesInFinish")
        with rig.run() as run:
            sender.start()
            report = wait_for_scans(run, 2)
        check_ledger(report)
        check_result(rig.output(report["scan_id"]), whole_events(sent_by(sender)[1], n_workers=2))
