"""Parameters that change in the middle of a live scan: everywhere at the same event."""

from __future__ import annotations

from itertools import groupby, pairwise
from pathlib import Path

import h5py
import pytest

from glimt.sim.plan import SimulationPlan
from glimt.sim.stins import StinsDevice
from live_rig import LiveRig, check_ledger, check_result, kill, sending, sent_by, wait_for, wait_for_scans, whole_events

GAINS = """
from glimt import IntParameter

class Scaled(Worker):
    @staticmethod
    def describe_parameters():
        return [IntParameter(name="gain", default=1)]

    def process_event(self, event, parameters=None):
        return check_of(event), parameters["gain"].value

class Gains(Reducer):
    def __init__(self, parameters=None, context=None):
        super().__init__(parameters, context)
        self.gains, self.own_gains, self.hashes = [], [], []

    def process_result(self, result, parameters=None):
        result.payload, gain = result.payload
        super().process_result(result, parameters)
        self.gains.append(gain)
        self.own_gains.append(parameters["gain"].value)
        self.hashes.append(result.parameters_hash)

    def finish(self):
        super().finish()
        self.publish["gains"] = np.array(self.gains)
        self.publish["own_gains"] = np.array(self.own_gains)
        self.publish["hashes"] = np.array(self.hashes, dtype="S")
"""


@pytest.mark.parametrize("killed", ["", "worker-0", "reducer"])
def test_a_change_holds_from_one_event_on_for_all_workers(tmp_path: Path, killed: str) -> None:
    with sending(StinsDevice((16, 16)), SimulationPlan(n_frames=3000, rate_hz=1000)) as sender:
        rig = LiveRig(tmp_path, {"det": sender.address}, analysis=GAINS, worker="Scaled", reducer="Gains")
        bound: list[tuple[int, int]] = []
        with rig.run() as run:
            hashes = [run.parameters.content_hash]
            sender.start()
            for gain in (2, 3, 4):
                wait_for(run, lambda r, n=200 * gain: r.get("n_offered", 0) > n, "events")  # type: ignore[misc]
                content_hash, version = run.set_parameter("gain", str(gain).encode())
                if killed:
                    kill(run, killed)
                hashes.append(content_hash)
                wait_for(run, lambda r, v=version: r["bound"][0] == v, "the change is bound to an event")  # type: ignore[misc]
                bound.append((run.report["bound"][1], gain))
            report = wait_for_scans(run, 1)
        [sent] = sent_by(sender)
    output = rig.output(report["scan_id"])
    check_result(output, whole_events(sent, n_workers=2))
    gains = [int(gain) for gain in output.published["gains"]]
    numbers = [number for number, _ in output.events]
    changes = [(number, new) for (old, new), number in zip(pairwise(gains), numbers[1:], strict=True) if old != new]
    assert changes == bound
    assert gains == [int(gain) for gain in output.published["own_gains"]]
    assert [one for one, _ in groupby(output.published["hashes"])] == [one.encode() for one in hashes]
    with h5py.File(tmp_path / f"out_{report['scan_id']}.h5") as file:
        changes_kept = file["glimt/parameter_changes"].values()
        assert [(int(one.attrs["event_number"]), int(one["gain"][()])) for one in changes_kept] == bound
        assert int(file["glimt/parameters/gain"][()]) == 1
    assert check_ledger(report)["det"]["failed"] == 0
