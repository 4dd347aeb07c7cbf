"""Live runs of senders that do what senders do: every fault is in the account, and every whole event is reduced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from glimt.sim.faults import Choice, Faults
from glimt.sim.plan import SimulationPlan
from glimt.sim.stins import StinsDevice
from live_rig import (
    LiveRig,
    Output,
    Sender,
    Sent,
    check_ledger,
    check_result,
    sending,
    sent_by,
    wait_for,
    wait_for_scans,
    whole_events,
)

FAST = SimulationPlan(n_frames=500, rate_hz=0)


def _run_one(
    tmp_path: Path, plan: SimulationPlan, faults: Faults, n_scans: int = 1
) -> tuple[list[Sent], dict[str, Any], Output, Sender]:
    """Run one stream; return what was sent, its account, the last scan's output, and the sender."""
    with sending(StinsDevice((16, 16)), plan, faults) as sender:
        rig = LiveRig(tmp_path, {"det": sender.address})
        with rig.run() as run:
            sender.start()
            report = wait_for_scans(run, n_scans)
        sent = sent_by(sender)
    return sent, check_ledger(report)["det"], rig.output(report["scan_id"]), sender


@pytest.mark.parametrize(
    ("faults", "reason", "kind"),
    [
        (Faults(duplicate=Choice(0.05)), "repeated", "duplicated"),
        (Faults(garbage=Choice(0.05)), "bad", "garbage"),
        (Faults(truncate=Choice(0.05)), "bad", "truncated"),
        (Faults(drop=Choice(0.05)), "", "dropped"),
        (Faults(reorder=5), "", "reordered"),
        (Faults(reorder=5, drop=Choice(0.02), duplicate=Choice(0.02)), "repeated", "duplicated"),
    ],
    ids=["duplicate", "garbage", "truncate", "drop", "reorder", "all"],
)
def test_damaged_frames_are_counted_and_the_others_are_reduced(
    tmp_path: Path, faults: Faults, reason: str, kind: str
) -> None:
    [sent], account, output, sender = _run_one(tmp_path, FAST, faults)
    touched = len(getattr(sent.series, kind))
    assert touched > 5, "this seed hits nothing"
    check_result(output, whole_events(sent, n_workers=2))
    assert account["received"] == sender.join().n_messages
    assert account["dropped"] == ({reason: touched} if reason else {})
    assert account["n_missing"] == len([frame for frame in sent.series.missing if frame + 1 < max(sent.data)])
    assert account["reduced"] == 2 + len(sent.data)


def test_a_repeated_header_is_counted_and_nothing_else_happens(tmp_path: Path) -> None:
    [sent], account, output, _ = _run_one(tmp_path, FAST, Faults(repeated_header=Choice(1.0)))
    check_result(output, whole_events(sent, n_workers=2))
    assert account["dropped"] == {"repeated": 1}
    assert account["n_series"] == 1


def test_a_series_without_header_is_left_out_and_the_next_is_right(tmp_path: Path) -> None:
    plan = SimulationPlan(n_frames=300, n_series=2, rate_hz=0)
    sent, account, output, _ = _run_one(tmp_path, plan, Faults(missing_header=Choice(numbers=frozenset({0}))))
    check_result(output, whole_events(sent[1], n_workers=2))
    assert account["dropped"] == {"outside": 301}
    assert account["reduced"] == 302


def test_a_series_without_end_ends_with_the_next_one(tmp_path: Path) -> None:
    plan = SimulationPlan(n_frames=300, n_series=2, rate_hz=0)
    with sending(StinsDevice((16, 16)), plan, Faults(missing_end=Choice(numbers=frozenset({0})))) as sender:
        rig = LiveRig(tmp_path, {"det": sender.address})
        with rig.run() as run:
            sender.start()
            report = wait_for_scans(run, 2)
        sent = sent_by(sender)
    account = check_ledger(report)["det"]
    assert (account["n_series"], account["n_broken_off"], account["reduced"]) == (2, 1, 603)
    outputs = [rig.output(path.stem.removeprefix("out_")) for path in tmp_path.glob("out_*.h5")]
    outputs.sort(key=lambda output: len(output.events))
    for output, one in zip(outputs, sent, strict=True):
        check_result(output, whole_events(one, n_workers=2))


def test_stale_frames_of_the_series_before_do_not_enter_the_next(tmp_path: Path) -> None:
    plan = SimulationPlan(n_frames=100, n_series=2, rate_hz=0, first_series=0)  # before the first there was none
    sent, account, output, sender = _run_one(tmp_path, plan, Faults(stale=7), n_scans=2)
    check_result(output, whole_events(sent[1], n_workers=2))
    assert account["received"] == sender.join().n_messages
    assert account["dropped"] == {"stale": 7}
    assert account["reduced"] == 204


def test_a_sender_that_dies_in_a_series_and_comes_back_begins_a_new_scan(tmp_path: Path) -> None:
    device = StinsDevice((16, 16))
    with sending(device, FAST, Faults(abort_after=200)) as first:
        rig = LiveRig(tmp_path, {"det": first.address})
        with rig.run() as run:
            first.start()
            wait_for(run, lambda r: r.get("n_finished", 0) == 201, "what came before the death")
            begun = run.report["scan_id"]
            [broken] = sent_by(first)
            first.close()
            with sending(device, FAST, address=first.address) as second:
                second.start()
                report = wait_for_scans(run, 2)
                [whole] = sent_by(second)
    check_result(rig.output(begun), whole_events(broken, n_workers=2))
    check_result(rig.output(report["scan_id"]), whole_events(whole, n_workers=2))
    account = check_ledger(report)["det"]
    assert (account["n_series"], account["n_broken_off"], account["n_ended"]) == (2, 1, 1)
    assert account["reduced"] == account["received"] == 201 + 502


def test_two_streams_that_lose_frames_are_paired_right(tmp_path: Path) -> None:
    plan, lossy = SimulationPlan(n_frames=3000, rate_hz=3000), Choice(0.01)
    with (
        sending(StinsDevice((16, 16), seed=1), plan, Faults(drop=lossy, seed=1)) as a,
        sending(StinsDevice((8, 8), seed=2), plan, Faults(drop=lossy, seed=2, reorder=3)) as b,
    ):
        rig = LiveRig(tmp_path, {"a": a.address, "b": b.address})
        with rig.run() as run:
            a.start()
            b.start()
            report = wait_for_scans(run, 1)
        [sent_a], [sent_b] = sent_by(a), sent_by(b)
    check_result(rig.output(report["scan_id"]), whole_events(sent_a, sent_b, n_workers=2))
    accounts = check_ledger(report)
    for name, own, other in (("a", sent_a, sent_b), ("b", sent_b, sent_a)):
        account = accounts[name]
        alone = own.data.keys() - other.data.keys()
        assert account["received"] == 2 + len(own.data)
        assert account["dropped"] == {"incomplete": len(alone)}
        assert account["n_missing"] == len(own.series.missing) > 10
        first = own.series.missing[0] + 1
        assert account["gaps"][0][0] == first


def test_an_aborted_series_of_one_of_two_streams_is_counted_in_the_other(tmp_path: Path) -> None:
    plan = SimulationPlan(n_frames=400, n_series=2, rate_hz=2000)
    first = Choice(numbers=frozenset({0}))
    with (
        sending(StinsDevice((16, 16), seed=1), plan) as a,
        sending(StinsDevice((8, 8), seed=2), plan, Faults(abort_after=150, abort=first)) as b,
    ):
        rig = LiveRig(tmp_path, {"a": a.address, "b": b.address})
        with rig.run() as run:
            a.start()
            b.start()
            report = wait_for_scans(run, 2)
        sent_a, sent_b = sent_by(a), sent_by(b)
    check_result(rig.output(report["scan_id"]), whole_events(sent_a[1], sent_b[1], n_workers=2))
    accounts = check_ledger(report)
    assert accounts["b"]["n_broken_off"] == 1
    assert accounts["b"]["reduced"] == accounts["b"]["received"]
    assert accounts["a"]["dropped"] == {"aborted": 250}
