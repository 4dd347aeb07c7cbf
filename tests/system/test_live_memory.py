"""Live runs that are too slow: memory is bounded, and what a full queue costs is in the account."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from glimt.app.live.live_run import LiveRun
from glimt.sim.plan import SimulationPlan
from glimt.sim.stins import StinsDevice
from live_rig import LiveRig, Sender, check_ledger, check_result, sending, sent_by, wait_for_scans, whole_events

SLOW = """
class Slow(Worker):
    def process_event(self, event, parameters=None):
        time.sleep(0.005)
        return check_of(event)

class Writing(Reducer):
    def finish(self, parameters=None):
        import json
        with open("replayed.json", "w") as file:
            json.dump(list(zip(self.numbers, self.checks)), file)

class Large(Worker):
    def process_event(self, event, parameters=None):
        return check_of(event), bytes(1_000_000)

class SlowReducer(Reducer):
    def process_result(self, result, parameters=None):
        time.sleep(0.005)
        result.payload = result.payload[0]
        super().process_result(result, parameters)

class Keeping(Worker):
    def __init__(self, parameters=None, context=None, state=None):
        super().__init__(parameters, context, state)
        self.kept = []

    def process_event(self, event, parameters=None):
        check = check_of(event)
        self.kept.append((check, [np.frombuffer(frame, np.uint8) for frame in event.streams["det"].frames]))
        return check

    def finish(self, parameters=None):
        import zlib
        n_changed = 0
        for check, frames in self.kept:
            now = 0
            for frame in frames:
                now = zlib.crc32(frame, now)
            n_changed += now != check
        with open(os.path.join(os.path.dirname(__file__), f"kept-{self.name}"), "w") as file:
            file.write(f"{len(self.kept)} {n_changed}")
"""
FRAME_BYTES = 320_000
QUEUE = "20 MB"
MARGIN = 32 << 20
"""What the allocator holds."""
RECEIVED = 256 * FRAME_BYTES + (2 * 16 << 20)
"""What ZeroMQ holds for a source, and what is taken from it at a time."""


def _peaks(run: LiveRun) -> dict[str, int]:
    """Return the largest memory that each process ever had [bytes]."""
    found = {}
    for name, role in run.roles.items():
        status = Path(f"/proc/{role.process_id}/status")
        if not status.exists():
            pytest.skip("the memory of a process is read from /proc")
        [line] = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        found[name] = int(line.split()[1]) * 1024
    return found


def _run(rig: LiveRig, sender: Sender, limit: dict[str, int]) -> dict[str, Any]:
    with rig.run() as run:
        before = _peaks(run)
        sender.start()
        report = wait_for_scans(run, 1)
        grown = {name: peak - before[name] for name, peak in _peaks(run).items()}
    for name, most in limit.items():
        assert grown[name] < most, f"{name} grew by {grown[name] >> 20} MB"
    return report


def _sender() -> AbstractContextManager[Sender]:
    return sending(StinsDevice((400, 400)), SimulationPlan(n_frames=640, rate_hz=0))


LIMITS = {"ingester": (20 << 20) + RECEIVED + MARGIN, "worker-0": (20 << 20) + MARGIN, "reducer": MARGIN}


def test_slow_workers_hold_the_sender_back(tmp_path: Path) -> None:
    with _sender() as sender:
        rig = LiveRig(tmp_path, {"det": sender.address}, analysis=SLOW, worker="Slow", stream=f'queue = "{QUEUE}"')
        report = _run(rig, sender, LIMITS)
        [sent] = sent_by(sender)
    check_result(rig.output(report["scan_id"]), whole_events(sent, n_workers=2))
    assert check_ledger(report)["det"]["reduced"] == 642


def test_with_drop_oldest_what_is_dropped_is_counted_and_the_rest_is_right(tmp_path: Path) -> None:
    with _sender() as sender:
        stream = f'queue = "{QUEUE}"\nwhen_full = "drop-oldest"'
        rig = LiveRig(tmp_path, {"det": sender.address}, analysis=SLOW, worker="Slow", stream=stream)
        report = _run(rig, sender, LIMITS)
        [sent] = sent_by(sender)
    account = check_ledger(report)["det"]
    output = rig.output(report["scan_id"])
    numbers = [number for number, _ in output.events]
    whole = whole_events(sent, n_workers=2)
    check_result(output, [event for event in whole if event[0] in set(numbers)])
    assert account["dropped"] == {"full": 642 - account["reduced"]}
    assert account["dropped"]["full"] > 0
    assert len(set(numbers)) == account["reduced"]
    assert numbers[:2] == [0, 0]
    assert numbers[-2:] == [641, 641]


def test_spilled_events_can_be_replayed(tmp_path: Path) -> None:
    with _sender() as sender:
        stream = f'queue = "{QUEUE}"\nwhen_full = "spill"'
        rig = LiveRig(tmp_path, {"det": sender.address}, analysis=SLOW, worker="Slow", stream=stream)
        report = _run(rig, sender, LIMITS)
        [sent] = sent_by(sender)
    account = check_ledger(report)["det"]
    output = rig.output(report["scan_id"])
    live = {number for number, _ in output.events}
    whole = whole_events(sent, n_workers=2)
    check_result(output, [event for event in whole if event[0] in live])
    assert account["dropped"] == {"spilled": 642 - len(live)}
    [spill] = (tmp_path / "spill").iterdir()
    command = [sys.executable, "-m", "glimt", "replay", "-w", f"{rig.module}:Worker", "-r", f"{rig.module}:Writing"]
    done = subprocess.run(
        [*command, "-f", str(spill)],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    replayed = [tuple(event) for event in json.loads((tmp_path / "replayed.json").read_text())]
    assert replayed == [event for event in whole if event[0] not in live]


def test_a_slow_reducer_holds_everything_back(tmp_path: Path) -> None:
    results = (64 + 2 * 16) << 20  # of each worker, on their way
    limits = {"ingester": (20 << 20) + MARGIN, "worker-0": (20 << 20) + results + MARGIN}
    limits["reducer"] = 2 * results + 4 * (16 << 20) + MARGIN  # as they came and as they are reduced
    with sending(StinsDevice((16, 16)), SimulationPlan(n_frames=640, rate_hz=0)) as sender:
        rig = LiveRig(
            tmp_path,
            {"det": sender.address},
            analysis=SLOW,
            worker="Large",
            reducer="SlowReducer",
            stream=f'queue = "{QUEUE}"',
        )
        report = _run(rig, sender, limits)
        [sent] = sent_by(sender)
    check_result(rig.output(report["scan_id"]), whole_events(sent, n_workers=2))
    assert check_ledger(report)["det"]["reduced"] == 642


def test_frames_that_a_user_object_keeps_never_change(tmp_path: Path) -> None:
    with _sender() as sender:
        rig = LiveRig(tmp_path, {"det": sender.address}, analysis=SLOW, worker="Keeping", stream=f'queue = "{QUEUE}"')
        with rig.run() as run:
            sender.start()
            report = wait_for_scans(run, 1)
            assert run.n_failures == {}
        [sent] = sent_by(sender)
    check_result(rig.output(report["scan_id"]), whole_events(sent, n_workers=2))
    assert check_ledger(report)["det"]["reduced"] == 642
    kept = [tuple(map(int, (tmp_path / f"kept-worker-{n}").read_text().split())) for n in range(2)]
    assert sum(n for n, _ in kept) == 644
    assert [n_changed for _, n_changed in kept] == [0, 0]
    assert report["queue"]["used_bytes"] == 0
