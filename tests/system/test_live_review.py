"""Live runs in which something ends at an unlucky moment: the scan ends all the same, and says what it lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

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
    wait_until_up,
    whole_events,
)

# The reducer dies when its output is written, before anybody has heard of that; and once more when it tidies up.
UNLUCKY = """
import pathlib, signal
import glimt.app.result_log as result_log
import glimt.engines.live_reducer as live_reducer

HERE = pathlib.Path(__file__).parent

def die_once(mark):
    try:
        (HERE / mark).touch(exist_ok=False)
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)

class Unlucky(Reducer):
    def __init__(self, parameters=None, context=None):
        super().__init__(parameters, context)
        answer, discard = live_reducer.LiveReducer._answer, result_log.JournalLog.discard
        live_reducer.LiveReducer._answer = lambda self, message: (die_once("first"), answer(self, message))[1]
        result_log.JournalLog.discard = lambda self: (die_once("second"), discard(self))[1]
"""

DARK = """
class Dark(Worker):
    def __init__(self, parameters=None, context=None, state=None):
        self.context = context

    def process_event(self, event, parameters=None):
        frame = event.streams["det"].frames[-1]
        if event.event_number and "dark" not in self.context and len(frame) > 50_000:
            self.context["dark"] = np.frombuffer(frame, np.uint8)
            self.context["check"] = zlib.crc32(frame)
        return int("dark" not in self.context or zlib.crc32(self.context["dark"]) == self.context["check"])
"""

SLOW = """
class Slow(Worker):
    def process_event(self, event, parameters=None):
        time.sleep(0.3)
        return check_of(event)
"""

# A run whose control process is killed; it prints where its sockets are, and its processes.
KILLED = """
import sys, os, signal
from glimt.app.beamline_file import load_beamline
from glimt.app.live.live_run import LiveRun
from glimt.engines.placement import LocalPlacement

if __name__ == "__main__":
    placement = LocalPlacement()
    with LiveRun(load_beamline(sys.argv[1]), placement) as run:
        print(placement.address("x"), *[role.process_id for role in run.roles.values()], flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_scans_after_a_worker_was_given_up_do_not_wait_for_it(tmp_path: Path) -> None:
    plan = SimulationPlan(n_frames=200, n_series=3, rate_hz=400)
    with sending(StinsDevice((16, 16)), plan) as sender:
        rig = LiveRig(tmp_path, {"det": sender.address})
        rig.file.write_text(rig.file.read_text().replace("max_restarts = 1000", "max_restarts = 0"))
        with rig.run() as run:
            kill(run, "worker-1")
            wait_until(lambda: run.roles["worker-1"].is_retired, "worker-1 is given up")
            sender.start()
            report = wait_for_scans(run, 3)
        sent = sent_by(sender)
    check_result(rig.output(report["scan_id"]), whole_events(sent[-1], n_workers=1))
    assert check_ledger(report)["det"]["reduced"] == 3 * 202


def test_a_new_ingester_does_not_wait_for_a_worker_that_was_given_up_either(tmp_path: Path) -> None:
    with sending(StinsDevice((16, 16)), SimulationPlan(n_frames=200, rate_hz=400)) as sender:
        rig = LiveRig(tmp_path, {"det": sender.address})
        rig.file.write_text(rig.file.read_text().replace("max_restarts = 1000", "max_restarts = 1"))
        with rig.run() as run:
            kill(run, "worker-1")
            wait_until_up(run)
            kill(run, "worker-1")
            wait_until(lambda: run.roles["worker-1"].is_retired, "worker-1 is given up")
            kill(run, "ingester")
            wait_until(lambda: run.roles["ingester"].n_restarts == 1 and not run.roles["ingester"].is_new, "it is back")
            sender.start()
            report = wait_for_scans(run, 1)
        [sent] = sent_by(sender)
    check_result(rig.output(report["scan_id"]), whole_events(sent, n_workers=1))


def test_a_reducer_that_dies_with_the_end_of_the_scan_on_its_lips_ends_it_again(tmp_path: Path) -> None:
    with sending(StinsDevice((16, 16)), SimulationPlan(n_frames=300, rate_hz=0)) as sender:
        rig = LiveRig(tmp_path, {"det": sender.address}, analysis=UNLUCKY, reducer="Unlucky")
        with rig.run() as run:
            sender.start()
            report = wait_for_scans(run, 1)
            wait_until(lambda: run.roles["reducer"].n_restarts == 2, "the reducer died twice")
            wait_until_up(run)
            wait_until(lambda: not list((tmp_path / "journal").iterdir()), "the journal of the scan is removed")
        [sent] = sent_by(sender)
    check_result(rig.output(report["scan_id"]), whole_events(sent, n_workers=2))
    assert (tmp_path / "first").exists()
    assert (tmp_path / "second").exists()


def test_without_a_journal_a_killed_reducer_loses_results_and_says_so_but_the_scan_ends(tmp_path: Path) -> None:
    with sending(StinsDevice((16, 16)), ENDLESS) as sender:
        rig = LiveRig(tmp_path, {"det": sender.address}, output="journal = false")
        with rig.run() as run:
            sender.start()
            wait_for(run, lambda r: r.get("n_finished", 0) > 500, "first events")
            for _ in range(3):
                kill(run, "reducer")
                wait_until_up(run)
            n_before = run.report["n_finished"]
            wait_for(run, lambda r: r["n_finished"] > n_before + 500, "events go on")
            sender.stop()
            report = wait_for_scans(run, 1)
            wait_until(lambda: any("the reducer is back without" in remark for remark in run.remarks), "it is told")
        [sent] = sent_by(sender)
    expected, found = whole_events(sent, n_workers=2), rig.output(report["scan_id"]).events
    assert 500 < len(found) < len(expected)
    order = iter(expected)
    assert all(one in order for one in found)  # a part of them, in order
    account = check_ledger(report)["det"]
    n_whole = sum(found.count(one) == expected.count(one) for one in set(found))
    assert account["reduced"] == n_whole, "what is lost does not count as reduced"
    assert account["failed"] == account["received"] - n_whole == report["n_failed"]
    assert rig.output(report["scan_id"]).ledger["det"]["failed"] == account["failed"]


def test_a_frame_kept_in_the_context_is_the_same_in_later_scans(tmp_path: Path) -> None:
    with sending(StinsDevice((256, 256)), SimulationPlan(n_frames=20, n_series=3, rate_hz=100)) as sender:
        rig = LiveRig(tmp_path, {"det": sender.address}, analysis=DARK, worker="Dark")
        with rig.run() as run:
            sender.start()
            report = wait_for_scans(run, 3)
            assert any("keeps frames beyond process_event" in remark for remark in run.remarks)
    assert {check for _, check in rig.output(report["scan_id"]).events} == {1}


def test_an_ingester_that_waits_for_room_does_nothing_meanwhile(tmp_path: Path) -> None:
    engine = 'use = "local:1"\nmax_queue_bytes = "16 MB"'
    with sending(StinsDevice((1024, 1024)), SimulationPlan(n_frames=60, rate_hz=0)) as sender:
        rig = LiveRig(
            tmp_path, {"det": sender.address}, analysis=SLOW, worker="Slow", stream='queue = "16 MB"', engine=engine
        )
        with rig.run() as run:
            sender.start()
            wait_for(run, lambda r: r.get("full_s", 0.0) > 0.2, "the queue is full")
            began, before = run.report["cpu_s"], run.report["n_finished"]
            threading.Event().wait(3.0)
            assert run.report["cpu_s"] - began < 1.0
            assert run.report["n_finished"] > before
            run.stop_scan(last=True)


@pytest.mark.skipif(not Path("/proc").exists(), reason="needs /proc to see processes")
def test_a_killed_run_leaves_no_process_and_no_sockets(tmp_path: Path) -> None:
    rig = LiveRig(tmp_path, {"det": "tcp://127.0.0.1:1"})
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    done = subprocess.run(
        [sys.executable, str(script), str(rig.file)], stdout=subprocess.PIPE, text=True, timeout=120, check=False
    )
    assert done.returncode == -signal.SIGKILL
    address, *pids = done.stdout.split()
    folder = Path(address.removeprefix("ipc://")).parent
    assert folder.parent == Path(tempfile.gettempdir())
    try:
        wait_until(lambda: not any(_lives(int(pid)) for pid in pids), "all processes have ended")
    finally:
        for pid in pids:
            if _lives(int(pid)):
                os.kill(int(pid), signal.SIGKILL)
    assert len(pids) == 4
    assert not folder.exists()


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"  # nobody may be there to take note of its end
