"""Live runs whose user code does not come back: a second stop ends the scan, and the account says what was lost."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from glimt.app.beamline_file import load_beamline
from glimt.app.live.control import Control
from glimt.app.live.session import LiveSession
from glimt.sim.plan import SimulationPlan
from glimt.sim.stins import StinsDevice
from glimt.web.log_ring import LogRing
from live_rig import LiveRig, check_ledger, sending, wait_for, wait_for_scans, wait_until

N_FRAMES = 200
PLAN = SimulationPlan(n_frames=N_FRAMES, rate_hz=0)

HANGING = """
class Hangs(Worker):
    def process_event(self, event, parameters=None):
        if event.event_number == 50:
            threading.Event().wait()
        return check_of(event)

class HangsInFinish(Worker):
    def finish(self, parameters=None):
        if self.name == "worker-1":
            threading.Event().wait()

class HangsAtOnce(Worker):
    def __init__(self, parameters=None, context=None, state=None):
        super().__init__(parameters, context, state)
        if self.name == "worker-1":
            threading.Event().wait()
"""


def test_a_second_stop_ends_a_worker_that_does_not_come_back_and_its_events_have_failed(tmp_path: Path) -> None:
    with sending(StinsDevice((16, 16)), PLAN) as sender:
        rig = LiveRig(tmp_path, {"det": sender.address}, analysis=HANGING, worker="Hangs")
        with rig.run() as run:
            control = Control(run, LogRing())
            sender.start()
            wait_for(run, lambda r: r.get("n_outstanding", 0) and r["streams"][0]["ledger"]["n_ended"] == 1, "all came")
            control.stop()
            assert not run.wait_for_report(lambda r: not r["is_running"], 1.0), "the first stop waits for the worker"
            began = time.monotonic()
            control.stop()
            report = wait_for_scans(run, 1)
            assert time.monotonic() - began < 12
            wait_until(lambda: sum(role.n_restarts for role in run.roles.values()) == 1, "the worker is replaced")
            assert any("did not come back from event" in remark for remark in run.remarks), run.remarks
    account = check_ledger(report)["det"]
    assert account["failed"] >= 1
    assert account["reduced"] + account["failed"] + account["dropped"].get("stopped", 0) == N_FRAMES + 2
    numbers = {number for number, _ in rig.output(report["scan_id"]).events}
    assert 50 not in numbers
    broadcast = {0, N_FRAMES + 1}  # one copy of these may be reduced and another have failed
    assert len(numbers - broadcast) <= account["reduced"] <= len(numbers)
    assert report["n_failed"] == account["failed"]


@pytest.mark.parametrize("worker", ["HangsInFinish", "HangsAtOnce"])
def test_a_second_stop_ends_the_scan_if_a_worker_hangs_elsewhere_too(tmp_path: Path, worker: str) -> None:
    with sending(StinsDevice((16, 16)), PLAN) as sender:
        rig = LiveRig(tmp_path, {"det": sender.address}, analysis=HANGING, worker=worker)
        with rig.run() as run:
            sender.start()
            wait_for(run, lambda r: r.get("n_offered", 0) == N_FRAMES + 2, "all events came")
            run.stop_scan()
            run.stop_scan(insist=True)
            report = wait_for_scans(run, 1)
    account = check_ledger(report)["det"]
    assert account["reduced"] == N_FRAMES + 2
    assert account["failed"] == 0


def test_a_run_that_is_asked_to_end_does_not_wait_for_a_worker_that_hangs(tmp_path: Path) -> None:
    with sending(StinsDevice((16, 16)), PLAN) as sender:
        rig = LiveRig(
            tmp_path,
            {"det": sender.address},
            analysis=HANGING,
            worker="Hangs",
            sections="[control]\nport = 0\nview_port = 0",
        )
        session = LiveSession(load_beamline(rig.file))
        with session:
            sender.start()
            asked_at = 0.0
            is_asked = threading.Event()
            deadline = time.monotonic() + 60
            for _ in session.watch(is_asked.is_set, n_scans=None):
                assert time.monotonic() < deadline, "the run does not end"
                report = session.run.report
                if not asked_at and report and report["streams"][0]["ledger"]["n_ended"] == 1:
                    asked_at = time.monotonic()
                    is_asked.set()
            assert time.monotonic() - asked_at < 12
            account = check_ledger(session.run.report)["det"]
    assert account["failed"] >= 1
    assert account["pending"] == 0
