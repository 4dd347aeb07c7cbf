"""A live run whose disk is full: it goes on, says so, and writes the output when there is space again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# In a mount namespace of its own: a disk of 8 MB, on which journal and output go. All but a little of it is taken
# while the scan runs; only when the run has said that it cannot write is it given back.
DRIVER = """
import sys
import time
from pathlib import Path
from live_rig import LiveRig, check_ledger, check_result, sending, sent_by, wait_for, wait_for_scans, whole_events
from live_rig import wait_until
from glimt.sim.plan import SimulationPlan
from glimt.sim.stins import StinsDevice

LARGE = '''
class Large(Reducer):
    def process_result(self, result, parameters=None):
        super().process_result(result, parameters)
        self.publish["picture"] = np.arange(100_000)
'''

def main():
    folder, disk = Path(sys.argv[1]), Path(sys.argv[2])
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(8_200_000))
    output = f'file = "{disk}/out_{{scan}}.h5"\\njournal_folder = "{disk}/journal"'
    with sending(StinsDevice((16, 16)), SimulationPlan(n_frames=20_000, n_series=2, rate_hz=0)) as sender:
        rig = LiveRig(folder, {"det": sender.address}, analysis=LARGE, reducer="Large", output=output)
        with rig.run() as run:
            sender.start()
            wait_until(lambda: bool(run.roles["reducer"].state.get("journal_problem")), "the journal is full")
            wait_for(run, lambda r: bool(r["output_problem"]), "the output cannot be written")
            first, told_at = run.report["scan_id"], time.monotonic()
            print("problem:", run.report["output_problem"])
            print("journal:", run.roles["reducer"].state["journal_problem"])
            wait_until(lambda: time.monotonic() > told_at + 5.0, "the output was tried several times")
            ballast.unlink()
            report = wait_for_scans(run, 2)
            told = [remark for remark in run.remarks if "No space left" in remark]
            assert len(told) == 1, told  # however often it was tried
            assert any("written now" in remark for remark in run.remarks), run.remarks
        sent = sent_by(sender)
    for scan_id, one in zip((first, report["scan_id"]), sent, strict=True):
        check_result(rig.output(scan_id, disk), whole_events(one, n_workers=2))
    assert check_ledger(report)["det"]["reduced"] == 2 * 20_002
    assert not list((disk / "journal").iterdir())

if __name__ == "__main__":
    main()
"""


def test_a_full_disk_holds_up_the_output_only(tmp_path: Path) -> None:
    if shutil.which("unshare") is None:
        pytest.skip("a small disk needs unshare")
    driver, disk = tmp_path / "driver.py", tmp_path / "disk"
    driver.write_text(DRIVER)
    disk.mkdir()
    script = 'mount -t tmpfs -o size=8m none "$1" || exit 77; shift; exec "$@"'
    run = [sys.executable, str(driver), str(tmp_path), str(disk)]
    rig = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join([rig, *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", str(disk), *run],
        capture_output=True, text=True, timeout=120, check=False, env=os.environ | {"PYTHONPATH": path},
    )  # fmt: skip
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip(f"a small disk needs a mount that is not allowed here: {done.stderr}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "problem: " in done.stdout
