"""Live runs with trigger maps: who gets what, kills, stops, and maps that cannot be."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from glimt.sim.plan import SimulationPlan
from glimt.sim.stins import StinsDevice
from live_rig import (
    LiveRig,
    check_ledger,
    check_of,
    check_result,
    kill,
    sending,
    sent_by,
    wait_for,
    wait_for_scans,
    whole_events,
)

RECORDING = """
class Recording(Reducer):
    def __init__(self, parameters=None, context=None):
        super().__init__(parameters, context)
        self.workers = []

    def process_result(self, result, parameters=None):
        super().process_result(result, parameters)
        self.workers.append(int(result.worker.removeprefix("worker-")))

    def finish(self):
        super().finish()
        self.publish["workers"] = np.array(self.workers)

class Slow(Worker):
    def process_event(self, event, parameters=None):
        time.sleep(0.002)
        return check_of(event)
"""
MAPPED = '[events]\nmode = "map"'


def _rig(tmp_path: Path, addresses: dict[str, str], **options: str) -> LiveRig:
    options = {"reducer": "Recording", "sections": MAPPED} | options
    return LiveRig(tmp_path, addresses, analysis=RECORDING, **options)


def _workers_by_event(output: Any) -> dict[int, list[int]]:
    workers: dict[int, list[int]] = defaultdict(list)
    for (number, _), worker in zip(output.events, output.published["workers"], strict=True):
        workers[number].append(int(worker))
    return workers


def _map(trigger_map: dict[str, Any]) -> bytes:
    return json.dumps(trigger_map).encode()


def test_maps_one_after_the_other(tmp_path: Path) -> None:
    n = 200
    with sending(StinsDevice((16, 16)), SimulationPlan(n_frames=n, n_series=2, series_gap_s=0, rate_hz=0)) as sender:
        # Each worker has time to take a part of them.
        rig = _rig(tmp_path, {"det": sender.address}, worker="Slow")
        with rig.run() as run:
            uniform = run.begin_scan(_map({"det": {"each": n}}), all_wrap=True)
            sender.start()
            wait_for(run, lambda r: r.get("n_scans") == 1 and not r["is_running"], "end of the first")
            batched = run.begin_scan(_map({"det": {"each": n, "group": 10}}), all_wrap=True)
            report = wait_for_scans(run, 2)
        sent = sent_by(sender)
    check_result(rig.output(uniform), whole_events(sent[0], n_workers=2))
    output = rig.output(batched)
    check_result(output, whole_events(sent[1], n_workers=2))
    workers = _workers_by_event(output)
    for first in range(1, n + 1, 10):
        assert len({worker for number in range(first, first + 10) for worker in workers[number]}) == 1
    assert {worker for number in range(1, n + 1) for worker in workers[number]} == {0, 1}
    account = check_ledger(report)["det"]
    assert account["reduced"] == account["received"] == 2 * (n + 2)


def test_several_constraints_tags_and_frames_that_nobody_needs(tmp_path: Path) -> None:
    debug: Any = [{"tags": ["debug"], "constraint": None}]
    entries: list[Any] = []
    for step in range(30):
        first = {"constraint": 2 * step}
        entries += [[first, {"constraint": 2 * step + 1}], [first], [], debug, [first, *debug]]
    slots = 'use = "local:"\nslots = [{tags = ["generic"], workers = 2}, {tags = ["debug"]}]'
    with sending(StinsDevice((16, 16)), SimulationPlan(n_frames=150, rate_hz=0)) as sender:
        rig = _rig(tmp_path, {"det": sender.address}, engine=slots)
        with rig.run() as run:
            scan_id = run.begin_scan(_map({"det": entries}), all_wrap=True)
            sender.start()
            report = wait_for_scans(run, 1)
    workers = _workers_by_event(rig.output(scan_id))
    for step in range(30):
        several, one, nobody, tagged, shared = range(1 + 5 * step, 6 + 5 * step)
        assert len(workers[several]) == 2
        assert workers[one][0] in {0, 1}
        assert set(workers[one]) <= set(workers[several])
        assert nobody not in workers
        assert workers[tagged] == [2]
        assert sorted(workers[shared]) == [workers[one][0], 2]
    account = check_ledger(report)["det"]
    assert account["dropped"] == {"discarded": 30}
    assert account["reduced"] == 152 - 30


def test_streams_that_record_at_some_events_only_and_parts_in_sequence(tmp_path: Path) -> None:
    trigger_map = {
        "parts": {
            "line": {"a": {"each": 20}, "b": {"each": 20, "every": 5, "offset": 0}},
            "dark": {"a": {"repeat": [{"constraint": 0}], "n": 5}},
        },
        "sequence": ["line", "dark", "line"],
    }
    with (
        sending(StinsDevice((16, 16), seed=1), SimulationPlan(n_frames=45, rate_hz=0)) as a,
        sending(StinsDevice((8, 8), seed=2), SimulationPlan(n_frames=8, rate_hz=0)) as b,
    ):
        rig = _rig(tmp_path, {"a": a.address, "b": b.address})
        with rig.run() as run:
            scan_id = run.begin_scan(_map(trigger_map), all_wrap=True)
            a.start()
            b.start()
            report = wait_for_scans(run, 1)
        [sent_a], [sent_b] = sent_by(a), sent_by(b)
    at_b = iter(sent_b.data[frame] for frame in range(1, 9))
    with_b = {1, 6, 11, 16, 26, 31, 36, 41}
    expected = [(0, check_of([*sent_a.start, *sent_b.start]))] * 2
    for number in range(1, 46):
        expected.append((number, check_of([*sent_a.data[number], *(next(at_b) if number in with_b else [])])))
    assert sent_a.end is not None
    assert sent_b.end is not None
    expected += [(46, check_of([*sent_a.end, *sent_b.end]))] * 2
    check_result(rig.output(scan_id), expected)
    accounts = check_ledger(report)
    assert (accounts["a"]["reduced"], accounts["b"]["reduced"]) == (47, 10)


def test_workers_killed_in_a_mapped_scan_lose_nothing(tmp_path: Path) -> None:
    n = 1500
    with sending(StinsDevice((16, 16)), SimulationPlan(n_frames=n, rate_hz=400)) as sender:
        rig = _rig(tmp_path, {"det": sender.address}, worker="Slow")
        with rig.run() as run:
            scan_id = run.begin_scan(_map({"det": {"each": n, "group": 10}}), all_wrap=True)
            sender.start()
            for number in range(4):
                wait_for(run, lambda r, n=number: r.get("n_finished", 0) > 50 * n, "events")  # type: ignore[misc]
                kill(run, f"worker-{number % 2}")
            report = wait_for_scans(run, 1)
        [sent] = sent_by(sender)
    check_result(rig.output(scan_id), whole_events(sent, n_workers=2))
    account = check_ledger(report)["det"]
    assert account["reduced"] == account["received"] == n + 2


def test_a_map_for_tags_that_no_worker_has_is_refused_and_the_next_is_taken(tmp_path: Path) -> None:
    with sending(StinsDevice((16, 16)), SimulationPlan(n_frames=20, rate_hz=0)) as sender:
        rig = _rig(tmp_path, {"det": sender.address})
        with rig.run() as run:
            refused = run.begin_scan(_map({"det": {"each": 20, "tags": ["gpu"]}}), all_wrap=True)
            wait_for(run, lambda r: "gpu" in r["problem"], "the problem is told")
            assert run.report["refused_scan_id"] == refused
            three = [{"constraint": 0}, {"constraint": 1}, {"constraint": 2}]
            run.begin_scan(_map({"det": {"repeat": three, "n": 20}}), all_wrap=True)
            wait_for(run, lambda r: "gpu" not in r["problem"] and bool(r["problem"]), "the second problem is told")
            assert run.report["n_scans"] == 0
            scan_id = run.begin_scan(_map({"det": {"each": 20}}), all_wrap=True)
            sender.start()
            wait_for_scans(run, 1)
        check_result(rig.output(scan_id), whole_events(sent_by(sender)[0], n_workers=2))


def test_a_mapped_scan_that_is_stopped_keeps_what_came_and_the_next_one_works(tmp_path: Path) -> None:
    device = StinsDevice((16, 16))
    with sending(device, SimulationPlan(n_frames=0, rate_hz=300)) as first:
        rig = _rig(tmp_path, {"det": first.address})
        with rig.run() as run:
            stopped = run.begin_scan(_map({"det": {"each": 1_000_000}}), all_wrap=True)
            first.start()
            wait_for(run, lambda r: r.get("n_finished", 0) > 100, "events")
            run.stop_scan()
            report = wait_for_scans(run, 1)
            n_reduced = check_ledger(report)["det"]["reduced"]
            n_before = report["streams"][0]["ledger"]["received"]
            wait_for(run, lambda r: r["streams"][0]["ledger"]["received"] > n_before, "what comes behind the stop")
            first.stop()
            [sent] = sent_by(first)
            first.close()
            expected = whole_events(sent, n_workers=2)[: n_reduced + 1]
            check_result(rig.output(stopped), expected)
            with sending(device, SimulationPlan(n_frames=50, rate_hz=0), address=first.address) as second:
                again = run.begin_scan(_map({"det": {"each": 50}}), all_wrap=True)
                second.start()
                report = wait_for_scans(run, 2)
                check_result(rig.output(again), whole_events(sent_by(second)[0], n_workers=2))
    account = check_ledger(report)["det"]
    assert account["reduced"] == n_reduced + 52
    assert set(account["dropped"]) <= {"stopped", "no_scan", "outside"}


def test_an_automatic_scan_that_is_stopped_keeps_what_came_and_the_next_one_works(tmp_path: Path) -> None:
    device = StinsDevice((16, 16))
    with sending(device, SimulationPlan(n_frames=0, rate_hz=300)) as first:
        rig = _rig(tmp_path, {"det": first.address}, sections="")
        with rig.run() as run:
            first.start()
            wait_for(run, lambda r: r.get("n_finished", 0) > 100, "events")
            stopped = run.report["scan_id"]
            run.stop_scan()
            report = wait_for_scans(run, 1)
            n_reduced = check_ledger(report)["det"]["reduced"]
            first.stop()
            [sent] = sent_by(first)
            first.close()
            check_result(rig.output(stopped), whole_events(sent, n_workers=2)[: n_reduced + 1])
            with sending(device, SimulationPlan(n_frames=50, rate_hz=0), address=first.address) as second:
                second.start()
                report = wait_for_scans(run, 2)
                check_result(rig.output(report["scan_id"]), whole_events(sent_by(second)[0], n_workers=2))
    account = check_ledger(report)["det"]
    assert account["reduced"] == n_reduced + 52
    assert set(account["dropped"]) <= {"stopped", "outside"}
