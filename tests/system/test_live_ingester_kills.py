"""The ingester of a live run is killed: what is lost is said, the run lives, and the next scan is right."""

from __future__ import annotations

from pathlib import Path

import pytest

from glimt.sim.plan import SimulationPlan
from glimt.sim.stins import StinsDevice
from live_rig import (
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


@pytest.mark.parametrize("shape", [(16, 16), (400, 400)])
def test_the_scan_after_a_killed_ingester_is_right(tmp_path: Path, shape: tuple[int, int]) -> None:
    with sending(StinsDevice(shape), SimulationPlan(n_frames=0, rate_hz=500)) as sender:
        rig = LiveRig(tmp_path, {"det": sender.address})
        with rig.run() as run:
            sender.start()
            wait_for(run, lambda r: r.get("n_finished", 0) > 100, "events")
            lost_scan = run.report["scan_id"]
            kill(run, "ingester")
            wait_until(lambda: run.roles["ingester"].n_restarts == 1, "the ingester is started again")
            wait_until_up(run)
            wait_for(run, lambda r: r["streams"][0]["ledger"]["dropped"].get("outside", 0) > 0, "frames of no series")
            sender.stop()
            sender.join()
            assert any("ingester" in remark and lost_scan in remark for remark in run.remarks), run.remarks
            sender.close()
            with sending(
                StinsDevice(shape, seed=1), SimulationPlan(n_frames=200, rate_hz=0), address=sender.address
            ) as again:
                again.start()
                report = wait_for_scans(run, 1)
                assert report["scan_id"] != lost_scan
                [sent] = sent_by(again)
            check_result(rig.output(report["scan_id"]), whole_events(sent, n_workers=2))
            account = check_ledger(report)["det"]
            assert account["reduced"] == 202
            assert account["dropped"] == {"outside": account["received"] - 202}
            assert account["n_series"] == 1
            assert not list(tmp_path.glob(f"out_{lost_scan}*")), "half a scan must not look like a whole one"
