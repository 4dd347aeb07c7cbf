"""User code of a live run that raises, exits or returns what cannot be sent: it is counted, and the scan ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from glimt.sim.plan import SimulationPlan
from glimt.sim.stins import StinsDevice
from live_rig import LiveRig, check_ledger, check_result, sending, sent_by, wait_for_scans, wait_until, whole_events

N_FRAMES = 300
PLAN = SimulationPlan(n_frames=N_FRAMES, rate_hz=0)

RAISING = """
class InProcessEvent(Worker):
    def process_event(self, event, parameters=None):
        if event.event_number % 10 == 3:
            raise ValueError("no such peak")
        return check_of(event)

class Exits(Worker):
    def process_event(self, event, parameters=None):
        if event.event_number % 10 == 3:
            raise SystemExit(1)
        return check_of(event)

class Unsendable(Worker):
    def process_event(self, event, parameters=None):
        if event.event_number % 10 == 3:
            return threading.Lock()
        return check_of(event)

class InProcessResult(Reducer):
    def process_result(self, result, parameters=None):
        if result.event_number % 10 == 3:
            raise KeyError("q")
        super().process_result(result, parameters)

class WorkerFinish(Worker):
    def finish(self, parameters=None):
        raise RuntimeError("no end")

class ReducerFinish(Reducer):
    def finish(self, parameters=None):
        super().finish()
        raise RuntimeError("no end")

class Timer(Reducer):
    def timer(self):
        raise RuntimeError("no time")

class WorkerInit(Worker):
    def __init__(self, parameters=None, context=None, state=None):
        raise RuntimeError("no worker")

class ReducerInit(Reducer):
    def __init__(self, parameters=None, context=None):
        raise RuntimeError("no reducer")
"""
BAD = {number for number in range(1, N_FRAMES + 1) if number % 10 == 3}


@pytest.mark.parametrize(
    ("worker", "reducer", "says"),
    [
        ("InProcessEvent", "Reducer", "no such peak"),
        ("Exits", "Reducer", "SystemExit"),
        ("Unsendable", "Reducer", "lock"),
        ("Worker", "InProcessResult", "KeyError"),
    ],
)
def test_events_whose_processing_raises_fail_and_the_others_do_not(
    tmp_path: Path, worker: str, reducer: str, says: str
) -> None:
    with sending(StinsDevice((16, 16)), PLAN) as sender:
        rig = LiveRig(tmp_path, {"det": sender.address}, analysis=RAISING, worker=worker, reducer=reducer)
        with rig.run() as run:
            sender.start()
            report = wait_for_scans(run, 1)
            wait_until(lambda: sum(run.n_failures.values()) == len(BAD), "all failures are told")
            failures = run.failures
            assert all(role.n_restarts == 0 for role in run.roles.values())
        [sent] = sent_by(sender)
    check_result(rig.output(report["scan_id"]), [one for one in whole_events(sent, n_workers=2) if one[0] not in BAD])
    account = check_ledger(report)["det"]
    assert (account["failed"], account["reduced"]) == (len(BAD), N_FRAMES + 2 - len(BAD))
    assert all(says in failure for failure in failures), failures


@pytest.mark.parametrize(
    ("worker", "reducer", "says", "n_failures"),
    [
        ("WorkerFinish", "Reducer", "no end", 2),
        ("Worker", "ReducerFinish", "no end", 1),
        ("Worker", "Timer", "no time", 1),
    ],
)
def test_what_raises_beside_the_events_is_told_and_no_event_fails(
    tmp_path: Path, worker: str, reducer: str, says: str, n_failures: int
) -> None:
    with sending(StinsDevice((16, 16)), PLAN) as sender:
        rig = LiveRig(tmp_path, {"det": sender.address}, analysis=RAISING, worker=worker, reducer=reducer)
        with rig.run() as run:
            sender.start()
            report = wait_for_scans(run, 1)
            wait_until(lambda: sum(run.n_failures.values()) >= n_failures, "the failure is told")
            assert all(says in failure for failure in run.failures), run.failures
        [sent] = sent_by(sender)
    check_result(rig.output(report["scan_id"]), whole_events(sent, n_workers=2))
    assert check_ledger(report)["det"]["reduced"] == N_FRAMES + 2


@pytest.mark.parametrize(
    ("worker", "reducer", "says"), [("WorkerInit", "Reducer", "no worker"), ("Worker", "ReducerInit", "no reducer")]
)
def test_a_class_that_cannot_be_made_fails_every_event_and_the_scan_ends(
    tmp_path: Path, worker: str, reducer: str, says: str
) -> None:
    plan = SimulationPlan(n_frames=N_FRAMES, n_series=2, rate_hz=0)
    with sending(StinsDevice((16, 16)), plan) as sender:
        rig = LiveRig(tmp_path, {"det": sender.address}, analysis=RAISING, worker=worker, reducer=reducer)
        with rig.run() as run:
            sender.start()
            report = wait_for_scans(run, 2)
            wait_until(lambda: bool(run.failures), "the failure is told")
            assert any(says in failure for failure in run.failures), run.failures
            assert all(role.n_restarts == 0 for role in run.roles.values())
    account = check_ledger(report)["det"]
    assert (account["failed"], account["reduced"]) == (2 * (N_FRAMES + 2), 0)
    assert rig.output(report["scan_id"]).events == []
